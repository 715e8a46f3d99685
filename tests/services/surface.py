"""The public surface, as a tree of names: what docs/reference/compatibility.md promises to keep.

    python tests/services/surface.py > tests/data/VERSION/surface.json

records that of the installed distributions, when a version is released. The script uses nothing that may move, so it
ran under 1.0.0 too. In the tree a text is a fact that stays, and a map has names. A name that begins with `takes`
holds what others give: `optional`, or `required`, which nothing may become that they need not give today.
"""

import contextlib
import enum
import inspect
import io
import json
import os
import re
import tempfile
from collections.abc import Callable, Iterator
from importlib import import_module
from importlib.metadata import distributions
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel

Tree = dict[str, Any]
FLOW = """\
version: 1
flow: {id: f, workspace: {root: work}, state: {path: state.sqlite}}
jobs:
  - id: a
    steps:
      - {id: s, type: check_items, inputs: {items: [1]}, outputs: {n: "{{result.count}}"}}
      - {id: t, type: file_write, inputs: {path: out.txt, content: x}}
  - {id: b, depends_on: [a], steps: [{id: s, type: check_items, inputs: {items: []}}]}
"""
BAD = FLOW.replace("check_items, inputs: {items: []}", "fail, inputs: {message: no}").replace("id: f,", "id: g,")
DOCUMENTS = [
    "validate flow.yaml",
    "explain flow.yaml",
    "doctor flow.yaml",
    "plan flow.yaml",
    "run flow.yaml --run-id r -q",
    "run bad.yaml --run-id x -q",
    "status",
    "runs list",
    "runs show r",
    "runs show x --flow g",
    "runs logs r",
    "locks list",
    "plugins list",
    "plugins show check_items",
    "plugins show db:sqlite3",
    "plugins check",
]
"""Commands whose `--json` is recorded; run in this order in one folder with the flows above."""


def surface(folder: Path) -> Tree:
    """The surface of what is installed; `folder` is empty."""
    api, testing = import_module("aetherflow.core.api"), import_module("aetherflow.core.testing")
    runner, validation = import_module("aetherflow.core.runner"), import_module("aetherflow.core.validation")
    return {
        "aetherflow.core.api": {name: _described(getattr(api, name)) for name in api.__all__},
        "aetherflow.core.testing": {name: _described(getattr(testing, name)) for name in testing.__all__},
        "aetherflow.core.runner": _functions(runner, "run_flow", "plan_flow"),
        "aetherflow.core.validation": _functions(validation, "validate_flow_yaml", "validate_flow_dict"),
        "hooks": _hooks(),
        "error codes": dict.fromkeys(_codes(), ""),
        "entry-point groups": dict.fromkeys(sorted({group for group, _, _ in _entries()}), ""),
        "steps": {name: _step(load()) for group, name, load in _entries() if group == "aetherflow.steps"},
        "connectors": {
            name: _connector(load()) for group, name, load in _entries() if group == "aetherflow.connectors"
        },
        "bundle sources": {
            name: {"takes keys": _fields(load().Config)}
            for group, name, load in _entries()
            if group == "aetherflow.bundle_sources"
        },
        "settings": dict.fromkeys(sorted(api.Settings.model_fields), ""),
        "documents": {
            kind: _schema(kind) for kind in ("flow", "profiles", "project", "env-files", "manifest", "scheduler")
        },
        "commands": {
            program: _command(import_module(module).main, program)
            for program, module in (
                ("aetherflow", "aetherflow.core.cli"),
                ("aetherflow-scheduler", "aetherflow.scheduler.cli"),
            )
        },
        "--json": _documents(folder),
    }


def as_text(found: Tree) -> str:
    """The tree as JSON, with a line for each name of a section."""
    sections = {
        section: ",\n".join(f"{json.dumps(name)}: {json.dumps(names[name], sort_keys=True)}" for name in sorted(names))
        for section, names in found.items()
    }
    return "{\n" + ",\n".join(f"{json.dumps(name)}: {{\n{text}\n}}" for name, text in sections.items()) + "\n}"


def broken(before: Any, now: Any, path: str = "") -> Iterator[str]:
    """The places at which `now` does not keep what `before` promised."""
    if not isinstance(before, dict):
        if before != now and (before, now) != ("required", "optional"):
            yield f"{path}: {before!r} is {now!r}"
        return
    if not isinstance(now, dict):
        yield f"{path}: has no names"
        return
    for name, value in before.items():
        if name in now:
            yield from broken(value, now[name], f"{path}/{name}")
        else:
            yield f"{path}/{name}: gone"
    if path.rpartition("/")[2].startswith("takes"):
        yield from (
            f"{path}/{name}: new, and required" for name in now.keys() - before.keys() if now[name] == "required"
        )


def _entries() -> list[tuple[str, str, Callable[[], Any]]]:
    ours = [each for each in distributions() if (each.name or "").startswith("aetherflow")]
    points = {(point.group, point.name): point for each in ours for point in each.entry_points}
    return [(*key, point.load) for key, point in sorted(points.items()) if key[0].startswith("aetherflow.")]


def _described(found: Any) -> Tree:
    if inspect.isroutine(found):
        return {"takes": _parameters(found)}
    if not inspect.isclass(found):
        return {}
    if issubclass(found, BaseException):
        own = {"code": str(getattr(found, "code", "")), "exit code": str(getattr(found, "exit_code", ""))}
        return {**own, "is a": dict.fromkeys((base.__name__ for base in found.__mro__[1:-1]), "")}
    if issubclass(found, enum.Enum):
        return dict.fromkeys((each.name for each in found), "")
    if issubclass(found, BaseModel):
        return {"takes": _fields(found)}
    members: Tree = {}
    for name in dir(found):
        if name in _own_names(found) and not name.startswith(("_", "test_")):  # what a suite tests may change
            member = inspect.getattr_static(found, name, None)
            function = member.__func__ if isinstance(member, staticmethod | classmethod) else member
            members[name] = {"takes": _parameters(function)} if inspect.isfunction(function) else {}
    return members


def _own_names(found: type) -> set[str]:
    """Names that a class or its bases of ours define."""
    ours = [base for base in found.__mro__ if base.__module__.startswith("aetherflow")]
    return {name for base in ours for name in (*vars(base), *_annotated(base))}


def _annotated(base: type) -> Any:
    """The names that a class annotates. Since Python 3.14 a class has a function for them, which may lack names."""
    if "__annotate_func__" not in vars(base):
        return vars(base).get("__annotations__", ())
    lib = import_module("annotationlib")
    return lib.get_annotations(base, format=lib.Format.FORWARDREF)


def _functions(module: Any, *names: str) -> Tree:
    return {name: _described(getattr(module, name)) for name in names if hasattr(module, name)}


def _parameters(function: Any) -> Tree:
    kinds = inspect.Parameter
    return {
        each.name: "required"
        if each.default is each.empty and each.kind not in (kinds.VAR_KEYWORD, kinds.VAR_POSITIONAL)
        else "optional"
        for each in inspect.signature(function).parameters.values()
        if each.name not in ("self", "cls")
    }


def _hooks() -> Tree:
    specs = vars(import_module("aetherflow.core.contracts.hookspecs"))
    return {
        name: dict.fromkeys(inspect.signature(found).parameters, "")
        for name, found in specs.items()
        if name.startswith("aetherflow_")
    }


def _codes() -> list[str]:
    page = Path(__file__).parents[2] / "docs/reference/errors.md"
    return re.findall(r"^### (AF\d{4})$", page.read_text(encoding="utf-8"), re.MULTILINE)


def _step(cls: Any) -> Tree:
    outputs = dict.fromkeys(_fields(cls.Outputs), "") if cls.Outputs is not None else {}
    inputs = _fields(cls.Inputs) if cls.Inputs is not None else dict.fromkeys(cls.required_inputs, "required")
    return {"effect": cls.effect, "takes inputs": inputs, "outputs": outputs}


def _connector(cls: Any) -> Tree:
    models = {"takes config": getattr(cls, "Config", None), "takes options": getattr(cls, "Options", None)}
    return {section: _fields(model) for section, model in models.items() if model is not None}


def _fields(model: Any) -> Tree:
    """The keys of a model, other spellings too, and below them those of models inside it."""
    found: Tree = {}
    for name, field in model.model_fields.items():
        given = "required" if field.is_required() else "optional"
        others = getattr(field.validation_alias, "choices", (field.validation_alias or field.alias,))
        found[name] = given
        found |= {other: "optional" for other in others if isinstance(other, str) and other != name}
        for inner in (field.annotation, *get_args(field.annotation)):
            if inspect.isclass(inner) and issubclass(inner, BaseModel) and not issubclass(model, inner):
                found |= {f"{name}.{key}": "optional" for key in _fields(inner)}
    return dict(sorted(found.items()))


def _schema(kind: str) -> Tree:
    """The keys of a kind of document, by the JSON schema that editors get; those of steps and connectors left out."""
    text = _said(import_module("aetherflow.core.cli").main, "schema", kind)
    schema = json.loads(text) if text else {}
    found: Tree = {}

    def walk(node: Any, path: str, above: tuple[str, ...]) -> None:
        if not isinstance(node, dict):
            return
        if (ref := node.get("$ref")) is not None and ref not in above:
            target: Any = schema
            for part in ref.removeprefix("#/").split("/"):
                target = target[part]
            walk(target, path, (*above, ref))
        for each in (*node.get("anyOf", ()), *node.get("oneOf", ())):
            walk(each, path, above)
        for name, inner in node.get("properties", {}).items():
            found[f"{path}{name}"] = ""
            walk(inner, f"{path}{name}.", above)
        walk(node.get("items"), path, above)
        walk(node.get("additionalProperties"), f"{path}*.", above)

    walk(schema, "", ())
    return dict(sorted(found.items()))


def _command(main: Any, *words: str) -> Tree:
    """The options of a command, and the commands below it, by its help."""
    text = _said(main, *words[1:], "--help")
    options = re.findall(
        r"(?<![\w`-])--?[a-z][\w-]*(?=[\s,]|$)", "\n".join(re.findall(r"^  (-.*?)(?:  |$)", text, re.MULTILINE))
    )
    inner = re.findall(r"^  (\w[\w-]*)(?:  |$)", text.partition("\nCommands:\n")[2], re.MULTILINE)
    return {**dict.fromkeys(sorted(options), ""), **{name: _command(main, *words, name) for name in inner}}


def _documents(folder: Path) -> Tree:
    """The keys of what commands print with `--json`, with the number of the schema."""
    (folder / "flow.yaml").write_text(FLOW)
    (folder / "bad.yaml").write_text(BAD)
    main, found = import_module("aetherflow.core.cli").main, {}
    before = Path.cwd()
    os.chdir(folder)
    try:
        for command in DOCUMENTS:
            if not (text := _said(main, *command.split(), "--json")):
                continue
            document = json.loads(text)
            found[command] = {"schema": str(document.get("schema")), "keys": dict.fromkeys(sorted(_keys(document)), "")}
    finally:
        os.chdir(before)
    return found


def _keys(value: Any, path: str = "") -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            name = "*" if "." in key else key  # the path of a setting, say
            yield f"{path}{name}"
            yield from _keys(inner, f"{path}{name}.")
    elif isinstance(value, list):
        for inner in value:
            yield from _keys(inner, path)


def _said(main: Any, *words: str) -> str:
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(io.StringIO()):
        main(list(words))
    return out.getvalue()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as empty:
        os.environ["HOME"] = empty
        print(as_text(surface(Path(empty))))
