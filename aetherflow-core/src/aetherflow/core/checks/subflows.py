"""The check of flows that steps call: each is checked like the calling flow, and calls must not form a cycle."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from aetherflow.core.base.errors import PathError
from aetherflow.core.base.location import DocPath, format_path
from aetherflow.core.base.problems import Problem, Problems
from aetherflow.core.checks.assets import AssetChecks
from aetherflow.core.checks.checked import Checked
from aetherflow.core.checks.environment import try_snapshot
from aetherflow.core.checks.view import Part, jobs, steps
from aetherflow.core.host.catalog import Catalog
from aetherflow.core.host.step_inputs import inputs_of
from aetherflow.core.kernel.resolver.params import ParamError, settle_params, take_as_text
from aetherflow.core.kernel.resolver.template import has_template
from aetherflow.core.kernel.yaml.flow import FlowSpec
from aetherflow.core.kernel.yaml.loader import Document, RawString
from aetherflow.core.runtime.environment.inner import MAX_DEPTH, TOO_DEEP, TOO_DEEP_FIX, in_bundle
from aetherflow.core.runtime.environment.snapshot import Snapshot

Check = Callable[[Path, Snapshot, Catalog | None, tuple[Path, ...]], Checked]
"""Checks a flow with an existing catalogue or None; the last argument are the calling flows, outermost first."""


class SubFlows:
    """Checks the flows that the steps of one document call."""

    def __init__(
        self,
        document: Document,
        catalog: Catalog,
        snapshot: Snapshot,
        problems: Problems,
        assets: AssetChecks,
        check: Check,
        around: tuple[Path, ...],
    ) -> None:
        self._document = document
        self._catalog = catalog
        self._snapshot = snapshot
        self._problems = problems
        self._assets = assets
        self._check_flow = check
        self._around = (*around, Path(document.file).resolve())
        self._known: dict[Path, FlowSpec | None] = {}

    def check(self) -> dict[DocPath, FlowSpec]:
        """Check all called flows; returns path of the calling step to the flow, where it is known."""
        found = {}
        for job in jobs(self._document.data):
            for step in steps(job):
                for path, cls, inputs in inputs_of(step.data, step.path, self._catalog):
                    if path == (*step.path, "inputs"):
                        self._side_by_side(step, runs_flow=cls.flow_input is not None)
                    if cls.flow_input is None:
                        continue
                    if (spec := self._call(path, inputs, cls.flow_input)) is not None:
                        found[path[:-1]] = spec
        return found

    def _side_by_side(self, step: Part, *, runs_flow: bool) -> None:
        loop, path = step.get("for_each", dict) or {}, (*step.path, "for_each", "max_parallel")
        if not isinstance(most := loop.get("max_parallel"), int) or most < 2:
            return
        at, loc = self._document.source.value(path), format_path(path)
        if not runs_flow:
            message = f"{loc}: {step.data['type']} runs no flow; other steps have their items one after the other"
            fix = "leave it out, or put the step into a flow of its own, and run that with run_flow"
            self._problems.add(Problem("AF1103", message, at, loc, "semantic:setting", fix))
        if loop.get("quarantine") is not None:
            message = f"{loc}: files are set aside only if items run one after the other"
            self._problems.add(Problem("AF1103", message, at, loc, "semantic:setting", "leave out one of the two"))

    def _call(self, path: DocPath, inputs: Mapping[str, Any], key: str) -> FlowSpec | None:
        text = inputs.get(key)
        known = self._assets.known(text)
        if known is None:
            return None  # its name is known only in the run, which checks it
        at = (*path, key)
        try:
            file = self._assets.find(known).resolve()
        except PathError as error:
            self._add(f"the flow may not be read: {error.message}", at, self._assets.outside_fix)
            return None
        if file in self._around:
            chain = " -> ".join(each.name for each in (*self._around[self._around.index(file) :], file))
            self._add(f"the flow would run itself: {chain}", at, "take the step out, or name another flow")
        elif len(self._around) > MAX_DEPTH:
            chain = f"{self._around[0].name} -> … -> {self._around[-1].name} -> {file.name}"
            self._add(f"{TOO_DEEP}: {chain}", at, TOO_DEEP_FIX)
        elif not file.is_file():
            self._add(f"no such flow file: {known}", at, self._assets.missing_fix(known, file, at))
        else:
            self._assets.other_meaning(known, file, at)
            if file not in self._known:
                self._known[file] = self._spec(file)
            if (spec := self._known[file]) is not None:
                self._params(spec, inputs.get("params", {}), (*path, "params"), at)
                return spec
        return None

    def _spec(self, file: Path) -> FlowSpec | None:
        snapshot = self._snapshot
        beside = file.parent == Path(self._document.file).absolute().parent.resolve()
        if not beside and not in_bundle(file.parent, snapshot):
            project = snapshot.project.document
            config = Path(project.file) if project is not None else None
            snapshot, broken = try_snapshot(file.parent, config=config, ambient=snapshot.env)
            self._problems.extend(broken)
        catalog = self._catalog if snapshot is self._snapshot else None
        checked = self._check_flow(self._shown(file), snapshot, catalog, self._around)
        self._problems.extend(checked.problems)
        return checked.spec

    def _shown(self, file: Path) -> Path:
        """The path relative to that of the document, for messages."""
        folder = Path(self._document.file).parent
        real = folder.resolve()
        return folder / file.relative_to(real) if file.is_relative_to(real) else file

    def _params(self, spec: FlowSpec, given: Any, path: DocPath, flow_at: DocPath) -> None:
        if not isinstance(given, dict):
            return  # a template, or reported by the model of the inputs
        declared = spec.flow.params
        for name, param in declared.items():
            if name not in given and "default" not in param.model_fields_set:
                fix = f"give it: params: {{{name}: …}}"
                self._add(f"flow {spec.flow.id} requires the parameter {name!r}", flow_at, fix)
        for name, value in given.items():
            known = {name: declared[name]} if name in declared else declared
            if name in declared and _holds_template(value):
                continue
            try:
                settle_params(known, {name: value})
            except ParamError as error:
                self._add(f"flow {spec.flow.id}: {error}", (*path, name), error.fix)
            else:
                take_as_text(self._document.source, (*path, name), known[name], value)

    def _add(self, message: str, path: DocPath, fix: str) -> None:
        where = self._document.source.value(path)
        text, fix = self._assets.masked(f"{format_path(path)}: {message}"), self._assets.masked(fix)
        self._problems.add(Problem("AF1215", text, where, format_path(path), "semantic:subflow", fix))


def _holds_template(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(_holds_template, value.values()))
    if isinstance(value, list):
        return any(map(_holds_template, value))
    return isinstance(value, str) and has_template(value) and not isinstance(value, RawString)
