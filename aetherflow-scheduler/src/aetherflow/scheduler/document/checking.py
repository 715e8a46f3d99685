"""All checks of a scheduler document, including the flows and manifests that it names."""

import re
import shlex
from pathlib import Path
from typing import Any

from aetherflow.core.api import AetherflowError, FlowSpec, Problem
from aetherflow.core.embedding import (
    Checked,
    DocPath,
    Document,
    Environment,
    ParamError,
    check_document,
    check_in_memory,
    check_notify,
    did_you_mean,
    format_path,
    settle_params,
    wrapped_path,
)
from aetherflow.scheduler.document.commands import as_flow
from aetherflow.scheduler.document.findings import Findings
from aetherflow.scheduler.document.freezing import ItemTarget
from aetherflow.scheduler.document.paths import exists
from aetherflow.scheduler.document.reading import ReadDocument, read_schedule
from aetherflow.scheduler.launchers import check_launcher, launcher_names
from aetherflow.scheduler.launchers.broker import DEFAULT_QUEUE
from aetherflow.scheduler.schedule.schedule import ItemCommand
from aetherflow.scheduler.schedule.spec import SchedulerItemSpec

_ITEM = re.compile(r"items\[(\d+)\]")


def check_schedule(path: str | Path, environment: Environment | None = None) -> ReadDocument:
    """Read a document and check it with its flows and manifests; mistakes are findings, never exceptions."""
    read = read_schedule(path)
    if read.document is not None:
        _Flows(read, read.document, environment or Environment()).check()
    return read if not read.problems.errors else read._replace(schedule=None)


def item_of(problem: Problem, document: Document | None) -> str | None:
    """The id of the item that a finding is about; None if it concerns no single item."""
    match = _ITEM.match(problem.loc)
    if match is None or document is None:
        return None
    data: Any = document.data
    try:
        name = data["items"][int(match[1])]["id"]
    except (KeyError, IndexError, TypeError):
        return None
    return name if isinstance(name, str) else None


class _Flows:
    def __init__(self, read: ReadDocument, document: Document, environment: Environment) -> None:
        self.read = read
        self.environment = environment
        self.found = Findings(document, read.problems)
        self.checked: dict[tuple[Path, str], Checked] = {}
        self.launchers: dict[str, AetherflowError | None] = {}

    def check(self) -> None:
        """Check for every item that its flow or manifest exists and is valid, and accepts the item's params and job."""
        for each in self.read.named:
            self._item(("items", each.number), each)
        flows = {checked.spec.flow.id: path for (path, _), checked in self.checked.items() if checked.spec is not None}
        for each in self.read.named:
            if each.command is not None and (path := flows.get(each.spec.id)) is not None:
                message = (
                    f"{path} has the flow id {each.spec.id!r} too: the command and the flow would have one history"
                )
                self.found.add("AF8005", message, ("items", each.number, "id"), "duplicate_id", "rename the item")
        self._queues()
        if self.read.schedule is not None and self.read.schedule.spec.notify:
            snapshot, _ = self.environment.of(Path(self.found.document.file))
            check_notify(self.found.document, self.read.schedule.spec.notify, snapshot, self.read.problems)

    def _queues(self) -> None:
        """No worker that takes runs of items takes the runs inside of them: those would wait for it to be free."""
        taken = {each.spec.queue or DEFAULT_QUEUE: each.spec.id for each in self.read.named}
        for each in self.read.named:
            if (other := taken.get(each.spec.fan_out_queue or "")) is not None:
                name = each.spec.fan_out_queue
                message = f"`fan_out_queue: {name}` is also the queue of item {other!r}: runs would wait for each other"
                at = self._at(("items", each.number), "fan_out_queue")
                self.found.add("AF8010", message, at, "fan_out_queue", "name a queue, and workers, of its own")

    def _item(self, at: DocPath, item: ItemTarget) -> None:
        self._launcher(item.spec.launcher, self._at(at, "launcher"))
        if item.command is not None:
            self._command(item.spec.id, item.command, (*at, "command"))
        if item.manifest is not None:
            self._document(item.manifest, "manifest", self._at(at, "bundle_manifest"))
            return
        if item.flow is None:
            return
        checked = self._document(item.flow, "flow", self._at(at, "flow_yaml", "flow"))
        if checked is not None and checked.spec is not None:
            self._takes(at, item.spec, checked.spec)

    def _launcher(self, name: str, at: DocPath) -> None:
        if name not in (known := launcher_names()):
            message = f"no installed distribution provides the launcher {name!r}"
            self.found.add(
                "AF2101", message, at, "unknown_launcher", did_you_mean(name, known, what="installed launchers")
            )
            return
        if name not in self.launchers:
            try:
                check_launcher(name)
            except AetherflowError as error:
                self.launchers[name] = error
            else:
                self.launchers[name] = None
        if (refused := self.launchers[name]) is not None:
            self.found.add(refused.code, str(refused), at, "refused_launcher", refused.fix)

    def _command(self, name: str, command: ItemCommand, at: DocPath) -> None:
        """Check that the program is there, if it is one of the document's folder, and what stands in its way."""
        program = command.folder / command.words[0]
        if "/" in command.words[0] and program.is_relative_to(command.folder) and not exists(program):
            message = f"{format_path(at)}: no such program: {program}"
            fix = f"correct the path; it is relative to {command.folder}"
            self.found.add("AF8006", message, at, "no_program", fix)
        file = wrapped_path(command.folder, name)
        for error in check_in_memory(as_flow(name, command), file, self.environment).problems.errors:
            told = f"{format_path(at)}: the command cannot run: {error.message}"
            self.found.add(error.af, told, at, "refused_command", error.fix)

    def _document(self, path: Path, kind: str, at: DocPath) -> Checked | None:
        if not exists(path):
            message = f"{format_path(at)}: no such file: {path}"
            self.found.add(
                "AF8006", message, at, f"no_{kind}", f"correct the path; it is relative to {self.read.folder}"
            )
            return None
        checked = self.checked.get((path, kind))
        if checked is None:
            checked = self.checked[path, kind] = check_document(path, self.environment, kind)
        if errors := checked.problems.errors:
            more = f" and {len(errors) - 1} more" if len(errors) > 1 else ""
            first = f"{errors[0].location}: {errors[0].af} {errors[0].message}"
            message = f"{format_path(at)}: the {kind} is not valid: {first}{more}"
            self.found.add("AF8011", message, at, f"bad_{kind}", shlex.join(["aetherflow", "validate", str(path)]))
        return checked

    def _takes(self, at: DocPath, item: SchedulerItemSpec, flow: FlowSpec) -> None:
        try:
            settle_params(flow.flow.params, item.params)
        except ParamError as error:
            path = self._at(at, "params")
            fix = error.fix.replace("give --param ", "add to params: ").replace("=VALUE", "")
            self.found.add("AF8012", f"{format_path(at)}: {error.message}", path, "params", fix)
        jobs = [job.id for job in flow.jobs]
        if item.flow_job is not None and item.flow_job not in jobs:
            path = self._at(at, "flow_job", "job")
            fix = did_you_mean(item.flow_job, jobs, what="jobs of the flow")
            self.found.add("AF8013", f"the flow has no job {item.flow_job!r}", path, "unknown_job", fix)

    def _at(self, at: DocPath, *keys: str) -> DocPath:
        """The path of a key's value: in the item, else in `defaults`, else the path of the item."""
        source = self.found.document.source
        places: list[DocPath] = [*((*at, key) for key in keys), *(("defaults", key) for key in keys)]
        return next((place for place in places if place in source.values), at)
