"""Executing attempts: a worker thread runs the steps; the thread of the run waits and starts their children."""

import signal
import threading
import time
from collections.abc import Callable, Mapping
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple, Protocol

from aetherflow.core.base.errors import StepError, StepTimeoutError
from aetherflow.core.contracts.context import RunContext
from aetherflow.core.contracts.handles import STEP_SKIPPED, STEP_SUCCESS, StepResult
from aetherflow.core.contracts.running import ChildProcesses, Connections
from aetherflow.core.contracts.step import Step
from aetherflow.core.kernel.sequencing.stopping import Control, EndedBy

POLL_SECONDS = 0.2
"""Longest single wait of the main thread. A signal that arrives just before a wait, or in another thread, does not end
it: without a limit 4 of 80 stop requests were noticed only when the step ended by itself."""
KILL_WAIT_SECONDS = 1.0
"""Time for a step to end after its children were killed; then the run ends without it."""


class AttemptOutcome(NamedTuple):
    """How a turn ended: with a result, an error, or neither if it did not end within the grace time of a stop.

    `stopped` is set if its last attempt was ended, and says why. A result together with `stopped` means that the step
    finished in spite of a stop of the run.
    """

    result: Any = None
    error: BaseException | None = None
    stopped: EndedBy | None = None


class Turn(Protocol):
    """What the worker thread does at one request: an attempt, and maybe others after it."""

    @property
    def control(self) -> Control:
        """That of the attempt that runs, or ran last."""

    def run(self) -> Any:
        """Run in the worker thread. None if the result does not count, since the attempt was ended before."""


class Worker:
    """The thread that runs the steps of a run, one after the other; started at the first."""

    def __init__(self) -> None:
        self._work: SimpleQueue[Turn | None] | None = None

    def submit(self, turn: Turn) -> None:
        """Run `turn`; its outcome goes to the inbox of the run as the message "done"."""
        if self._work is None:
            self._work = SimpleQueue()
            threading.Thread(target=_serve, args=(self._work,), name="step", daemon=True).start()
        self._work.put(turn)

    def close(self) -> None:
        """Let the thread end once it is idle; a thread that hangs is abandoned. The next step gets a new thread."""
        if self._work is not None:
            self._work.put(None)
            self._work = None


def _serve(queue: "SimpleQueue[Turn | None]") -> None:
    while (turn := queue.get()) is not None:
        try:
            outcome = AttemptOutcome(result=turn.run())
        except BaseException as error:  # noqa: BLE001 passed to the waiting thread, which handles it
            outcome = AttemptOutcome(error=error)
        turn.control.stop.inbox.put(("done", turn.control, outcome))
        del turn, outcome  # keep no references to a step while waiting for the next


class RunThreadCall:
    """A step's call of a function by the thread of the run, which waits for the step.

    It alone uses the state's connection, and it starts no child process after a stop.
    """

    def __init__(self, control: Control, function: Callable[[], Any]) -> None:
        self._control = control
        self._function = function
        self._answer: SimpleQueue[Any] = SimpleQueue()

    def ask(self) -> Any:
        """In the step's thread: submit the call and wait; returns its result, or raises its error."""
        self._control.check()
        if threading.get_ident() == self._control.stop.thread:
            return self._function()
        self._control.stop.inbox.put(("call", self._control, self))
        while True:
            try:
                answer = self._answer.get(timeout=POLL_SECONDS)
                break
            except Empty:
                self._control.check_open()  # once the attempt is over nobody answers
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def serve(self) -> None:
        """In the waiting thread: call the function and answer."""
        try:
            self._control.check()
            self._answer.put(self._function())
        except Exception as error:  # noqa: BLE001 raised again in `ask`
            self._answer.put(error)


def call(cls: type[Step[Any]], step_id: str, inputs: Mapping[str, Any], ctx: RunContext, job_id: str) -> StepResult:
    """Build a step, check its inputs, run it; a returned map or None means SUCCESS. StepError for another result."""
    step = cls(step_id, inputs, ctx, job_id)
    step.validate()
    result = step.run()
    if result is None or isinstance(result, Mapping):
        return StepResult(output=result)
    if not isinstance(result, StepResult):
        raise StepError(
            f"{cls.__qualname__}.run() returned {type(result).__name__}; it must return a StepResult, a map or None"
        )
    if result.status not in (STEP_SUCCESS, STEP_SKIPPED):
        raise StepError(f"{cls.__qualname__}.run() returned status {result.status!r}; it must be SUCCESS or SKIPPED")
    return result


def run_turn(
    turn: Turn,
    worker: Worker,
    processes: ChildProcesses,
    connectors: Connections,
    grace: float,
    timeout_seconds: float | None = None,
) -> AttemptOutcome:
    """Let the worker thread run a turn and wait for it, starting the children that it requests.

    When the run is stopped, the time limit is reached or the attempt is cancelled, children get SIGTERM, open
    connectors are interrupted and the step has `grace` seconds; then, or on a second signal, children get SIGKILL and
    connectors are interrupted again. A step that still does not end is abandoned: its thread goes on, but its context
    refuses every effect.
    """
    ending = _Ending(turn, processes, connectors, grace)
    limit = None if timeout_seconds is None else time.monotonic() + timeout_seconds
    worker.submit(turn)
    outcome: AttemptOutcome | None = None
    while outcome is None:
        what, payload = _next(turn, limit if ending.deadline is None else ending.deadline)
        if what == "done":
            outcome = payload
        elif what == "call":
            payload.serve()
        elif what == "idle":
            processes.tend()
        elif what == "due" and ending.deadline is None:
            turn.control.cancel(timed_out(timeout_seconds), "timeout")  # puts "cancel" into the inbox
            limit = None
        elif what == "due" and ending.killed and turn.control.close():
            worker.close()
            outcome = AttemptOutcome()
        else:
            ending.step(what)
    found = closed(turn.control, outcome)
    if ending.killed:
        processes.end_all(0)
    else:
        processes.end_all()
    return found


def closed(control: Control, outcome: AttemptOutcome) -> AttemptOutcome:
    """The outcome of an attempt that is over from now on: with what ended it, if it was ended."""
    ended_by = control.ended_by
    control.close()
    if control.error is not None and outcome.result is None:
        return AttemptOutcome(error=control.error, stopped=ended_by)
    return AttemptOutcome(outcome.result, outcome.error, ended_by)


def timed_out(seconds: float | None) -> StepTimeoutError:
    """The error of a step that has reached its time limit."""
    message = f"still running after {seconds:g} s, the step's time limit"
    return StepTimeoutError(message, fix="raise timeout_seconds, or look at the log for what it waits for")


class _Ending:
    """Ends an attempt by force, in two stages: SIGTERM, then SIGKILL."""

    def __init__(self, turn: Turn, processes: ChildProcesses, connectors: Connections, grace: float) -> None:
        self._turn = turn
        self._processes = processes
        self._connectors = connectors
        self._grace = grace
        self._signals = 0
        self.deadline: float | None = None
        """Monotonic time of the next stage; None before the first."""
        self.killed = False

    def step(self, what: str) -> None:
        """Enter the next stage if the message ("signal", "cancel" or "due") calls for it."""
        self._signals += what == "signal"
        if self.deadline is None:
            self.deadline = time.monotonic() + self._grace
            self._turn.control.stop_flows()
            self._processes.signal_all(signal.SIGTERM)
            self._connectors.interrupt()
        elif what == "due" or (not self.killed and self._signals > 1):
            if not self.killed:  # otherwise its end is being recorded
                self.killed = True
                self._turn.control.stop_flows()
                self._processes.signal_all(signal.SIGKILL)
                self._connectors.interrupt()  # what has begun since the first time
            self.deadline = time.monotonic() + KILL_WAIT_SECONDS


def _next(turn: Turn, deadline: float | None) -> tuple[str, Any]:
    """The next message; "due" once the deadline has passed, "idle" if none came within POLL_SECONDS."""
    inbox = turn.control.stop.inbox
    while True:
        left = POLL_SECONDS if deadline is None else deadline - time.monotonic()
        try:
            what, owner, payload = inbox.get(timeout=max(0.0, min(left, POLL_SECONDS)))
        except Empty:  # a pending signal has been handled now, and its message comes next
            return "due" if deadline is not None and time.monotonic() >= deadline else "idle", None
        if owner is None or owner is turn.control:
            return what, payload
