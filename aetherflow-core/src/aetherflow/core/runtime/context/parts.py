"""What all attempts of one run share."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aetherflow.core.base.redact import Redactor
from aetherflow.core.contracts.handles import FlowResult, StepResult
from aetherflow.core.host.catalog import Catalog
from aetherflow.core.kernel.locks.run_locks import RunLocks
from aetherflow.core.kernel.sequencing.attempt import Worker
from aetherflow.core.kernel.sequencing.stopping import Control, Processes, RunStoppedError, Stop
from aetherflow.core.kernel.state.run_state import RunState
from aetherflow.core.runtime.connectors.connections import RunConnectors
from aetherflow.core.runtime.context.step_state import StepState
from aetherflow.core.runtime.environment.settings import Settings
from aetherflow.core.runtime.hooks.around import Around
from aetherflow.core.runtime.logs.events import Events
from aetherflow.core.runtime.workspace.sandbox import Sandbox
from aetherflow.core.runtime.workspace.workspace import Workspace

if TYPE_CHECKING:
    from aetherflow.core.runtime.context.context import StepContext


def _no_inner_steps(*_: Any) -> StepResult:
    raise RuntimeError("no step runs yet")


def _no_flows(*_: Any) -> FlowResult:
    raise RuntimeError("this run can start no other")


@dataclass(frozen=True, slots=True)
class FlowCall:
    """A run that a step asks for."""

    flow: Path
    run_id: str
    params: Mapping[str, Any]
    slot: str | None
    data_date: str | None


@dataclass(slots=True)
class RunParts:
    """What all attempts of one run share."""

    flow_id: str
    flow_sha256: str
    run_id: str
    folder: Path
    env: Mapping[str, str]
    child_env: Mapping[str, str]
    sandbox: Sandbox
    catalog: Catalog
    constants: Mapping[str, Any]
    """Template roots that do not change in the run: env, params, run."""
    resources: Mapping[str, Mapping[str, Any]]
    workspace: Workspace
    state: RunState
    connectors: RunConnectors
    redactor: Redactor
    events: Events
    processes: Processes
    stop: Stop
    locks: RunLocks
    settings: Settings
    step_state: StepState
    lock_env: Mapping[str, str] = field(default_factory=dict)
    """What children see of a lock that the run around this one holds."""
    jobs: dict[str, Any] = field(default_factory=dict)
    """What templates and `when` see as `jobs`."""
    call_step: Callable[["StepContext", str, Mapping[str, Any], str, Mapping[str, Any]], StepResult] = _no_inner_steps
    call_flow: Callable[["StepContext", FlowCall], FlowResult] = _no_flows
    around: Around | None = None
    """The hooks that stand around every attempt."""
    worker: Worker = field(default_factory=Worker)
    current: Control | None = None
    """What can end the attempt under way."""

    def check_stop(self) -> None:
        """Raise RunStoppedError if the run is being stopped."""
        if self.stop.requested:
            raise RunStoppedError

    def close(self) -> None:
        """At the end of the run: end the worker thread, what is left of the children, and the guard."""
        self.worker.close()
        self.processes.close()
        self.locks.close()
