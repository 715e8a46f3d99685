"""Running one step: attempts are made until one succeeds, the retries are used up, or the run is stopped."""

import time
from collections.abc import Mapping
from typing import Any, NamedTuple

from aetherflow.core.base.errors import (
    LeaseLostError,
    PluginError,
    ResolverError,
    StateError,
    StepError,
    StepTimeoutError,
    UndecidedStepError,
)
from aetherflow.core.base.location import DocPath
from aetherflow.core.base.said import Reason, said
from aetherflow.core.contracts.events import StepInfo
from aetherflow.core.contracts.handles import StepResult
from aetherflow.core.kernel.resolver.deferred import render_inputs
from aetherflow.core.kernel.sequencing.attempt import Attempt
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
from aetherflow.core.kernel.sequencing.handover import Handover, Started
from aetherflow.core.kernel.sequencing.inner import InnerSteps
from aetherflow.core.kernel.sequencing.leases import AttemptLeases
from aetherflow.core.kernel.sequencing.retry import RetryBudget, pause
from aetherflow.core.kernel.sequencing.scope_locks import ScopeLocks
from aetherflow.core.kernel.sequencing.services import RunServices
from aetherflow.core.kernel.sequencing.stopping import Control, RunStoppedError
from aetherflow.core.kernel.sequencing.values import StepValues
from aetherflow.core.kernel.sequencing.worker import call, run_attempt
from aetherflow.core.kernel.state.claims import told_of
from aetherflow.core.kernel.state.reasons import StateReason, step_reason
from aetherflow.core.kernel.state.records import StepEffects, StepEnd, StepKey, StoredArtifact
from aetherflow.core.kernel.state.transitions import DONE_STEP, Status
from aetherflow.core.kernel.state.values import json_safe
from aetherflow.core.kernel.yaml.flow import StepSpec


class Done(NamedTuple):
    """The result of a step that ended with SUCCESS or SKIPPED."""

    status: Status
    outputs: Mapping[str, Any]
    reason: Reason | None
    next: Started | None = None
    """The following attempt, if its start was recorded together with this end."""


class StepRunner:
    """Runs the steps of one run."""

    def __init__(self, services: RunServices, locks: ScopeLocks, definitions: StepDefinitions) -> None:
        self.services = services
        self.state = services.state.steps
        self.values = StepValues(services)
        self.definitions = definitions
        self._locks = locks
        self._inner = InnerSteps(services, self.values)
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

    def run(self, work: Work, started: Started | None = None, following: Work | None = None) -> Done:
        """Make attempts until one succeeds. Raises StepFailedError, StepUnknownError, RunStoppedError.

        `started` is the first attempt, if its start is already recorded; `following` is the step whose start is
        recorded together with a successful end of this one.
        """
        budget = RetryBudget(work.step.retry)
        while True:
            self._may_begin(work, started)
            number = started.number if started is not None else self.state.start(work.start())
            started = None
            try:
                return self._attempt(work, number, following)
            except StepUnknownError:
                raise
            except StepFailedError as failed:
                delay = budget.next_delay()
                if delay is None:
                    raise
                self._say(work, "step_retry", delay_seconds=delay, error=str(failed))
                pause(delay, self.services.stop)

    def _may_begin(self, work: Work, started: Started | None) -> None:
        try:
            self.services.check_stop()
            self._locks.check()
        except (RunStoppedError, LeaseLostError) as error:
            lost = isinstance(error, LeaseLostError)
            if started is not None:
                started.give_up(self.state, message_of(error) if lost else said(StateReason.NOT_BEGUN))
            if lost:
                raise StepFailedError(error, work.step, work.path) from error
            raise

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

    def _attempt(self, work: Work, number: int, following: Work | None) -> Done:
        began = time.monotonic()
        services = self.services
        self._artifacts_of = None
        self._say(work, "step_start", attempt=number)
        if number > 1:
            services.processes.end_orphans(work.idem_key)
        control = Control(services.stop)
        attempt = Attempt(
            key=work.key,
            number=number,
            idem_key=work.idem_key,
            steps=work.job.steps,
            log=services.open_log(work.key, number),
            control=control,
            leases=AttemptLeases(services.locks, control.cancel, work.job.lock),
            call_inner=self._inner.call,
        )
        trace = StepTrace(work.step, self.state.latest[work.key], recorded=False)
        if not work.key.item:
            work.job.traces.append(trace)
        cause: BaseException | None = None
        try:
            done = self._execute(work, attempt, following)
            trace.recorded = True
            return done
        except StepFailedError as failed:
            cause, trace.undecided = failed.cause, isinstance(failed, StepUnknownError)
            status = Status.INTERRUPTED if trace.undecided else Status.FAILED
            self._end_badly(work, attempt, status, services.redactor.mask(str(failed)))
            trace.recorded = True
            raise
        except RunStoppedError:
            self._end_badly(work, attempt, Status.INTERRUPTED, said(StateReason.STOPPED, number=services.stop.signal))
            trace.recorded = True
            raise
        finally:
            attempt.log.close()
            trace.duration_ms, trace.artifacts = ms_since(began), list(attempt.artifacts())
            self._say(
                work,
                "step_end",
                attempt=number,
                status=trace.status,
                duration_ms=trace.duration_ms,
                reason=trace.record.reason,
                error=message_of(cause) if cause else None,
            )

    def _execute(self, work: Work, attempt: Attempt, following: Work | None) -> Done:
        services = self.services
        try:
            scope = self.values.scope(work.job, {}) | work.item
            inputs = render_inputs(work.inputs, scope, work.cls.inner_steps, work.inputs_path)
        except ResolverError as error:
            raise StepFailedError(error, work.step, error.at, attempt.log) from error
        ctx = services.open_context(attempt)
        info = StepInfo(work.key.job, work.key.step, work.step.type, attempt.number, work.key.item or None)
        try:
            self._locks.guard(attempt.control)
            outcome = run_attempt(
                lambda: services.wrapper.call(info, lambda: call(work.cls, work.key.step, inputs, ctx, work.key.job)),
                attempt.control,
                services.worker,
                services.processes,
                services.connectors,
                services.grace,
                work.step.timeout_seconds,
            )
        finally:
            self._locks.guard(None)
        services.connectors.end_attempt()
        lost = self._locks.lost()
        if outcome.result is not None and lost is None:
            return self._finish(work, attempt, outcome.result, following)
        if outcome.stopped == "signal":
            raise RunStoppedError
        cause = outcome.error or lost or StepError("the step gave no result")
        # by force, or while others could work under its lock: nobody knows how far
        ended = outcome.stopped is not None or isinstance(cause, StepTimeoutError | LeaseLostError)
        undecided = isinstance(cause, UndecidedStepError) or (ended and work.effect == "once")
        kind = StepUnknownError if undecided or self._undecided_inside(attempt) else StepFailedError
        raise kind(cause, work.step, work.path, attempt.log) from cause

    def _undecided_inside(self, attempt: Attempt) -> bool:
        """Whether a `once` step inside this attempt was ended by force."""
        found = (self.state.latest[key] for key in attempt.inner_keys() if key in self.state.latest)
        return any(r.effect == "once" and r.status in (Status.RUNNING, Status.INTERRUPTED) for r in found)

    def _end_badly(self, work: Work, attempt: Attempt, status: Status, error: str) -> None:
        for key in attempt.inner_keys():  # still RUNNING if the attempt's thread was abandoned
            if (found := self.state.latest.get(key)) is not None and found.status is Status.RUNNING:
                self.state.fail(key, Status.INTERRUPTED, error)
        self.state.fail(work.key, status, error, dict(attempt.effects.facts))

    def _finish(self, work: Work, attempt: Attempt, result: StepResult, following: Work | None) -> Done:
        try:
            reason = step_reason(result, self.services.redactor, self.services.warned())
            done = Done(Status(result.status), json_safe(result.as_output()), reason)
            if self.services.stop.requested or (done.status is Status.SKIPPED and work.step.on_no_data is not None):
                following = None
            return self.hand_over(work, done, attempt, following)
        except StateError:
            raise  # the attempt can be recorded neither as done nor as failed
        except Exception as error:  # outputs that cannot be stored or promoted fail the step
            kind = StepUnknownError if work.effect == "once" else StepFailedError  # it has had its effect
            raise kind(error, work.step, getattr(error, "at", ()) or work.path, attempt.log) from error

    def hand_over(self, work: Work, done: Done, attempt: Attempt | None = None, following: Work | None = None) -> Done:
        """Record a successful end and the start of `following`. Raises if outputs cannot be rendered or stored."""
        promoted = None
        if work.is_whole:
            work.job.steps[work.step.id] = done.outputs
            promoted = self.values.promoted(work.job, work.step, done.outputs, work.path)
        stored, secret, shown = self.values.without_secrets(work.key, done.outputs, promoted)
        effects = attempt.effects if attempt is not None else StepEffects()
        end = StepEnd(done.status, stored, done.reason, effects, secret, shown)
        started = Handover(work.key, end, following).write(self.state)
        for told in told_of(effects.claims.values()) if effects.claims else ():
            self._say(work, "claimed", **told)
        if promoted is not None:
            work.job.outputs = promoted
        return done._replace(next=started)

    def _say(self, work: Work, event: str, **fields: Any) -> None:
        key, services = work.key, self.services
        services.events.emit(  # not `services.emit`: a step has two events, and each call copies the fields
            event,
            flow_id=services.flow_id,
            run_id=services.run_id,
            job_id=key.job,
            step_id=key.step,
            item=key.item or None,
            label=work.label,
            step_type=work.step.type,
            **fields,
        )


def ms_since(started: float) -> int:
    """Milliseconds since a monotonic time."""
    return int((time.monotonic() - started) * 1000)
