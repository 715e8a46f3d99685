"""The services that a run gets from the program around the kernel, as Protocols.

`aetherflow.core.runtime` implements them for this machine; the tests of the kernel alone have small fakes.
"""

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from aetherflow.core.contracts.events import StepInfo
from aetherflow.core.contracts.handles import StepResult

if TYPE_CHECKING:
    from aetherflow.core.contracts.context import StreamName


class EventSink(Protocol):
    """Receives the events of a run."""

    @property
    def bound(self) -> bool:
        """Whether the start and the end of a step must be emitted in the thread of the run."""

    def emit(self, event: str, **fields: Any) -> None:
        """Deliver an event now; fields that are None are left out."""

    def defer(self, event: str, **fields: Any) -> None:
        """Queue an event for delivery before the next one, and return at once; for threads that must not wait."""


class StepClasses(Protocol):
    """Looks up the classes of steps by name."""

    def step(self, name: str) -> Any:
        """The class of a step type, a subclass of `Step`; PluginError if it cannot be had."""

    def outputs_of(self, cls: type, outputs: dict[str, Any], status: str) -> dict[str, Any]:
        """JSON-safe outputs with the types that the step declares; OutputError where they cannot have these."""

    def frames_of(self, error: BaseException, name: str, cls: type) -> str:
        """The traceback of an error from the first frame of a third-party step on, whose line is noted on the error."""


class PluginFacts(Protocol):
    """The facts about plugins that are part of the definition of a step that uses them, as JSON-safe maps."""

    def of_step(self, name: str) -> Mapping[str, Any]:
        """Facts about a step type's class."""

    def of_connector(self, kind: str, driver: str) -> Mapping[str, Any]:
        """Facts about a connector class."""

    def conditions_of(self, step: Mapping[str, Any]) -> Iterable[str]:
        """The inputs of a raw step, and of the steps inside it, that are conditions in the grammar of `when`."""


class ChildProcesses(Protocol):
    """The children of a run."""

    def tend(self) -> None:
        """Do periodic work; called repeatedly while the run waits for a step."""

    def keep_until(self, deadline: float) -> None:
        """Let the guard end all children at this monotonic time, unless a later one is set before. Any thread."""

    def signal_all(self, number: int) -> None:
        """Send a signal to all running children."""

    def end_all(self, grace: float = ...) -> None:
        """At the end of an attempt: SIGTERM to the children that are left, after `grace` seconds SIGKILL."""

    def end_orphans(self, step_key: str) -> None:
        """Kill the children that a dead process left running; `step_key` is the step's idempotency key."""

    def close(self) -> None:
        """At the end of the run: end the children that are left."""


class Connections(Protocol):
    """The connectors of a run."""

    def interrupt(self) -> None:
        """Make calls that wait for a peer return with an error; called from another thread."""

    def end_attempt(self) -> None:
        """Close the connectors that live for one attempt only."""

    def close(self) -> None:
        """At the end of the run: close all open connectors that it owns."""


class JobFolders(Protocol):
    """The folders of the jobs."""

    def remove_parts(self, job_id: str) -> None:
        """Remove the unfinished files that an earlier process left in the folders of a job."""


class AttemptLog(Protocol):
    """The output of one attempt."""

    @property
    def path(self) -> Path:
        """The file of the output; it exists once there is any output."""

    @property
    def used(self) -> bool:
        """True if there was any output."""

    @property
    def tail(self) -> Iterable[str]:
        """The last lines, for the message of a failure."""

    def feed(self, stream: "StreamName", data: bytes) -> None:
        """Take the next bytes of a stream, which may end inside a line."""

    def close(self) -> None:
        """Pass on unfinished lines and close the log."""


class StepWrapper(Protocol):
    """Wraps every attempt of a step."""

    def call(self, step: StepInfo, inputs: Mapping[str, Any], work: Callable[[], StepResult]) -> StepResult:
        """Do the work of one attempt; its result is returned, what it raises is raised."""


class RunPhases(Protocol):
    """What the program around the kernel does between the phases of a run."""

    def entering(self) -> None:
        """Called when the run has its lock, before anything of it is recorded."""

    def running(self) -> AbstractContextManager[None]:
        """Entered when the run is recorded as RUNNING, before its jobs start; left when its end is recorded."""

    def jobs_ended(self, *, failed: bool, whole: bool) -> None:
        """The jobs have ended, all of the flow if `whole`; the end of the run is not recorded yet."""
