"""Running one step: attempts are made until one succeeds, the retries are used up, or the run is stopped."""

from collections.abc import Callable
from typing import Any

from aetherflow.core.base.errors import (
    LeaseLostError,
    PluginError,
    StepError,
    StepTimeoutError,
    UndecidedStepError,
)
from aetherflow.core.base.location import DocPath
from aetherflow.core.base.said import said
from aetherflow.core.contracts.handles import StepResult
from aetherflow.core.kernel.sequencing.attempt import Attempt
from aetherflow.core.kernel.sequencing.attempts import Attempts, Begun, Done, Follow, ms_since
from aetherflow.core.kernel.sequencing.definitions import StepDefinitions
from aetherflow.core.kernel.sequencing.execution import (
    JobRun,
    StepFailedError,
    StepTrace,
    StepUnknownError,
    Work,
    idempotency_key,
)
from aetherflow.core.kernel.sequencing.failure import message_of
from aetherflow.core.kernel.sequencing.retry import RetryBudget, pause
from aetherflow.core.kernel.sequencing.scope_locks import ScopeLocks
from aetherflow.core.kernel.sequencing.services import RunServices
from aetherflow.core.kernel.sequencing.stopping import Control, RunStoppedError
from aetherflow.core.kernel.sequencing.turn import StepTurn
from aetherflow.core.kernel.sequencing.worker import AttemptOutcome, run_turn
from aetherflow.core.kernel.state.reasons import StateReason
from aetherflow.core.kernel.state.records import StepKey, StoredArtifact
from aetherflow.core.kernel.state.transitions import DONE_STEP, Status
from aetherflow.core.kernel.yaml.flow import StepSpec


class StepRunner:
    """Runs the steps of one run."""

    def __init__(self, services: RunServices, locks: ScopeLocks, definitions: StepDefinitions) -> None:
        self.services = services
        self.state = services.state.steps
        self.definitions = definitions
        self.attempts = Attempts(services, locks)
        self.values = self.attempts.values
        self._locks = locks
        self._artifacts: dict[str, list[StoredArtifact]] = {}
        """Artifacts of job `_artifacts_of` by step; read once for all steps of the job that are reused in a row."""
        self._artifacts_of: str | None = None

    # Jobs' view

    def work(
        self,
        job: JobRun,
        step: StepSpec,
        path: DocPath,
        *,
        item_key: str = "",
        item: Any = None,
        label: str | None = None,
    ) -> Work:
        """Describe the execution of a step, or of one item; StepFailedError if its class cannot be loaded."""
        try:
            cls = self.services.classes.step(step.type)
        except PluginError as error:
            raise StepFailedError(error, step, path) from error
        key = StepKey(job.spec.id, step.id, item_key)
        return Work(
            job=job,
            step=step,
            path=path,
            key=key,
            cls=cls,
            inputs=step.inputs,
            inputs_path=(*path, "inputs"),
            effect=step.effect or cls.effect_of(step.inputs),
            def_hash=self.definitions.hashes[StepKey(job.spec.id, step.id)],
            idem_key=self.idem_key(key),
            item={"item": item} if item_key else {},
            label=label,
        )

    def part(self, work: Work, key: StepKey, step_type: str, inputs: Any, path: DocPath, inputs_path: DocPath) -> Work:
        """Describe a part of a step that has a row of its own: its `verify`, its `quarantine`. Raises PluginError."""
        return work._replace(
            step=work.step.model_copy(update={"type": step_type, "retry": None, "outputs": {}}),
            path=path,
            key=key,
            cls=self.services.classes.step(step_type),
            inputs=inputs,
            inputs_path=inputs_path,
            effect="repeatable",
            def_hash="",
            idem_key=self.idem_key(key),
        )

    def idem_key(self, key: StepKey) -> str:
        """The idempotency key of a step of this run."""
        return idempotency_key(self.services.flow_id, self.services.run_id, key)

    def run(self, work: Work, number: int = 0, follow: Follow | None = None) -> Done:
        """Make attempts until one succeeds. Raises StepFailedError, StepUnknownError, RunStoppedError.

        `number` is that of the first attempt, if its start is already recorded. `follow` gives the step whose start is
        recorded together with a successful end of this one; if it needs nothing more it is run too, and so on.
        """
        budget = RetryBudget(work.step.retry)
        while True:
            started, number = self.record_start(work, number), 0
            try:
                return self._attempt(work, started, follow)
            except StepUnknownError:
                raise
            except StepFailedError as failed:
                delay = budget.next_delay() if failed.step is work.step else None
                if delay is None:
                    raise
                self.attempts.say(work, "step_retry", delay_seconds=delay, error=str(failed))
                pause(delay, self.services.stop)

    def record_start(self, work: Work, number: int = 0) -> int:
        """Record the start of an attempt, unless that `number` is recorded; returns its number.

        Raises RunStoppedError, or StepFailedError if a lock of the run is lost.
        """
        try:
            self.services.check_stop()
            self._locks.check()
        except (RunStoppedError, LeaseLostError) as error:
            lost = isinstance(error, LeaseLostError)
            if number:
                why = message_of(error) if lost else said(StateReason.NOT_BEGUN)
                self.state.fail(work.key, Status.INTERRUPTED, why)
            if lost:
                raise StepFailedError(error, work.step, work.path) from error
            raise
        return number or self.state.start(work.start())

    def goes_on(self, error: StepFailedError) -> bool:
        """Whether other items may be run after one that failed so: it asks nobody, and no lock of the run is lost."""
        return not isinstance(error, StepUnknownError) and self._locks.lost() is None

    def done_before(self, key: StepKey) -> Done | None:
        """The stored result of a finished step; None if it is not finished."""
        record = self.state.latest.get(key)
        if record is None or record.status not in DONE_STEP:
            return None
        return Done(record.status, self.state.outputs(key), record.reason)

    def reused(self, job: JobRun, step: StepSpec) -> None:
        """Note for the summary that the result of a step, if it has one, is reused."""
        record = self.state.latest.get(StepKey(job.spec.id, step.id))
        if record is None:
            return
        if self._artifacts_of != job.spec.id:
            self._artifacts, self._artifacts_of = {}, job.spec.id
            for found in self.state.artifacts(job.spec.id):
                self._artifacts.setdefault(found.key.step.partition(".")[0], []).append(found)
        job.traces.append(StepTrace(step, record, reused=True, artifacts=self._artifacts.get(step.id, ())))

    # Attempts

    def _attempt(self, work: Work, number: int, follow: Follow | None) -> Done:
        turn = self.begin(work, number, follow)
        return self.concluded(turn, lambda: self._execute(turn))

    def begin(self, work: Work, number: int, follow: Follow | None = None) -> StepTurn:
        """Begin an attempt whose start is recorded; it is to be made ready, executed and concluded."""
        self._artifacts_of = None
        first = self.attempts.prepare(work, number)
        self.attempts.begin(first)
        return StepTurn(self.attempts, first, follow)

    def concluded(self, turn: StepTurn, end: Callable[[], Done]) -> Done:
        """Return what `end` gives. A failure, which it raises, is recorded; both are emitted."""
        services = self.services
        cause: BaseException | None = None
        try:
            return end()
        except StepFailedError as failed:
            begun = turn.current
            cause, begun.trace.undecided = failed.cause, isinstance(failed, StepUnknownError)
            status = Status.INTERRUPTED if begun.trace.undecided else Status.FAILED
            self._end_badly(begun, status, services.redactor.mask(str(failed)))
            raise
        except RunStoppedError:
            stopped = said(StateReason.STOPPED, number=services.stop.signal)
            self._end_badly(turn.current, Status.INTERRUPTED, stopped)
            raise
        finally:
            self.attempts.tell_end(turn.current, cause)

    def _execute(self, turn: StepTurn) -> Done:
        services = self.services
        try:
            turn.ready()
            outcome = run_turn(
                turn,
                services.worker,
                services.processes,
                services.connectors,
                services.grace,
                turn.current.work.step.timeout_seconds,
            )
        finally:
            self._locks.guard()
        return self.judged(turn, outcome)

    def guard(self, *attempts: Control) -> None:
        """From now on the loss of a lock of the run or job ends these attempts, and no others."""
        self._locks.guard(*attempts)

    def judged(self, turn: StepTurn, outcome: AttemptOutcome) -> Done:
        """What an outcome means. Raises StepFailedError, StepUnknownError, RunStoppedError."""
        if outcome.result is not None:
            done: Done | StepResult = outcome.result
            done = turn.conclude(done) if isinstance(done, StepResult) else done
            return done._replace(steps=turn.steps)
        if not turn.current.attempt.side_by_side:
            self.services.connectors.end_attempt()
        if turn.failure is not None and outcome.error is turn.failure:
            raise turn.failure
        if outcome.stopped == "signal":
            raise RunStoppedError
        work, attempt = turn.current.work, turn.current.attempt
        if outcome.error is not None:
            frames = self.services.classes.frames_of(outcome.error, work.step.type, work.cls)
            attempt.log.feed("stderr", frames.encode())
        cause = outcome.error or self._locks.lost() or StepError("the step gave no result")
        # by force, or while others could work under its lock: nobody knows how far
        ended = outcome.stopped is not None or isinstance(cause, StepTimeoutError | LeaseLostError)
        undecided = isinstance(cause, UndecidedStepError) or (ended and work.effect == "once")
        kind = StepUnknownError if undecided or self._undecided_inside(attempt) else StepFailedError
        raise kind(cause, work.step, work.path, attempt.log) from cause

    def _undecided_inside(self, attempt: Attempt) -> bool:
        """Whether a `once` step inside this attempt was ended by force."""
        found = (self.state.latest[key] for key in attempt.inner_keys() if key in self.state.latest)
        return any(r.effect == "once" and r.status in (Status.RUNNING, Status.INTERRUPTED) for r in found)

    def _end_badly(self, begun: Begun, status: Status, error: str) -> None:
        work, attempt = begun.work, begun.attempt
        begun.trace.duration_ms = ms_since(begun.began)
        for key in attempt.inner_keys():  # still RUNNING if the attempt's thread was abandoned
            if (found := self.state.latest.get(key)) is not None and found.status is Status.RUNNING:
                self.state.fail(key, Status.INTERRUPTED, error)
        self.state.fail(work.key, status, error, dict(attempt.effects.facts), attempt.effects.read)
        begun.trace.recorded = True
