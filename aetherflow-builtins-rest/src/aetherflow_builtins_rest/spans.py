"""Spans for OpenTelemetry, made by hooks: the run, below it its jobs, below them the attempts of their steps.

They are used where `otel` is on, and need the extra `otel`. If the program has set up a tracer provider, that receives
the spans; else one is set up here, with the exporters that OTEL_TRACES_EXPORTER names.
"""

import os
from collections.abc import Generator
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

from aetherflow.core.api import (
    HookBase,
    JobInfo,
    LockInfo,
    Outcome,
    PluginSettings,
    RunInfo,
    StepInfo,
    StepResult,
    UsageError,
    hookimpl,
    install_command,
)

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span

EXPORTERS = "opentelemetry_traces_exporter"
"""Entry-point group of exporters: `console` comes with the SDK, `otlp` with a distribution of its own."""
FLUSH_MS = 5_000
"""Longest time that the end of a run waits for the exporter."""
RESULTS = {
    "SUCCESS": "success",
    "FAILED": "failure",
    "UNKNOWN": "error",
    "INTERRUPTED": "cancellation",
    "SKIPPED": "skip",
}
"""Status to the word of the semantic conventions for CI/CD, which have a flow as a pipeline and a step as a task."""
_FAILED = ("FAILED", "UNKNOWN", "INTERRUPTED")


class SpanHooks(HookBase[PluginSettings]):
    """The hooks that make the spans of one run."""

    def __init__(self, settings: PluginSettings) -> None:
        """Raises UsageError without the libraries, and for an exporter that is not installed or cannot be set up."""
        super().__init__(settings)
        try:
            from opentelemetry import trace
        except ImportError as error:
            raise UsageError(
                f"AETHERFLOW_OTEL is on and OpenTelemetry is not installed: {error}",
                fix=f"switch it off, or: {install_command('otel')}",
            ) from error
        self._trace = trace
        self._provider: Any = _provider_here()
        self._tracer = self._provider.get_tracer("aetherflow")
        self._open: dict[Any, Span] = {}
        self._early: list[tuple[str, LockInfo]] = []
        """Lock events before the span of the run exists: the lock of a whole flow is taken before the run begins."""

    @hookimpl
    def aetherflow_run_started(self, run: RunInfo) -> None:
        """Open the span of the run."""
        facts = {"flow_id": run.flow_id, "run_id": run.run_id, "attempt": run.attempt}
        self._begin(run, None, f"run {run.flow_id}", facts, _pipeline(run) | {"cicd.pipeline.action.name": "RUN"})
        for name, lock in self._early:
            self._note(run, name, lock)

    @hookimpl
    def aetherflow_run_finished(self, run: RunInfo, outcome: Outcome) -> None:
        """Close the span of the run, and flush the exporter."""
        self._end(run, outcome, "cicd.pipeline.result")
        if (flush := getattr(self._provider, "force_flush", None)) is not None:
            flush(FLUSH_MS)

    @hookimpl
    def aetherflow_job_started(self, run: RunInfo, job: JobInfo) -> None:
        """Open the span of a job."""
        self._begin_job(run, job)

    @hookimpl
    def aetherflow_job_finished(self, run: RunInfo, job: JobInfo, outcome: Outcome) -> None:
        """Close the span of a job; one that was skipped, blocked or reused gets a span of zero length."""
        if job not in self._open:
            self._begin_job(run, job)
        self._end(job, outcome)

    @hookimpl
    def aetherflow_step_started(self, run: RunInfo, step: StepInfo) -> None:
        """Open the span of an attempt."""
        facts = {
            "run_id": run.run_id,
            "job_id": step.job_id,
            "step_id": step.step_id,
            "step_type": step.step_type,
            "attempt": step.attempt,
            **({} if step.item is None else {"item": step.item}),
        }
        name = f"{step.job_id}.{step.step_id}"
        self._begin(step, JobInfo(step.job_id), f"step {name}", facts, _pipeline(run) | _task(run, step, name))

    @hookimpl(wrapper=True)
    def aetherflow_call_step(self, step: StepInfo) -> Generator[None, StepResult, StepResult]:
        """Make the attempt's span the current one, so that spans made by the step become its children."""
        if (span := self._open.get(step)) is None:  # an inner step
            return (yield)
        with self._trace.use_span(span, end_on_exit=False, record_exception=False, set_status_on_exception=False):
            return (yield)

    @hookimpl
    def aetherflow_step_finished(self, step: StepInfo, outcome: Outcome) -> None:
        """Close the span of an attempt."""
        self._end(step, outcome, "cicd.pipeline.task.run.result")

    @hookimpl
    def aetherflow_lock_acquired(self, run: RunInfo, lock: LockInfo) -> None:
        """Add an event about a lock to the span of the run."""
        self._note(run, "lock acquired", lock)

    @hookimpl
    def aetherflow_lock_lost(self, run: RunInfo, lock: LockInfo) -> None:
        """Add an event about the loss of a lock to the span of the run."""
        self._note(run, "lock lost", lock)

    def _begin_job(self, run: RunInfo, job: JobInfo) -> None:
        facts = {"run_id": run.run_id, "job_id": job.job_id}
        self._begin(job, run, f"job {job.job_id}", facts, _pipeline(run))

    def _begin(self, key: Any, parent: Any, name: str, facts: dict[str, Any], conventional: dict[str, str]) -> None:
        above = self._open.get(parent)
        context = self._trace.set_span_in_context(above) if above is not None else None
        attributes = conventional | {f"aetherflow.{name}": value for name, value in facts.items()}
        kind = self._trace.SpanKind.SERVER if parent is None else self._trace.SpanKind.INTERNAL  # as they have it
        self._open[key] = self._tracer.start_span(name, context, kind=kind, attributes=attributes)

    def _end(self, key: Any, outcome: Outcome, conventional: str | None = None) -> None:
        if (span := self._open.pop(key, None)) is None:
            return
        span.set_attribute("aetherflow.status", outcome.status)
        if outcome.reason:
            span.set_attribute("aetherflow.reason", outcome.reason)
        if conventional is not None:
            span.set_attribute(conventional, RESULTS.get(outcome.status, "error"))
        if outcome.status in _FAILED:
            span.set_attribute("error.type", "_OTHER")  # their word for: there is no class of it
            span.set_status(self._trace.StatusCode.ERROR, outcome.error or outcome.status)
        elif outcome.status == "SUCCESS":
            span.set_status(self._trace.StatusCode.OK)
        span.end()

    def _note(self, run: RunInfo, name: str, lock: LockInfo) -> None:
        if (span := self._open.get(run)) is None:
            self._early.append((name, lock))
        else:
            span.add_event(name, {"aetherflow.lock": lock.key, "aetherflow.token": lock.token})


def _pipeline(run: RunInfo) -> dict[str, str]:
    return {"cicd.pipeline.name": run.flow_id, "cicd.pipeline.run.id": run.run_id}


def _task(run: RunInfo, step: StepInfo, name: str) -> dict[str, str]:
    item = "" if step.item is None else f"[{step.item}]"
    return {"cicd.pipeline.task.name": name, "cicd.pipeline.task.run.id": f"{run.run_id}/{name}{item}/{step.attempt}"}


def _provider_here() -> Any:
    """The tracer provider of the program, or one that is set up here. Raises UsageError."""
    from opentelemetry import trace

    found = trace.get_tracer_provider()
    if isinstance(found, trace.ProxyTracerProvider):  # the program has set up none
        found = _provider(os.environ.get("OTEL_TRACES_EXPORTER", "otlp"))
        trace.set_tracer_provider(found)
    return found


def _provider(names: str) -> "TracerProvider":
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    os_name = os.environ.get("OTEL_SERVICE_NAME", "aetherflow")
    provider = TracerProvider(resource=Resource.create({"service.name": os_name}))
    for name in filter(None, map(str.strip, names.split(","))):
        if name == "none":
            continue
        found = list(entry_points(group=EXPORTERS, name=name))
        if not found:
            fix = f"set OTEL_TRACES_EXPORTER to console or none, or: {install_command('otlp')}"
            raise UsageError(f"no installed distribution provides the OpenTelemetry exporter {name!r}", fix=fix)
        try:
            exporter = found[0].load()()
        except Exception as error:
            text = f"the OpenTelemetry exporter {name!r} cannot be set up: {type(error).__name__}: {error}"
            raise UsageError(text, fix="check the variables OTEL_EXPORTER_...") from error
        provider.add_span_processor(BatchSpanProcessor(exporter))
    return provider
