"""Items of a `for_each` side by side: each is a run in a process of its own, for which a thread only waits.

The thread of the run begins and concludes all attempts and starts all processes, one after the other, as it does
elsewhere; so the state has one writer. What happens meanwhile arrives in the inbox of the run.
"""

import time
from collections.abc import Sequence
from queue import Empty
from typing import Any, NamedTuple

from aetherflow.core.kernel.sequencing.attempts import Done
from aetherflow.core.kernel.sequencing.execution import StepFailedError, StepUnknownError, Work
from aetherflow.core.kernel.sequencing.retry import RetryBudget
from aetherflow.core.kernel.sequencing.steps import StepRunner
from aetherflow.core.kernel.sequencing.stopping import Control, RunStoppedError
from aetherflow.core.kernel.sequencing.turn import StepTurn
from aetherflow.core.kernel.sequencing.worker import (
    KILL_WAIT_SECONDS,
    POLL_SECONDS,
    AttemptOutcome,
    Worker,
    closed,
    timed_out,
)
from aetherflow.core.kernel.state.records import StepKey

GIVEN_UP = 4
"""The stage after asking, pressing and killing: an attempt whose process does not even end then is abandoned."""


class Wanted(NamedTuple):
    """An item that is to run."""

    work: Work
    number: int
    """Its place in the list, from 1."""
    name: str


class _One:
    """An item that runs, or waits for its turn or its next attempt."""

    def __init__(self, wanted: Wanted) -> None:
        self.wanted = wanted
        self.budget = RetryBudget(wanted.work.step.retry)
        self.begins_at = 0.0
        """Monotonic time before which it does not begin."""
        self.error: StepFailedError | None = None
        """Of its last attempt, if another is to follow."""
        self.turn: StepTurn | None = None
        self.due: float | None = None
        """Monotonic time of its time limit, or of the next stage of its end."""
        self.stage = 0

    @property
    def control(self) -> Control:
        """That of the attempt that runs."""
        assert self.turn is not None  # noqa: S101 it was begun
        return self.turn.control


class FanOut:
    """Runs items, so many at a time. After one that has failed no other begins, unless all are to be tried."""

    def __init__(self, runner: StepRunner, most: int, total: int, before: int, *, try_all: bool) -> None:
        """`total` is the number of all items of the step, of which `before` were done before."""
        self._runner = runner
        self._most = most
        self._total = total
        self._before = before
        self._try_all = try_all
        self._waiting: list[_One] = []
        self._running: dict[Control, _One] = {}
        self._closed = False
        self.done: dict[StepKey, Done] = {}
        self.failed: list[tuple[int, StepFailedError]] = []
        """With the place of the item in the list."""

    @property
    def left(self) -> int:
        """Number of items that were not begun."""
        return len(self._waiting)

    def run(self, wanted: Sequence[Wanted]) -> None:
        """Run the items to their ends, good or bad; RunStoppedError after all have ended if the run is being stopped.

        Whatever else is raised, all processes are ended before.
        """
        services = self._runner.services
        self._waiting = [_One(each) for each in wanted]
        try:
            while self._running or self._may_begin():
                self._begin_due()
                self._take(*self._next())
        except BaseException:
            for control in self._running:
                control.close()
            services.processes.end_all(0)
            raise
        finally:
            self._runner.guard()
        services.check_stop()
        for one in [one for one in self._waiting if one.error is not None]:  # its next attempt is not made
            self._waiting.remove(one)
            assert one.error is not None  # noqa: S101 just asked
            self._fail(one, one.error)

    def _may_begin(self) -> bool:
        return bool(self._waiting) and not self._closed and not self._runner.services.stop.requested

    def _begin_due(self) -> None:
        while len(self._running) < self._most and self._may_begin():
            now = time.monotonic()
            if (one := next((one for one in self._waiting if one.begins_at <= now), None)) is None:
                return
            self._waiting.remove(one)
            try:
                self._begin(one)
            except RunStoppedError:
                self._waiting.append(one)

    def _begin(self, one: _One) -> None:
        runner, work = self._runner, one.wanted.work
        try:
            number = runner.record_start(work)
        except StepFailedError as error:  # a lock of the run is lost
            self._fail(one, error)
            return
        one.turn = turn = runner.begin(work, number)
        turn.current.attempt.side_by_side = True
        one.stage, one.error, limit = 0, None, work.step.timeout_seconds
        one.due = None if limit is None else time.monotonic() + limit
        self._running[one.control] = one
        try:
            turn.ready()
        except StepFailedError as error:
            turn.failure = error
            self._end(one, AttemptOutcome(error=error))
            return
        runner.guard(*self._running)
        worker = Worker()
        worker.submit(turn)
        worker.close()  # its thread ends with the turn
        self._tell_progress()

    def _next(self) -> tuple[str, Control | None, Any]:
        now = time.monotonic()
        times = [one.due for one in self._running.values() if one.due is not None]
        times += [one.begins_at for one in self._waiting if one.begins_at > now]
        left = min([POLL_SECONDS, *(each - now for each in times)])
        try:
            return self._runner.services.stop.inbox.get(timeout=max(0.0, left))
        except Empty:
            return "idle", None, None

    def _take(self, what: str, control: Control | None, payload: Any) -> None:
        one = None if control is None else self._running.get(control)
        if what == "signal":
            for each in list(self._running.values()):
                self._press(each)
        elif what == "idle":
            self._runner.services.processes.tend()
        elif one is not None:  # else of an attempt that is over
            if what == "done":
                self._end(one, payload)
            elif what == "call":
                payload.serve()
            else:
                self._press(one)
        now = time.monotonic()
        for each in [each for each in self._running.values() if each.due is not None and each.due <= now]:
            if each.stage:
                self._press(each)
            else:
                each.due = None
                each.control.cancel(timed_out(each.wanted.work.step.timeout_seconds), "timeout")

    def _press(self, one: _One) -> None:
        """Ask the run of an item to stop, then to stop at once, then kill it, then go on without it."""
        one.stage += 1
        one.control.stop_flows()
        wait = self._runner.services.grace if one.stage == 1 else KILL_WAIT_SECONDS
        one.due = time.monotonic() + wait
        if one.stage == GIVEN_UP:
            self._end(one, AttemptOutcome())

    def _end(self, one: _One, outcome: AttemptOutcome) -> None:
        runner, turn, work = self._runner, one.turn, one.wanted.work
        assert turn is not None  # noqa: S101 it was begun
        del self._running[one.control]
        runner.guard(*self._running)
        found = closed(one.control, outcome)
        try:
            self.done[work.key] = runner.concluded(turn, lambda: runner.judged(turn, found))
        except RunStoppedError:
            return  # raised when all have ended
        except StepFailedError as error:
            again = error.step is work.step and not isinstance(error, StepUnknownError)
            delay = one.budget.next_delay() if again and runner.goes_on(error) else None
            if delay is None:
                self._fail(one, error)
            else:
                runner.attempts.say(work, "step_retry", delay_seconds=delay, error=str(error))
                one.begins_at, one.error = time.monotonic() + delay, error
                self._waiting.append(one)
        self._tell_progress()

    def _fail(self, one: _One, error: StepFailedError) -> None:
        error.items = (one.wanted.name,)
        error.item = f"item {one.wanted.number} of {self._total} ({one.wanted.name})"
        self.failed.append((one.wanted.number, error))
        self._closed = self._closed or not self._try_all or not self._runner.goes_on(error)

    def _tell_progress(self) -> None:
        one = next(iter(self._running.values()), None)
        if one is not None:
            key, done = one.wanted.work.key, self._before + len(self.done) + len(self.failed)
            self._runner.services.events.emit(
                "progress", job_id=key.job, step_id=key.step, done=done, total=self._total, unit="items"
            )
