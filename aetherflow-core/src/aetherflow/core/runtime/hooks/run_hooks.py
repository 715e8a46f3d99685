"""The hooks of one run: what observes it, what stands around its steps, what its plan is shown to."""

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from aetherflow.core.base.errors import HookFailedError, SpecError
from aetherflow.core.base.problems import Problem, Problems
from aetherflow.core.contracts.events import REFUSED_PLAN, PlanInfo, PlannedJob, PlannedStep, RunInfo, StepInfo
from aetherflow.core.contracts.handles import StepResult
from aetherflow.core.host.catalog import Catalog, active
from aetherflow.core.host.hooks import Hooks, hook_failed, with_own
from aetherflow.core.kernel.state.records import StepKey
from aetherflow.core.runtime.environment.settings import Settings

if TYPE_CHECKING:
    from aetherflow.core.kernel.sequencing.verdicts import Plan
    from aetherflow.core.runtime.opening.prepare import PreparedFlow

CALL_STEP = "aetherflow_call_step"
CHECK_PLAN = "aetherflow_check_plan"


class StepWrapping:
    """Runs attempts with the flow's plugins at hand, inside of the wrappers of `aetherflow_call_step`."""

    def __init__(self, hooks: Hooks | None, run: RunInfo, catalog: Catalog) -> None:
        self._run = run
        self._catalog = catalog
        self._names = hooks.names(CALL_STEP) if hooks is not None else []
        self._hooks = hooks if self._names else None

    def call(self, step: StepInfo, work: Callable[[], StepResult]) -> StepResult:
        """The result that the outermost wrapper returns; raises what it raises."""

        def with_plugins() -> StepResult:
            with active(self._catalog):
                return work()

        if self._hooks is None:
            return with_plugins()
        result = self._hooks.around(with_plugins, run=self._run, step=step)
        if not isinstance(result, StepResult):
            names = ", ".join(self._names)
            message = f"hook {names}: call_step returned {type(result).__name__}; it must return a StepResult"
            raise HookFailedError(message, fix="return what `yield` gave, or a StepResult")
        return result


def hooks_of_run(hooks: Hooks | None, settings: Settings) -> Hooks | None:
    """The installed hooks and those of our own that the settings switch on; None if there are none.

    Raises UsageError if one of ours cannot be had.
    """
    own: dict[str, Any] = {}
    if settings.metrics_module:
        from aetherflow.core.runtime.hooks.metrics import load_metrics  # few runs are measured

        own["metrics"] = load_metrics(settings.metrics_module)
    if settings.otel:
        from aetherflow.core.runtime.hooks.otel import make_tracer  # nor traced

        own["otel"] = make_tracer()
    return with_own(hooks, own)


def check_plan(flow: "PreparedFlow", run: RunInfo, plan: "Plan") -> None:
    """Show a plan to the hooks. SpecError with what they found; HookFailedError for one that fails."""
    hooks = flow.snapshot.hooks
    if hooks is None or not hooks.names(CHECK_PLAN):
        return
    problems = Problems()
    mask = flow.snapshot.redactor().mask  # a plan shows its environment
    try:
        for name, found in hooks.decide(CHECK_PLAN, plan=_plan_info(flow, run, plan)):
            for problem in _named(name, found):
                message, fix = mask(f"{name}: {problem.message}"), mask(problem.fix)
                problems.add(dataclasses.replace(problem, af=REFUSED_PLAN, message=message, fix=fix, severity="error"))
    except HookFailedError as error:
        raise HookFailedError(mask(error.message), fix=mask(error.fix)) from None
    if problems.errors:
        raise SpecError(problems)


def _named(name: str, found: Any) -> Iterable[Problem]:
    try:
        items = list(found) if isinstance(found, Iterable) else [found]
    except (Exception, SystemExit) as error:  # a generator runs only now
        raise hook_failed(name, CHECK_PLAN, error) from error
    for item in items:
        if not isinstance(item, Problem):
            message = f"hook {name}: check_plan returned {type(item).__name__} in place of a problem"
            raise HookFailedError(
                message, fix="return a list of plan.problem(...), job.problem(...), step.problem(...)"
            )
        yield item


def _frozen(value: Any) -> Any:
    if isinstance(value, Mapping):
        return MappingProxyType({key: _frozen(item) for key, item in value.items()})
    return tuple(map(_frozen, value)) if isinstance(value, list | tuple) else value


def _plan_info(flow: "PreparedFlow", run: RunInfo, plan: "Plan") -> PlanInfo:
    source = flow.document.source
    verdicts = {step.key: step.verdict for job in plan.jobs for step in job.steps}
    jobs = []
    for index, (spec, planned) in enumerate(zip(flow.spec.jobs, plan.jobs, strict=True)):
        steps = tuple(
            PlannedStep(
                step.id,
                step.type,
                str(verdicts.get(StepKey(spec.id, step.id), planned.verdict)),
                _frozen(step.inputs),
                source.value(("jobs", index, "steps", at)),
            )
            for at, step in enumerate(spec.steps)
        )
        jobs.append(PlannedJob(spec.id, str(planned.verdict), steps, source.value(("jobs", index))))
    return PlanInfo(run, flow.env, tuple(jobs), source.value(("flow",)))
