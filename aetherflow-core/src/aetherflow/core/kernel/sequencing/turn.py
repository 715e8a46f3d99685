"""Attempts in a row: the worker thread records the end of one with the start of the next, and runs that one too.

To wake a thread costs up to a sixth of a durable commit, and a run that waits for each of its steps wakes two per
step. So its thread is woken when something is to be decided: an attempt failed or was ended by force, the run is being
stopped, a lock is lost, or the next step needs more than a start; and where an event belongs to that thread.
"""

from collections.abc import Callable

from aetherflow.core.base.errors import ResolverError
from aetherflow.core.contracts.events import StepInfo
from aetherflow.core.contracts.handles import StepResult
from aetherflow.core.kernel.resolver.deferred import render_inputs
from aetherflow.core.kernel.sequencing.attempts import Attempts, Begun, Done, Follow, ms_since
from aetherflow.core.kernel.sequencing.execution import StepFailedError, Work
from aetherflow.core.kernel.sequencing.stopping import Control
from aetherflow.core.kernel.sequencing.worker import call


class StepTurn:
    """A turn of the worker thread: one attempt, and those that follow without a decision.

    `Control.close` decides between the two threads: who closes the attempt that runs says how it ended.
    """

    def __init__(self, attempts: Attempts, first: Begun, follow: Follow | None) -> None:
        self._attempts = attempts
        self._follow = follow
        self.current = first
        """The attempt that runs, or ran last."""
        self.steps = 1
        """Number of steps that were begun."""
        self.failure: BaseException | None = None
        """What failed outside of a step's class: the engine itself, or a value that could not be rendered or stored."""
        self._raised: BaseException | None = None
        self._work: Callable[[], StepResult] | None = None

    @property
    def control(self) -> Control:
        """That of the attempt that runs."""
        return self.current.attempt.control

    def run(self) -> Done | StepResult | None:
        """In the worker thread: the end of the last attempt as recorded, or its result if that is to be concluded.

        None if it was ended before.
        """
        try:
            while (result := self._call()) is not None:
                if self._is_alone():
                    return result
                if not self.control.close():
                    return None
                done = self.conclude(result)
                if not self._goes_on(done):
                    return done
        except BaseException as error:
            if error is not self._raised:
                self.failure = error
            raise
        return None

    def conclude(self, result: StepResult) -> Done:
        """Record the end of the attempt that ran. Raises as `Attempts.finish`."""
        attempts, begun = self._attempts, self.current
        if not begun.attempt.side_by_side:
            attempts.services.processes.end_all()
            attempts.services.connectors.end_attempt()
        begun.trace.duration_ms = ms_since(begun.began)
        done = attempts.finish(begun.work, begun.attempt, result, self._follow)
        begun.trace.recorded = True
        return done

    def ready(self) -> None:
        """Make what the step's class is called with. Raises StepFailedError if inputs cannot be rendered."""
        attempts, begun = self._attempts, self.current
        work, attempt, services = begun.work, begun.attempt, attempts.services
        try:
            scope = attempts.values.scope(work.job, {}) | work.item
            inputs = render_inputs(work.inputs, scope, work.cls.inner_steps, work.inputs_path)
        except ResolverError as error:
            raise StepFailedError(error, work.step, error.at, attempt.log) from error
        ctx = services.open_context(attempt)
        info = StepInfo(work.key.job, work.key.step, work.step.type, attempt.number, work.key.item or None)
        self._work = lambda: services.wrapper.call(
            info, inputs, lambda: call(work.cls, work.key.step, inputs, ctx, work.key.job)
        )
        attempts.locks.guard(attempt.control)

    def _call(self) -> StepResult | None:
        work, self._work = self._work, None
        assert work is not None  # noqa: S101 `ready` was called
        self.control.check_open()
        try:
            result = work()
        except BaseException as error:
            self._raised = error
            raise
        return result if self.control.error is None and self._attempts.locks.lost() is None else None

    def _is_alone(self) -> bool:
        """Whether the thread of the run has to be asked after this attempt."""
        return self._follow is None or self._attempts.services.events.bound or _needs_more(self.current.work)

    def _goes_on(self, done: Done) -> bool:
        """Begin the attempt whose start is recorded, unless the thread of the run has to look at it first."""
        before, attempts = self.current, self._attempts
        if done.next is None or _needs_more(done.next):
            return False
        attempts.tell_end(before)
        self.current = following = attempts.prepare(done.next, done.number)
        if not attempts.may_begin():  # asked now, since a stop that comes later ends this attempt
            if following.attempt.control.close():
                self.current = before
            return False
        attempts.begin(following)
        self.ready()
        self.steps += 1
        return True


def _needs_more(work: Work) -> bool:
    """Whether the thread of the run has to count time or attempts."""
    return work.step.timeout_seconds is not None or work.step.retry is not None
