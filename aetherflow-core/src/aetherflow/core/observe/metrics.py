"""The metrics module: an object of the user's, `METRICS`, whose callbacks are told what happens."""

import importlib
import logging
from collections.abc import Callable
from typing import Any

from aetherflow.core.errors import UsageError

log = logging.getLogger("aetherflow")

_JOB = ("flow_id", "run_id", "job_id")
_STEP = (*_JOB, "step_id", "step_type")
CALLBACKS: dict[str, tuple[str, tuple[str, ...]]] = {
    "run_start": ("on_run_start", ("flow_id", "run_id")),
    "job_start": ("on_job_start", _JOB),
    "job_end": ("on_job_end", (*_JOB, "status", "duration_ms")),
    "step_start": ("on_step_start", _STEP),
    "step_end": ("on_step_end", (*_STEP, "status", "duration_ms")),
    "run_summary": ("on_run_end", ("flow_id", "run_id")),
}
"""Event to the callback and the fields that it gets as keyword arguments; `on_run_end` gets `summary` too."""


class MetricsObserver:
    """Calls the callbacks of one METRICS object; one that is missing is not called, one that fails is logged."""

    def __init__(self, metrics: Any) -> None:
        self._metrics = metrics

    def __call__(self, event: str, fields: dict[str, Any]) -> None:
        """Pass one event on."""
        name, wanted = CALLBACKS.get(event, ("", ()))
        callback: Callable[..., object] | None = getattr(self._metrics, name, None) if name else None
        if callback is None:
            return
        arguments = {field: fields.get(field) for field in wanted}
        if event == "run_summary":
            arguments["summary"] = dict(fields)
        try:
            callback(**arguments)
        except Exception as error:  # noqa: BLE001 what measures a run must not decide about it
            log.warning("metrics: %s failed: %s: %s", name, type(error).__name__, error)


def load_metrics(module: str) -> MetricsObserver:
    """Import a metrics module. Raises UsageError if it cannot be imported, AttributeError without `METRICS`."""
    try:
        found = importlib.import_module(module)
    except ImportError as error:
        fix = "install it, or correct AETHERFLOW_METRICS_MODULE"
        raise UsageError(f"the metrics module {module} cannot be imported: {error}", fix=fix) from error
    if not hasattr(found, "METRICS"):
        raise MetricsModuleError(f"{module} must expose METRICS", fix="assign an object with callbacks to METRICS")
    return MetricsObserver(found.METRICS)


class MetricsModuleError(UsageError, AttributeError):
    """The metrics module has no METRICS."""

    code = "AF0005"
