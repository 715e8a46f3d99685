"""The services that the contexts of all attempts of one run share."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from aetherflow.core.base.redact import Redactor
from aetherflow.core.contracts.handles import FlowResult
from aetherflow.core.contracts.running import EventSink
from aetherflow.core.kernel.locks.run_locks import RunLocks
from aetherflow.core.kernel.state.run_state import RunState
from aetherflow.core.runtime.connectors.connections import RunConnectors
from aetherflow.core.runtime.environment.settings import Settings
from aetherflow.core.runtime.opening.prepare import PreparedFlow
from aetherflow.core.runtime.processes.processes import Processes
from aetherflow.core.runtime.workspace.sandbox import Sandbox
from aetherflow.core.runtime.workspace.workspace import Workspace

if TYPE_CHECKING:
    from aetherflow.core.kernel.sequencing.attempt import Attempt
    from aetherflow.core.runtime.opening.artifact_copies import ArtifactCopies


class FlowCall(NamedTuple):
    """A request of a step to run another flow."""

    flow: Path
    run_id: str
    params: Mapping[str, Any]
    slot: str | None
    data_date: str | None


class FlowCaller(Protocol):
    """Runs the flows that steps call."""

    def call(self, attempt: "Attempt", wanted: FlowCall) -> FlowResult:
        """Run the flow to its end; StepError if it does not end well."""
        ...


class ContextServices(NamedTuple):
    """The services of a run, as its contexts use them."""

    flow: PreparedFlow
    run_id: str
    settings: Settings
    """The settings of the run, with its workspace root as `work_root`."""
    constants: Mapping[str, Any]
    """Template roots that do not change in the run: env, params, run."""
    jobs: Mapping[str, Any]
    """The value of the root `jobs` for conditions."""
    state: RunState
    locks: RunLocks
    redactor: Redactor
    events: EventSink
    workspace: Workspace
    sandbox: Sandbox
    connectors: RunConnectors
    processes: Processes
    child_env: Mapping[str, str]
    lock_env: Mapping[str, str]
    """Environment variables for children: the token of a lock that the outer run holds."""
    copies: "ArtifactCopies | None"
    """Of the run's artifacts, for other hosts; None if the project has none."""
    flows: FlowCaller
