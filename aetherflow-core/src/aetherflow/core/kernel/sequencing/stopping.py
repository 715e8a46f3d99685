"""Stopping: a signal stops the run; a time limit or lost lock ends one attempt. Both wake the thread that waits."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from queue import SimpleQueue
from typing import Any, Literal, Protocol

from aetherflow.core.base.errors import StepCancelledError

EndedBy = Literal["signal", "timeout", "lost"]
"""Why an attempt was ended: `signal`: the run is being stopped; `timeout`: its time limit; `lost`: a lost lock."""


class RunStoppedError(Exception):
    """The run is being stopped; the running job becomes INTERRUPTED."""


class Stoppable(Protocol):
    """A run, as who may stop it sees it."""

    def request(self, number: int) -> None:
        """Ask the run to stop because of this signal; every later call presses harder."""


class Stop:
    """The stop request of one run: none, or the number of the signal."""

    def __init__(self) -> None:
        self.signal: int | None = None
        self.thread = threading.get_ident()
        """The thread that runs the flow: it waits for attempts and starts their children."""
        # SimpleQueue.put may be called from a signal handler while the same thread waits in get; Event.set may not
        self.inbox: SimpleQueue[tuple[str, Control | None, Any]] = SimpleQueue()

    @property
    def requested(self) -> bool:
        """True once the run is being stopped."""
        return self.signal is not None

    def request(self, number: int) -> None:
        """Ask the run to stop."""
        self.signal = number
        self.inbox.put(("signal", None, number))


class Control:
    """What can end one attempt, and whether it has ended. May be used from any thread."""

    def __init__(self, stop: Stop) -> None:
        self.stop = stop
        self.closed = False
        """True once the attempt is over, even if its thread goes on: its effects are refused from then on."""
        self._closing = threading.Lock()
        self.error: BaseException | None = None
        """The error that the attempt ends with, if it was cancelled (not stopped with the run)."""
        self._ended_by: EndedBy = "signal"
        self._flows: list[Stoppable] = []

    def close(self) -> bool:
        """The attempt is over. True for the first who says so: the others have no say in how it ended."""
        with self._closing:
            first, self.closed = not self.closed, True
        return first

    @contextlib.contextmanager
    def around(self, flow: Stoppable) -> Iterator[None]:
        """While the block runs, ending this attempt also stops `flow`, a run that the attempt started."""
        self._flows.append(flow)
        if self.cancelled:
            flow.request(self._signal)
        try:
            yield
        finally:
            self._flows.remove(flow)

    def stop_flows(self) -> None:
        """Request a stop of the runs that the step started; a second call makes them stop at once."""
        for flow in list(self._flows):
            flow.request(self._signal)

    @property
    def _signal(self) -> int:
        return self.stop.signal or signal.SIGTERM

    def cancel(self, error: BaseException, by: EndedBy = "lost") -> None:
        """End this attempt, but not the run: it fails with `error`. Only the first call counts."""
        if self.error is None:
            self._ended_by, self.error = by, error
            self.stop.inbox.put(("cancel", self, None))

    @property
    def ended_by(self) -> EndedBy | None:
        """Why the attempt is being ended; None if it is not."""
        if self.error is not None:
            return self._ended_by
        return "signal" if self.stop.requested else None

    @property
    def cancelled(self) -> bool:
        """True once the step is to end."""
        return self.closed or self.error is not None or self.stop.requested

    def check(self) -> None:
        """Raise StepCancelledError once the step is to end."""
        self.check_open()
        if self.error is not None:
            raise StepCancelledError(f"the step is being ended: {self.error}")
        if self.stop.requested:
            raise StepCancelledError("the run is being stopped")

    def check_open(self) -> None:
        """Raise StepCancelledError once the attempt is over: its late effects are refused."""
        if self.closed:
            raise StepCancelledError("this attempt of the step is over; it can do nothing more")
