"""Stopping: a signal stops the run, a time limit or a lost lock one attempt; both wake the thread that waits for it."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from queue import SimpleQueue
from typing import Any, Literal

from aetherflow.core.base.errors import StepCancelledError

EndedBy = Literal["signal", "timeout", "lost"]
"""Why an attempt was ended: the run is being stopped, its time limit was reached, what it needs was lost."""


class RunStoppedError(Exception):
    """The run is being stopped; the job under way is INTERRUPTED."""


class Stop:
    """The stop request of one run: none, or the signal that asked."""

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
        """True once the attempt is over, also if its thread goes on: nothing that it does counts any more."""
        self.error: BaseException | None = None
        """What the attempt ends with, once it was cancelled by itself."""
        self._ended_by: EndedBy = "signal"
        self._flows: list[Stop] = []

    @contextlib.contextmanager
    def around(self, flow: Stop) -> Iterator[None]:
        """While the block runs, what ends this attempt stops that run, which a step of it started."""
        self._flows.append(flow)
        if self.cancelled:
            flow.request(self._signal)
        try:
            yield
        finally:
            self._flows.remove(flow)

    def stop_flows(self) -> None:
        """Ask the runs that the step started to stop; a second time, to stop at once."""
        for flow in list(self._flows):
            flow.request(self._signal)

    @property
    def _signal(self) -> int:
        return self.stop.signal or signal.SIGTERM

    def cancel(self, error: BaseException, by: EndedBy = "lost") -> None:
        """End this attempt, not the run: it fails with `error`. The first call counts."""
        if self.error is None:
            self._ended_by, self.error = by, error
            self.stop.inbox.put(("cancel", self, None))

    @property
    def ended_by(self) -> EndedBy | None:
        """Why the attempt is being ended; None while it is not."""
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
