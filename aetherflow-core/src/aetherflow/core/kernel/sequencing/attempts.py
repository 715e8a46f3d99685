"""The start and the end of attempts: their events and their records."""

import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from aetherflow.core.base.errors import StateError
from aetherflow.core.base.said import Reason
from aetherflow.core.contracts.handles import StepResult
from aetherflow.core.kernel.sequencing.attempt import Attempt
from aetherflow.core.kernel.sequencing.execution import StepFailedError, StepTrace, StepUnknownError, Work
from aetherflow.core.kernel.sequencing.failure import message_of
from aetherflow.core.kernel.sequencing.inner import InnerSteps
from aetherflow.core.kernel.sequencing.leases import AttemptLeases
from aetherflow.core.kernel.sequencing.scope_locks import ScopeLocks
from aetherflow.core.kernel.sequencing.services import RunServices
from aetherflow.core.kernel.sequencing.stopping import Control
from aetherflow.core.kernel.sequencing.values import StepValues
from aetherflow.core.kernel.state.reasons import step_reason
from aetherflow.core.kernel.state.records import StepEffects, StepEnd
from aetherflow.core.kernel.state.transitions import Status
from aetherflow.core.kernel.state.values import json_safe

Follow = Callable[[Work], Work | None]
"""The step after one that has ended well, if it can start without further checks."""


class Done(NamedTuple):
    """The result of a step that ended with SUCCESS or SKIPPED."""

    status: Status
    outputs: Mapping[str, Any]
    reason: Reason | None
    next: Work | None = None
    """The step whose first attempt follows, if its start was recorded together with this end."""
    number: int = 0
    """That of the attempt that follows."""
    steps: int = 1
    """Number of steps that have ended up to this one, in one turn."""


class Begun:
    """An attempt that was begun: its step, its record, its trace for the summary."""

    __slots__ = ("attempt", "began", "told", "trace", "work")

    def __init__(self, work: Work, attempt: Attempt, trace: StepTrace, began: float) -> None:
        """`began`: monotonic time."""
        self.work = work
        self.attempt = attempt
        self.trace = trace
        self.began = began
        self.told = False
        """Whether its end was emitted."""


class Attempts:
    """The attempts of one run; its thread and that of the steps use it in turn."""

    def __init__(self, services: RunServices, locks: ScopeLocks) -> None:
        self.services = services
        self.state = services.state.steps
        self.values = StepValues(services)
        self.locks = locks
        self._inner = InnerSteps(services, self.values)

    def may_begin(self) -> bool:
        """Whether an attempt may begin: the run is not being stopped, and its locks are held."""
        return not self.services.stop.requested and self.locks.lost() is None

    def prepare(self, work: Work, number: int) -> Begun:
        """An attempt whose start is recorded, before its class is called."""
        services = self.services
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
        return Begun(work, attempt, trace, time.monotonic())

    def begin(self, begun: Begun) -> None:
        """Tell of the start of an attempt, note it for the summary, and end what an earlier one left behind."""
        work = begun.work
        self.say(work, "step_start", attempt=begun.attempt.number)
        if not work.key.item:
            work.job.traces.append(begun.trace)
        if begun.attempt.number > 1:
            self.services.processes.end_orphans(work.idem_key)

    def tell_end(self, begun: Begun, cause: BaseException | None = None) -> None:
        """Tell of the end of an attempt, once."""
        if begun.told:
            return
        begun.told, trace, attempt = True, begun.trace, begun.attempt
        attempt.log.close()
        trace.duration_ms = ms_since(begun.began) if trace.duration_ms is None else trace.duration_ms
        trace.artifacts = list(attempt.artifacts())
        self.say(
            begun.work,
            "step_end",
            attempt=attempt.number,
            status=trace.status,
            duration_ms=trace.duration_ms,
            reason=trace.record.reason,
            error=message_of(cause) if cause else None,
        )

    def finish(self, work: Work, attempt: Attempt, result: StepResult, follow: Follow | None) -> Done:
        """Record the result of an attempt. StepFailedError, StepUnknownError for values that cannot be stored."""
        try:
            reason = step_reason(result, self.services.redactor, self.services.warned())
            done = Done(
                Status(result.status),
                self.services.classes.outputs_of(work.cls, json_safe(result.as_output()), result.status),
                reason,
            )
            if self.services.stop.requested or (done.status is Status.SKIPPED and work.step.on_no_data is not None):
                follow = None
            return self.hand_over(work, done, attempt, follow)
        except StateError:
            raise  # the attempt can be recorded neither as done nor as failed
        except Exception as error:  # outputs that cannot be stored or promoted fail the step
            kind = StepUnknownError if work.effect == "once" else StepFailedError  # it has had its effect
            raise kind(error, work.step, getattr(error, "at", ()) or work.path, attempt.log) from error

    def hand_over(self, work: Work, done: Done, attempt: Attempt | None = None, follow: Follow | None = None) -> Done:
        """Record a successful end and the start that follows. Raises if outputs cannot be rendered or stored."""
        promoted = None
        if work.is_whole:
            work.job.steps[work.step.id] = done.outputs
            promoted = self.values.promoted(work.job, work.step, done.outputs, work.path)
        stored, secret, shown = self.values.encoded(work.key, done.outputs, promoted)
        effects = attempt.effects if attempt is not None else StepEffects()
        end = StepEnd(done.status, stored, done.reason, effects, secret, shown)
        following = follow(work) if follow is not None else None
        number = self.state.finish(work.key, end, following.start() if following is not None else None)
        if promoted is not None:
            work.job.outputs = promoted
        return done._replace(next=following, number=number)

    def say(self, work: Work, event: str, **fields: Any) -> None:
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
