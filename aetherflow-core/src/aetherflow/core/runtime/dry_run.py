"""Dry runs: the steps of a plan describe what they would do (`Step.plan`).

A step is asked only if all its inputs are known, that is, if they read no result of a step that is still to run. It
gets a context that only reads.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from aetherflow.core.base.errors import ResolverError, StepError
from aetherflow.core.base.redact import texts_in
from aetherflow.core.contracts.step import Step
from aetherflow.core.host.catalog import active
from aetherflow.core.host.faults import message_with_place
from aetherflow.core.kernel.resolver.deferred import Deferred, render_inputs
from aetherflow.core.kernel.resolver.template import render
from aetherflow.core.kernel.sequencing.failure import fix_of, message_of
from aetherflow.core.kernel.sequencing.plan import Effects, JobPlan, StepPlan, Verdict
from aetherflow.core.kernel.sequencing.summary import template_entry
from aetherflow.core.kernel.state.records import StepKey
from aetherflow.core.kernel.yaml.flow import JobSpec, StepSpec
from aetherflow.core.runtime.connectors.connections import RunConnectors
from aetherflow.core.runtime.connectors.context import ConnectorsRun
from aetherflow.core.runtime.context.reading_context import ReadingContext
from aetherflow.core.runtime.opening.opening import Opened
from aetherflow.core.runtime.workspace.engine_files import EngineFiles
from aetherflow.core.runtime.workspace.workspace import Workspace

MOST_ITEMS = 1000
"""Items of a `for_each` for which the step is asked."""


def dry_run(opened: Opened) -> None:
    """Ask every step of the plan that is to run, and store its answer in the plan; changes nothing else."""
    _DryRun(opened).run()


class _DryRun:
    def __init__(self, opened: Opened) -> None:
        flow, settings = opened.flow, opened.flow.snapshot.settings
        self._opened = opened
        self._workspace = Workspace(opened.places.work_root, opened.places.layout, flow.flow_id, opened.run_id)
        databases = self._workspace.databases(flow.assets, EngineFiles.of(flow.snapshot), make=False)
        self._connectors = RunConnectors(
            opened.resources(),
            ConnectorsRun(
                databases, settings.rooted(self._workspace.root), opened.redactor, flow.flow_id, opened.run_id
            ),
            flow.catalog,
            default=settings.connector_cache_default,
            disabled=settings.connector_cache_disabled,
        )
        self._jobs: dict[str, Any] = {}

    def run(self) -> None:
        specs = {job.id: job for job in self._opened.flow.spec.jobs}
        try:
            for plan in self._opened.plan.jobs:
                self._job(plan, specs[plan.job_id])
        finally:
            self._connectors.close()

    def _job(self, plan: JobPlan, job: JobSpec) -> None:
        state = self._opened.state
        outputs = state.job_outputs(job.id)
        done: dict[str, Any] = {}
        for step, spec in zip(plan.steps, job.steps, strict=False):
            if step.verdict is Verdict.REUSE:
                done[spec.id] = state.steps.outputs(step.key)
            elif step.verdict in (Verdict.RUN, Verdict.RUN_AGAIN):
                step.effects = self._step(step, spec, self._scope(job.id, done, outputs))
        if plan.verdict is Verdict.REUSE:
            self._jobs[job.id] = template_entry(state.jobs[job.id], outputs)

    def _scope(self, job_id: str, steps: Mapping[str, Any], outputs: Mapping[str, Any]) -> dict[str, Any]:
        opened = self._opened
        return {
            **opened.constants,
            "steps": dict(steps),
            "job": {"id": job_id, "outputs": dict(outputs)},
            "jobs": self._jobs,
            "run_id": opened.run_id,
            "flow_id": opened.flow.flow_id,
        }

    def _step(self, plan: StepPlan, spec: StepSpec, scope: Mapping[str, Any]) -> Effects:
        mask = self._opened.redactor.mask
        try:
            lines = tuple(mask(line) for line in self._lines(plan.key, spec, scope))
        except ResolverError as error:
            return Effects((), f"not known before: {mask(message_of(error)).partition(chr(10))[0]}")
        except Exception as error:  # noqa: BLE001 a failing plugin or peer must not hide the answers of other steps
            message = message_with_place(error)
            fix = f" (fix: {found})" if (found := fix_of(error)) else ""
            return Effects((), mask(f"unknown: {message}{fix}"))
        finally:
            self._connectors.end_attempt()
        return Effects(lines, "" if lines else "the step says nothing of its effects")

    def _lines(self, key: StepKey, spec: StepSpec, scope: Mapping[str, Any]) -> Iterator[str]:
        with active(self._opened.flow.catalog):
            if spec.loop is None:
                yield from self._ask(key, spec.type, spec.inputs, scope)
                return
            items = render(spec.loop.items, scope)
            if not isinstance(items, list):
                raise StepError("for_each is not a list")
            if (most := min(spec.loop.max_parallel, len(items))) > 1:
                yield f"{len(items)} items, {most} at a time, each in a process of its own"
            for item in items[:MOST_ITEMS]:
                yield from self._ask(key, spec.type, spec.inputs, {**scope, "item": item})
            if len(items) > MOST_ITEMS:
                yield f"... and so on for {len(items) - MOST_ITEMS} more items"

    def _ask(self, key: StepKey, step_type: str, inputs: Mapping[str, Any], scope: Mapping[str, Any]) -> Iterator[str]:
        cls: type[Step[Any]] = self._opened.flow.catalog.step(step_type)
        given = render_inputs(inputs, scope, cls.inner_steps)
        ctx = ReadingContext(self._opened, self._workspace, self._connectors, key)
        step = cls(key.step, given, ctx, key.job)
        step.validate()
        yield from step.plan()
        for name in cls.inner_steps:
            if isinstance(inner := given.get(name), Mapping):
                yield from self._inner(key, inner)

    def _inner(self, key: StepKey, inner: Mapping[str, Any]) -> Iterator[str]:
        waiting = [text for text in texts_in(inner.get("inputs")) if isinstance(text, Deferred)]
        if waiting:
            yield f"{inner['type']}: not known before: {waiting[0]}"
            return
        # already rendered with the outer step: braces in it are data
        for line in self._ask_rendered(key, str(inner["type"]), inner.get("inputs") or {}):
            yield f"{inner['type']}: {line}"

    def _ask_rendered(self, key: StepKey, step_type: str, given: Mapping[str, Any]) -> list[str]:
        cls: type[Step[Any]] = self._opened.flow.catalog.step(step_type)
        step = cls(key.step, given, ReadingContext(self._opened, self._workspace, self._connectors, key), key.job)
        step.validate()
        return step.plan()
