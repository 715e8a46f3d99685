"""What the kernel is given of the program around it: the Protocols that a run is composed of.

`aetherflow.core.runtime` implements them for this machine; the tests of the kernel alone have small fakes.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from aetherflow.core.contracts.events import StepInfo
from aetherflow.core.contracts.handles import StepResult

if TYPE_CHECKING:
    from aetherflow.core.contracts.context import StreamName


class EventSink(Protocol):
    """Receives the events of a run."""

    def emit(self, event: str, **fields: Any) -> None:
        """Tell it now; a field that is None is left out."""

    def defer(self, event: str, **fields: Any) -> None:
        """Tell it before the next event, without waiting: for threads that must go on."""


class StepClasses(Protocol):
    """Looks up the classes of steps by name."""

    def step(self, name: str) -> Any:
        """The class of a step type, a subclass of `Step`; PluginError if it cannot be had."""


class PluginFacts(Protocol):
    """What of a plugin is part of the definition of a step that uses it, as JSON-safe maps."""

    def of_step(self, name: str) -> Mapping[str, Any]:
        """What counts of a step type."""

    def of_connector(self, kind: str, driver: str) -> Mapping[str, Any]:
        """What counts of a connector."""

    def conditions_of(self, step: Mapping[str, Any]) -> Iterable[str]:
        """The inputs of a raw step, and of the steps inside it, that are conditions in the grammar of `when`."""


class ChildProcesses(Protocol):
    """The children of a run."""

    def tend(self) -> None:
        """Called now and then while the run waits."""

    def signal_all(self, number: int) -> None:
        """Send a signal to all that live."""

    def end_all(self, grace: float = ...) -> None:
        """At the end of an attempt: SIGTERM to what is left, after `grace` seconds SIGKILL."""

    def end_orphans(self, step_key: str) -> None:
        """Kill what an earlier attempt, of a process that died, left running; by the step's idempotency key."""

    def close(self) -> None:
        """At the end of the run: end what is left."""


class Connections(Protocol):
    """The connectors of a run."""

    def interrupt(self) -> None:
        """Make what waits for a peer return with an error; from another thread."""

    def end_attempt(self) -> None:
        """Close what was opened for one attempt only."""

    def close(self) -> None:
        """At the end of the run: close what is open."""


class JobFolders(Protocol):
    """The folders of the jobs."""

    def remove_parts(self, job_id: str) -> None:
        """Remove the unfinished files that an earlier process left in the folders of a job."""


class AttemptLog(Protocol):
    """The output of one attempt."""

    @property
    def path(self) -> Path:
        """The file that holds it, once there is any."""

    @property
    def used(self) -> bool:
        """True if there was any."""

    @property
    def tail(self) -> Iterable[str]:
        """Its last lines, for the message of a failure."""

    def feed(self, stream: "StreamName", data: bytes) -> None:
        """Take bytes as they come."""

    def close(self) -> None:
        """Pass on what is unfinished."""


class StepWrapper(Protocol):
    """What stands around every step."""

    def call(self, step: StepInfo, work: Callable[[], StepResult]) -> StepResult:
        """Do the work of one attempt; its result is returned, what it raises is raised."""


class RunPhases(Protocol):
    """What the program around a run does at its turning points."""

    def entering(self) -> None:
        """The run has its lock; nothing of it is recorded yet."""

    def entered(self) -> None:
        """The run is recorded as RUNNING; its jobs come next."""

    def jobs_ended(self, *, failed: bool) -> None:
        """All jobs of the flow have ended; the end of the run is not recorded yet."""

    def released(self, folders: Sequence[tuple[str, str, str]]) -> None:
        """Flow id, run id and folder of what was kept for claims that are final now."""
