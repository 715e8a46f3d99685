"""The hooks of one run: the installed ones and the core's own, and the wrapping of its steps."""

from collections.abc import Callable, Mapping
from typing import Any

from aetherflow.core.base.errors import HookFailedError, UsageError
from aetherflow.core.contracts.events import RunInfo, StepInfo
from aetherflow.core.contracts.handles import StepResult
from aetherflow.core.host.catalog import Catalog, active
from aetherflow.core.host.hooks import Hooks, NamedPlugin, joined
from aetherflow.core.host.installing import install_command
from aetherflow.core.host.names import OTEL
from aetherflow.core.runtime.connectors.connections import RunConnectors
from aetherflow.core.runtime.environment.allowed import hooks_of_group
from aetherflow.core.runtime.environment.snapshot import Snapshot
from aetherflow.core.runtime.processes.step_exits import exits_raise

CALL_STEP = "aetherflow_call_step"


def hooks_of_run(snapshot: Snapshot) -> Hooks | None:
    """The installed hooks and those that the settings enable (metrics, otel); None if there are none.

    Raises UsageError if one that is enabled cannot be loaded, PluginError for a wrapper of steps.
    """
    found = snapshot.hooks
    if snapshot.settings.metrics_module:
        from aetherflow.core.runtime.hooks.metrics import load_metrics  # only if enabled

        metrics = load_metrics(snapshot.settings.metrics_module)
        found = joined(found, Hooks([NamedPlugin("aetherflow-core:metrics", metrics)]))
    if snapshot.settings.otel:
        spans = hooks_of_group(OTEL, snapshot.rules)
        if spans is None:
            message = "AETHERFLOW_OTEL is on and no installed distribution makes spans"
            raise UsageError(message, fix=f"switch it off, or: {install_command('otel')}")
        found = joined(found, spans)
    if found is not None:
        found.require(CALL_STEP)  # reported before anything runs, not by the first step
    return found


class StepWrapping:
    """Runs attempts inside the wrappers of `aetherflow_call_step`, with the flow's catalogue active.

    Inputs that hold a secret are not sent without encryption.
    """

    def __init__(self, hooks: Hooks | None, run: RunInfo, catalog: Catalog, connectors: RunConnectors) -> None:
        self._run = run
        self._catalog = catalog
        self._connectors = connectors
        self._names = hooks.names(CALL_STEP) if hooks is not None else []
        self._hooks = hooks if self._names else None

    def call(self, step: StepInfo, inputs: Mapping[str, Any], work: Callable[[], StepResult]) -> StepResult:
        """The result that the outermost wrapper returns; raises what it raises."""

        def with_plugins() -> StepResult:
            with active(self._catalog), exits_raise():
                self._connectors.refuse_clear_text(step.step_type, inputs)
                return work()

        if self._hooks is None:
            return with_plugins()
        result = self._hooks.around(with_plugins, run=self._run, step=step)
        if not isinstance(result, StepResult):
            names = ", ".join(self._names)
            message = f"hook {names}: call_step returned {type(result).__name__}; it must return a StepResult"
            raise HookFailedError(message, fix="return what `yield` gave, or a StepResult")
        return result
