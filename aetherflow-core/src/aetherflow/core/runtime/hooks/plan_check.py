"""Passing the plan of a run to the hooks `aetherflow_check_plan`, which may refuse it."""

import dataclasses
import traceback
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

from aetherflow.core.base.errors import HookFailedError, SpecError
from aetherflow.core.base.problems import Problem, Problems
from aetherflow.core.contracts.events import REFUSED_PLAN, PlanInfo, PlannedJob, PlannedStep, RunInfo
from aetherflow.core.host.hooks import hook_failed
from aetherflow.core.kernel.sequencing.plan import Plan
from aetherflow.core.kernel.state.records import StepKey
from aetherflow.core.runtime.opening.prepare import PreparedFlow

CHECK_PLAN = "aetherflow_check_plan"


def check_plan(flow: PreparedFlow, run: RunInfo, plan: Plan) -> None:
    """Pass a plan to the hooks. Raises SpecError with their findings, HookFailedError for a hook that fails."""
    hooks = flow.snapshot.hooks
    if hooks is None or not hooks.names(CHECK_PLAN):
        return
    problems = Problems()
    mask = flow.snapshot.redactor().mask  # a hook sees the environment and may quote it
    try:
        for name, found in hooks.decide(CHECK_PLAN, plan=_plan_info(flow, run, plan)):
            for problem in _named(name, found):
                message, fix = mask(f"{name}: {problem.message}"), mask(problem.fix)
                problems.add(dataclasses.replace(problem, af=REFUSED_PLAN, message=message, fix=fix, severity="error"))
    except HookFailedError as error:
        failed = HookFailedError(mask(error.message), fix=mask(error.fix))
        if error.__cause__ is not None:
            failed.add_note(mask("".join(traceback.format_exception(error.__cause__))))
        raise failed from None
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


def _plan_info(flow: PreparedFlow, run: RunInfo, plan: Plan) -> PlanInfo:
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
