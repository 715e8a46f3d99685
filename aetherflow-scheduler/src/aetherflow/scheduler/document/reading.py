"""Reads `scheduler.yaml`: strict YAML, findings with line and column, then the frozen schedule."""

import os
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from pydantic import BaseModel, ValidationError

from aetherflow.core.api import Problem, SpecError
from aetherflow.core.embedding import (
    DocPath,
    Document,
    EngineFiles,
    Problems,
    administrator,
    bind,
    durable,
    find_state_root,
    findings,
    format_path,
    host_root,
    load_document,
    place_findings,
)
from aetherflow.scheduler.document.freezing import Freezer, ItemTarget
from aetherflow.scheduler.document.paths import expanded
from aetherflow.scheduler.schedule.schedule import Schedule, ledger_place
from aetherflow.scheduler.schedule.spec import SchedulerFileSpec, SchedulerItemSpec

ModelT = TypeVar("ModelT", bound=BaseModel)


class ReadDocument(NamedTuple):
    """The result of reading a document: its findings and, without errors, the schedule."""

    document: Document | None
    schedule: Schedule | None
    """None if the findings hold an error."""
    problems: Problems
    named: tuple[ItemTarget, ...] = ()
    """What each item runs, for the items that the model accepted."""

    @property
    def folder(self) -> Path:
        """The folder of the document, to which its paths are relative."""
        return Path(self.document.file).absolute().parent if self.document else Path.cwd()


def read_schedule(path: str | Path) -> ReadDocument:
    """Read a document and check it without opening its flows; mistakes are findings, never exceptions."""
    problems = Problems()
    try:
        document = load_document(path)
    except SpecError as error:
        problems.extend(error.problems)
        return ReadDocument(None, None, problems)
    _check_text(document.data, (), document, problems)
    # parameters are passed to the run as the text that the document has
    words = document.source.words.items()
    document.source.texts.update({path: word for path, word in words if "params" in path[-2:-1]})
    document = document.bound()
    spec, items = _bind(document, problems)
    document = document.bound()
    if spec is None:
        return ReadDocument(document, None, problems)
    freezer = Freezer(document, spec, items, problems)
    frozen = freezer.items()
    named = tuple(freezer.named)
    if problems.errors:
        return ReadDocument(document, None, problems, named)
    whole = Path(path).absolute()
    if spec.state is not None and durable.in_server(spec.state):
        problems.add(_server_as_ledger(spec.state, document))
        return ReadDocument(document, None, problems, named)
    given = None if spec.state is None else (whole.parent / expanded(spec.state)).absolute()
    state, policy = given or ledger_place(find_state_root(whole.parent, os.environ), whole), administrator()
    if not durable.in_server(state):
        at = document.source.value(("state",))
        problems.extend(place_findings(policy, ("roots", "state"), state, "state", at))
        if given is not None:
            root = host_root(find_state_root(whole.parent, os.environ))
            problems.extend(EngineFiles.under(root).findings(state, ("state",), at))
    strict = policy is not None and policy.enterprise
    problems.extend(findings(whole, "what runs, and when", strict=strict))
    if problems.errors:
        return ReadDocument(document, None, problems, named)
    schedule = Schedule(whole, spec, tuple(frozen), given, tuple(problems.warnings), frozenset(freezer.paths.read))
    return ReadDocument(document, schedule, problems, named)


def _check_text(data: Any, at: DocPath, document: Document, problems: Problems) -> None:
    """Add a finding for every text with the character NUL, which no program argument can contain."""
    if isinstance(data, dict):
        for key, value in data.items():
            _check_text(key, at, document, problems)
            _check_text(value, (*at, key), document, problems)
    elif isinstance(data, list):
        for index, value in enumerate(data):
            _check_text(value, (*at, index), document, problems)
    elif isinstance(data, str) and "\0" in data:
        where = format_path(at)
        message = f"{where} holds the character NUL, which no program can be given"
        problem = Problem("AF1103", message, document.source.value(at), where, "scheduler:text", "remove the character")
        problems.add(problem)


def _bind(document: Document, problems: Problems) -> tuple[SchedulerFileSpec | None, dict[int, SchedulerItemSpec]]:
    """Validate the document and each of its items separately: a mistake in one item must not hide those of others."""
    data, source = document.data, document.source
    if not isinstance(data, dict) or not isinstance(data.get("items", []), list):
        problems.extend(bind(SchedulerFileSpec, data, source)[1])
        return None, {}
    top = {key: value for key, value in data.items() if key != "items"}
    spec, found = bind(SchedulerFileSpec, top, source)
    problems.extend(found)
    items = {}
    for index, each in enumerate(data.get("items", [])):
        item, found = bind(SchedulerItemSpec, each, source, at=("items", index))
        problems.extend(found)
        if item is not None or (item := _right_part(SchedulerItemSpec, each)) is not None:
            items[index] = item
    spec = spec or _right_part(SchedulerFileSpec, top) or SchedulerFileSpec()
    return spec.model_copy(update={"items": list(items.values())}), items


def _right_part(model: type[ModelT], data: Any) -> ModelT | None:
    """Validate data without its invalid keys, so that the others can be checked further; None if that is impossible."""
    try:
        return model.model_validate(data)
    except ValidationError as error:
        wrong = {item["loc"][0] for item in error.errors() if item["loc"]}
        if not isinstance(data, dict) or not wrong & data.keys():
            return None
        return _right_part(model, {key: value for key, value in data.items() if key not in wrong})


def load_schedule(path: str | Path) -> Schedule:
    """Load a schedule; findings that do not prevent it from running are in its `warnings`.

    Raises SpecError with all errors. A missing flow or manifest is a warning: the slots of the item will fail.
    """
    found = read_schedule(path)
    if found.problems.errors:
        raise SpecError(found.problems)
    if found.schedule is None:
        raise SpecError(list(found.problems))
    return found.schedule


def _server_as_ledger(state: str, document: Document) -> Problem:
    message = f"state: {state} is a database server, and `state` of a schedule names a file"
    fix = "leave it out: with `state: {resource: NAME}` in the project file the ledger is in that server, too"
    return Problem("AF1104", message, document.source.value(("state",)), "state", "scheduler:unsupported", fix)


def show_path(path: str | None, folder: Path) -> str:
    """A path for messages: relative to the document's folder if it is inside, else absolute."""
    if path is None:
        return ""
    given = Path(path)
    return str(given.relative_to(folder)) if given.is_relative_to(folder) else path
