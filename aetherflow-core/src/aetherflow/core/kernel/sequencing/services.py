"""The services of a run: its identity, state and locks, and through Protocols everything outside the kernel."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from aetherflow.core.base.redact import Redactor
from aetherflow.core.contracts.context import RunContext
from aetherflow.core.contracts.running import (
    AttemptLog,
    ChildProcesses,
    Connections,
    EventSink,
    JobFolders,
    StepClasses,
    StepWrapper,
)
from aetherflow.core.kernel.locks.run_locks import RunLocks
from aetherflow.core.kernel.sequencing.attempt import Attempt
from aetherflow.core.kernel.sequencing.stopping import RunStoppedError, Stop
from aetherflow.core.kernel.sequencing.worker import Worker
from aetherflow.core.kernel.state.records import StepKey
from aetherflow.core.kernel.state.run_state import RunState


class RunServices(NamedTuple):
    """The services that all attempts of one run share."""

    flow_id: str
    run_id: str
    constants: Mapping[str, Any]
    """Template roots that do not change in the run: env, params, run."""
    state: RunState
    locks: RunLocks
    stop: Stop
    redactor: Redactor
    events: EventSink
    classes: StepClasses
    wrapper: StepWrapper
    processes: ChildProcesses
    connectors: Connections
    folders: JobFolders
    open_log: Callable[[StepKey, int], AttemptLog]
    """Opens the log of an attempt, by step and number."""
    open_context: Callable[[Attempt], RunContext]
    """Makes the context of an attempt for its step."""
    grace: float
    """Seconds that a step has to stop before its children are killed."""
    jobs: dict[str, Any]
    """The value of the template root `jobs`, also for `when`."""
    worker: Worker
    warned: Callable[[], str | None] = lambda: None
    """What the attempt that runs has warned of so far."""

    def emit(self, event: str, **fields: Any) -> None:
        """Emit an event with the ids of this run."""
        self.events.emit(event, flow_id=self.flow_id, run_id=self.run_id, **fields)

    def check_stop(self) -> None:
        """Raise RunStoppedError if the run is being stopped."""
        if self.stop.requested:
            raise RunStoppedError

    def close(self) -> None:
        """At the end of the run: end the worker thread and remaining children, release locks, close connectors."""
        self.worker.close()
        self.processes.close()
        self.locks.close()
        self.connectors.close()
