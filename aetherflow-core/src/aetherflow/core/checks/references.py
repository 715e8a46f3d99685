"""The check of references that are known before a run: `steps.x.y`, `jobs.x.outputs.y`, `params.x`, `run.x`."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from aetherflow.core.base.errors import AetherflowError
from aetherflow.core.base.location import DocPath
from aetherflow.core.base.suggest import did_you_mean, is_slip
from aetherflow.core.checks.view import Part, jobs, resources, steps, with_braces
from aetherflow.core.host.catalog import Catalog
from aetherflow.core.host.names import STEPS
from aetherflow.core.host.step_inputs import conditions_of
from aetherflow.core.kernel.resolver.template import parse_template
from aetherflow.core.kernel.resolver.when import parse_when, paths_of
from aetherflow.core.kernel.yaml.flow import FlowSpec

JOB_KEYS = {"status", "outputs", "skip_reason", "error"}
ERROR_KEYS = {"step", "code", "message", "log", "items"}
DATE_KEYS = {"iso", "compact", "year", "month", "day", "month_start", "month_end"}
RUN_KEYS = {"id", "attempt", "slot", "previous_slot", "date", "data_date"}
OPEN = "*"
"""In the names of a step's outputs: there may be other outputs."""
ALWAYS = {"reason", "skipped"}
"""Outputs that the engine may add to those of any step."""

Flows = Mapping[DocPath, FlowSpec]
"""The flows that steps run, by the path of the step."""
Report = Callable[[str, DocPath, int, str, str], None]
"""Called with message, document path, offset in the text, fix, contract code."""


class JobFacts:
    """The facts about a job: its steps so far with their outputs (None: unknown), and its outputs so far."""

    def __init__(self, *, locked: bool = False) -> None:
        self.locked = locked
        """Whether the job has a lock of its own, which its steps may read."""
        self.steps: dict[str, set[str] | None] = {}
        self.outputs: set[str] = set()
        self.flows: dict[str, FlowSpec] = {}
        """Step to the flow that it calls, if that is known."""


class Where(NamedTuple):
    """The position of a template, which determines the references that are valid there."""

    job: JobFacts
    result: set[str] | None = None
    in_outputs: bool = False
    in_loop: bool = False
    flow: FlowSpec | None = None
    """The flow that this step calls."""
    added: Mapping[DocPath, frozenset[str]] = {}
    """Path of an inner step's inputs to the roots that only they may read."""

    def has(self, root: str, path: DocPath) -> bool:
        """True if an outer step adds the root at this path."""
        return any(root in roots and path[: len(below)] == below for below, roots in self.added.items())


def check_references(data: Any, catalog: Catalog, report: Report, flows: Flows) -> None:
    """Report every reference to a job, step, output, parameter or date that cannot be resolved in a run."""
    _References(data, catalog, report, flows).check()


class _References:
    def __init__(self, data: Any, catalog: Catalog, report: Report, flows: Flows) -> None:
        self.data = data
        self.flows = flows
        self.catalog = catalog
        self.report = report
        self.jobs: dict[str, JobFacts] = {}
        flow = data.get("flow") if isinstance(data, dict) else None
        params = flow.get("params") if isinstance(flow, dict) else None
        self.params = set(params) if isinstance(params, dict) else set()

    def check(self) -> None:
        flow = self.data.get("flow") if isinstance(self.data, dict) else None
        for key, value in flow.items() if isinstance(flow, dict) else ():
            if key not in ("id", "params", "state"):
                self._walk(value, ("flow", key), None)
        for resource in resources(self.data):
            for section in ("config", "options"):
                self._walk(resource.data.get(section), (*resource.path, section), None)
        for job in jobs(self.data):
            self._when(job)
            facts = JobFacts(locked=job.data.get("lock") is not None)
            self._walk(job.data.get("lock"), (*job.path, "lock"), Where(JobFacts()))
            for step in steps(job):
                self._step(step, facts)
            if job.name is not None:
                self.jobs[job.name] = facts

    def _step(self, step: Part, facts: JobFacts) -> None:
        in_loop = step.data.get("for_each") is not None
        outputs = _of_items(step) if in_loop else self._outputs(step)
        self._for_each(step, facts)
        added = dict(self._added(step.data, step.path))
        self._walk(step.data.get("inputs"), (*step.path, "inputs"), Where(facts, in_loop=in_loop, added=added))
        self._walk(step.data.get("verify"), (*step.path, "verify"), Where(facts, in_loop=in_loop))
        for path, text in conditions_of(step.data, self.catalog, step.path):
            self._expression(text, path, facts)
        flow = None if in_loop else self.flows.get(step.path)
        if step.name is not None:
            facts.steps[step.name] = outputs
            if flow is not None:
                facts.flows[step.name] = flow
        promoted = step.get("outputs", dict) or {}
        self._walk(promoted, (*step.path, "outputs"), Where(facts, outputs, in_outputs=True, flow=flow))
        facts.outputs |= promoted.keys()

    def _for_each(self, step: Part, facts: JobFacts) -> None:
        loop, path = step.data.get("for_each"), (*step.path, "for_each")
        for key, value in loop.items() if isinstance(loop, dict) else ((None, loop),):
            at = path if key is None else (*path, key)
            self._walk(value, at, Where(facts, in_loop=key in ("key", "quarantine")))

    def _added(self, step: dict[str, Any], path: DocPath) -> Iterator[tuple[DocPath, frozenset[str]]]:
        name, inputs = step.get("type"), step.get("inputs")
        if not isinstance(name, str) or not isinstance(inputs, dict):
            return
        try:
            inner_steps = self.catalog.step(name).inner_steps
        except AetherflowError:
            return  # reported where the type is checked
        for key, roots in inner_steps.items():
            if isinstance(inner := inputs.get(key), dict):
                yield (*path, "inputs", key, "inputs"), roots
                yield from self._added(inner, (*path, "inputs", key))

    def _outputs(self, step: Part) -> set[str] | None:
        name = step.get("type", str)
        try:
            cls = self.catalog.step(name) if name else None
            return None if cls is None else cls.output_names(step.get("inputs", dict) or {})
        except AetherflowError:
            return None  # reported where the type is checked

    def _when(self, job: Part) -> None:
        self._expression(job.get("when", str), (*job.path, "when"), None)

    def _expression(self, text: str | None, path: DocPath, own: JobFacts | None) -> None:
        """Check a condition; `own` are the facts of the job whose steps it may read."""
        try:
            found = paths_of(parse_when(text)) if text and text.strip() else []
        except AetherflowError:
            return  # reported where the syntax is checked
        for names, offset in found:
            if names[0] == "jobs":
                self._job(names, path, offset)
            elif names[0] in ("params", "run"):
                self._constant(names, path, offset)
            elif names[0] == "steps" and own is not None:
                self._steps(names, path, offset, Where(own))

    def _walk(self, value: Any, path: DocPath, where: Where | None) -> None:
        """Check the references in a value; `where` is None outside of steps, where only constants can be read."""
        for at, text in with_braces(value, path):
            try:
                tokens = parse_template(text).tokens
            except AetherflowError:
                continue  # reported where the syntax is checked
            for token in tokens:
                if where is not None:
                    self._token(token.path, at, token.offset, where)
                elif token.path[0] in ("params", "run"):
                    self._constant(token.path, at, token.offset)

    def _token(self, names: tuple[str, ...], path: DocPath, offset: int, where: Where) -> None:
        root = names[0]
        if root == "steps":
            self._steps(names, path, offset, where)
        elif root == "jobs":
            self._job(names, path, offset)
        elif root == "job":
            self._own_job(names, path, offset, where)
        elif root in ("params", "run"):
            self._constant(names, path, offset)
        elif root == "result":
            if not where.in_outputs:
                self._say("`result` has a value only in `outputs`", path, offset, "move it to the step's outputs")
            elif len(names) > 1:
                self._key(names[1], where.result, "this step's outputs", path, offset)
                self._inside(where.flow, names[1:], path, offset)
        elif root == "item" and not where.in_loop:
            self._say("`item` has a value only in a step with `for_each`", path, offset, "add for_each to the step")
        elif root == "lock" and not (where.job.locked or where.has(root, path)):
            giving = [name for name in self.catalog.names(STEPS) if self._gives(name, root)]
            outer = " or ".join(f"`{name}`" for name in giving) or "another one that adds it"
            message = f"`{root}` has a value only in the inputs of a step inside {outer}"
            fix = f"wrap the step in {' or '.join(giving) or 'a step that adds it'}, or give the job a `lock`"
            self._say(message, path, offset, fix)

    def _gives(self, step: str, root: str) -> bool:
        try:
            inner_steps = self.catalog.step(step).inner_steps
        except AetherflowError:
            return False  # `plugins check` reports it
        return any(root in roots for roots in inner_steps.values())

    def _steps(self, names: tuple[str, ...], path: DocPath, offset: int, where: Where) -> None:
        known = where.job.steps
        if len(names) == 1:
            return  # all steps so far, as a map
        if names[1] not in known:
            fix = did_you_mean(names[1], known, what="earlier steps of this job")
            self._say(f"no earlier step {names[1]!r} in this job", path, offset, fix, "semantic:unknown_step")
        elif len(names) > 2:
            self._key(names[2], known[names[1]], f"outputs of step {names[1]!r}", path, offset)
            self._inside(where.job.flows.get(names[1]), names[2:], path, offset)

    def _inside(self, flow: FlowSpec | None, names: tuple[str, ...], path: DocPath, offset: int) -> None:
        """Check `jobs.JOB.outputs.KEY` in the output of a step that calls a flow."""
        if flow is None or names[0] != "jobs" or len(names) == 1:
            return
        ids = {job.id: job for job in flow.jobs}
        self._key(names[1], ids, f"the jobs of flow {flow.flow.id!r}", path, offset)
        if names[1] in ids and len(names) > 2:
            self._key(names[2], {"status", "outputs"}, f"what is known of job {names[1]!r}", path, offset)
            if names[2] == "outputs" and len(names) > 3:
                promoted = {key for step in ids[names[1]].steps for key in step.outputs}
                self._key(names[3], promoted, f"outputs of job {names[1]!r}", path, offset)

    def _job(self, names: tuple[str, ...], path: DocPath, offset: int) -> None:
        if len(names) == 1:
            return  # all jobs so far, as a map
        if names[1] not in self.jobs:
            fix = did_you_mean(names[1], self.jobs, what="earlier jobs")
            self._say(f"{names[1]!r} is no earlier job", path, offset, fix, "semantic:unknown_job")
            return
        if len(names) > 2:
            self._key(names[2], JOB_KEYS, f"what is known of job {names[1]!r}", path, offset)
        if len(names) > 3 and names[2] == "outputs":
            self._key(names[3], self.jobs[names[1]].outputs, f"outputs of job {names[1]!r}", path, offset)
        if len(names) > 3 and names[2] == "error":
            self._key(names[3], ERROR_KEYS, f"the error of job {names[1]!r}", path, offset)

    def _own_job(self, names: tuple[str, ...], path: DocPath, offset: int, where: Where) -> None:
        if len(names) > 1:
            self._key(names[1], {"id", "outputs"}, "what is known of this job", path, offset)
        if len(names) > 2 and names[1] == "outputs":
            self._key(names[2], where.job.outputs, "outputs of this job so far", path, offset)

    def _constant(self, names: tuple[str, ...], path: DocPath, offset: int) -> None:
        root = names[0]
        if len(names) == 1:
            return  # the whole map
        if root == "params":
            self._key(names[1], self.params, "flow.params", path, offset)
        else:
            self._key(names[1], RUN_KEYS, "what is known of a run", path, offset)
            if names[1] in ("date", "data_date"):
                if len(names) == 2:
                    fix = f"write {'.'.join(names)}.iso"
                    self._say(f"`{'.'.join(names)}` is a map of forms, not a value", path, offset, fix)
                else:
                    self._key(names[2], DATE_KEYS, "the forms of a date", path, offset)

    def _key(self, name: str, known: Iterable[str] | None, what: str, path: DocPath, offset: int) -> None:
        if known is None or name in known or (what.startswith(("outputs of step", "this step")) and name in ALWAYS):
            return
        names = set(known)
        if OPEN in names:
            names = {one for one in names - {OPEN} if is_slip(name, one)}
            if not names:
                return  # it may be an output that is known only in the run
        fix = did_you_mean(name, names, what=what)
        self._say(f"{name!r} is not among {what}", path, offset, fix)

    def _say(self, message: str, path: DocPath, offset: int, fix: str, code: str = "template:unknown_name") -> None:
        self.report(message, path, offset, fix, code)


def _of_items(step: Part) -> set[str]:
    """Outputs of a step that repeats."""
    loop = step.get("for_each", dict) or {}
    return {"count", "items"} | ({"quarantined", "quarantined_count"} if loop.get("quarantine") else set())
