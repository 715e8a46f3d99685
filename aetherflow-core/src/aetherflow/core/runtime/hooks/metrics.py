"""The metrics module: a user's object `METRICS`, whose callbacks are called by observer hooks."""

import importlib
import logging
import sys
from collections.abc import Callable
from typing import Any

from aetherflow.core.base.errors import UsageError
from aetherflow.core.contracts.events import JobInfo, Outcome, RunInfo, StepInfo
from aetherflow.core.contracts.hookspecs import hookimpl

log = logging.getLogger("aetherflow")


class MetricsHooks:
    """Calls the callbacks of a METRICS object; missing ones are skipped, failures are logged."""

    def __init__(self, metrics: Any) -> None:
        self._metrics = metrics

    @hookimpl
    def aetherflow_run_started(self, run: RunInfo) -> None:
        """`on_run_start(flow_id, run_id)`."""
        self._tell("on_run_start", **_run(run))

    @hookimpl
    def aetherflow_run_finished(self, run: RunInfo, summary: dict[str, Any]) -> None:
        """`on_run_end(flow_id, run_id, summary)`."""
        self._tell("on_run_end", **_run(run), summary=summary)

    @hookimpl
    def aetherflow_job_started(self, run: RunInfo, job: JobInfo) -> None:
        """`on_job_start(flow_id, run_id, job_id)`."""
        self._tell("on_job_start", **_run(run), job_id=job.job_id)

    @hookimpl
    def aetherflow_job_finished(self, run: RunInfo, job: JobInfo, outcome: Outcome) -> None:
        """`on_job_end(flow_id, run_id, job_id, status, duration_ms)`."""
        self._tell("on_job_end", **_run(run), job_id=job.job_id, **_end(outcome))

    @hookimpl
    def aetherflow_step_started(self, run: RunInfo, step: StepInfo) -> None:
        """`on_step_start(flow_id, run_id, job_id, step_id, step_type)`."""
        self._tell("on_step_start", **_run(run), **_step(step))

    @hookimpl
    def aetherflow_step_finished(self, run: RunInfo, step: StepInfo, outcome: Outcome) -> None:
        """`on_step_end(flow_id, run_id, job_id, step_id, step_type, status, duration_ms)`."""
        self._tell("on_step_end", **_run(run), **_step(step), **_end(outcome))

    def _tell(self, name: str, **arguments: Any) -> None:
        callback: Callable[..., object] | None = getattr(self._metrics, name, None)
        if callback is None:
            return
        try:
            callback(**arguments)
        except Exception as error:  # noqa: BLE001 metrics must not fail the run
            log.warning("metrics: %s failed: %s: %s", name, type(error).__name__, error)


def _run(run: RunInfo) -> dict[str, Any]:
    return {"flow_id": run.flow_id, "run_id": run.run_id}


def _step(step: StepInfo) -> dict[str, Any]:
    return {"job_id": step.job_id, "step_id": step.step_id, "step_type": step.step_type}


def _end(outcome: Outcome) -> dict[str, Any]:
    return {"status": outcome.status, "duration_ms": outcome.duration_ms}


def load_metrics(module: str) -> MetricsHooks:
    """Import a metrics module. Raises UsageError if it cannot be imported, AttributeError without `METRICS`."""
    try:
        found = importlib.import_module(module)
    except ImportError as error:
        fix = "install it, or correct AETHERFLOW_METRICS_MODULE"
        raise UsageError(f"the metrics module {module} cannot be imported: {error}", fix=fix) from error
    sys.modules["_aetherflow_metrics"] = found  # by such a name a process knows that it ran code of others
    if not hasattr(found, "METRICS"):
        raise MetricsModuleError(f"{module} must expose METRICS", fix="assign an object with callbacks to METRICS")
    return MetricsHooks(found.METRICS)


class MetricsModuleError(UsageError, AttributeError):
    """The metrics module has no METRICS."""

    code = "AF0005"
