"""Running one step: reused, or attempted until it ends well, its retries are used up, or the run is stopped."""

import hashlib
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

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
from aetherflow.core.base.summary import ArtifactSummary, StepSummary
from aetherflow.core.contracts.handles import StepResult
from aetherflow.core.contracts.written import plain
from aetherflow.core.host.catalog import active
from aetherflow.core.kernel.resolver.deferred import render_inputs
from aetherflow.core.kernel.resolver.template import render
from aetherflow.core.kernel.sequencing.attempt import call, run_attempt
from aetherflow.core.kernel.sequencing.definitions import Definitions
from aetherflow.core.kernel.sequencing.execution import JobRun, StepFailedError, StepUnknownError, Work
from aetherflow.core.kernel.sequencing.failure import message_of
from aetherflow.core.kernel.sequencing.retry import RetryBudget, pause
from aetherflow.core.kernel.sequencing.scope_locks import ScopeLocks
from aetherflow.core.kernel.sequencing.stopping import RunStoppedError
from aetherflow.core.kernel.state.records import StepEnd, StepKey, StepStart, StoredArtifact
from aetherflow.core.kernel.state.transitions import DONE_STEP, Status
from aetherflow.core.kernel.state.values import json_safe, to_json
from aetherflow.core.kernel.yaml.flow import StepSpec
from aetherflow.core.runtime.context.context import StepContext
from aetherflow.core.runtime.context.parts import RunParts
from aetherflow.core.runtime.processes.output import OutputLog


class Done:
    """A step that ended well."""

    __slots__ = ("outputs", "reason", "status")

    def __init__(self, status: Status, outputs: Mapping[str, Any], reason: str | None) -> None:
        self.status = status
        self.outputs = outputs
        self.reason = reason


class StepRunner:
    """Runs the steps of one run."""

    def __init__(self, parts: RunParts, locks: ScopeLocks, definitions: Definitions, logs: Path, grace: float) -> None:
        self.parts = parts
        self._locks = locks
        self.state = parts.state.steps
        self.definitions = definitions
        self._logs = logs
        self._grace = grace
        self._started: tuple[StepKey, int] | None = None
        """The attempt whose start was written down together with the end of the step before it."""
        self._artifacts: dict[str, list[StoredArtifact]] = {}
        """By step, those of `_artifacts_of`; read once for all steps of a job that are reused in a row."""
        self._artifacts_of: str | None = None

    # Jobs' view

    def work(self, job: JobRun, step: StepSpec, path: DocPath, *, item_key: str = "", item: Any = None) -> Work:
        """What there is to execute of a step; StepFailedError if its class cannot be had."""
        try:
            cls = self.parts.catalog.step(step.type)
        except PluginError as error:
            raise StepFailedError(error, step, path, None) from error
        key = StepKey(job.spec.id, step.id, item_key)
        def_hash = self.definitions.hashes[StepKey(job.spec.id, step.id)]
        effect = step.effect or cls.effect_of(step.inputs)
        scope = {"item": item} if item_key else {}
        return Work(job, step, path, key, cls, step.inputs, (*path, "inputs"), effect, def_hash, scope)

    def run(self, work: Work, following: Work | None = None) -> Done:
        """Attempt until it ends well. Raises StepFailedError, StepUnknownError, RunStoppedError.

        `following` is the step that is executed at once if this one ends with SUCCESS.
        """
        budget = RetryBudget(work.step.retry)
        while True:
            self.check_stop()
            try:
                self._locks.check()
            except LeaseLostError as error:
                raise StepFailedError(error, work.step, work.path, None) from error
            try:
                return self._attempt(work, following)
            except StepUnknownError:
                raise
            except StepFailedError as failed:
                delay = budget.next_delay()
                if delay is None:
                    raise
                self._say(work, "step_retry", delay_seconds=delay, error=str(failed))
                pause(delay, self.parts.stop)

    def wrapped(
        self, key: StepKey, step_type: str, attempt: int, work: Callable[[], StepResult]
    ) -> Callable[[], StepResult]:
        """The work of an attempt with the hooks around it, if there are any."""
        if (around := self.parts.around) is None:
            return work
        return lambda: around.call(key, step_type, attempt, work)

    def check_stop(self) -> None:
        """Raise RunStoppedError if the run is being stopped."""
        if not self.parts.stop.requested:
            return
        if self._started is not None:
            key, _ = self._started
            self._started = None
            self.state.fail(key, Status.INTERRUPTED, "stopped before it began")
        raise RunStoppedError

    def done_before(self, key: StepKey) -> Done | None:
        """The stored result of a step, if it ended well."""
        record = self.state.latest.get(key)
        if record is None or record.status not in DONE_STEP:
            return None
        return Done(record.status, self.state.outputs(key), record.reason)

    def reused(self, job: JobRun, step: StepSpec) -> StepSummary | None:
        """What the summary says of a step that has a record."""
        key = StepKey(job.spec.id, step.id)
        record = self.state.latest.get(key)
        if record is None:
            return None
        duration = (record.finished_at or record.started_at) - record.started_at
        if self._artifacts_of != job.spec.id:
            self._artifacts, self._artifacts_of = {}, job.spec.id
            for found in self.state.artifacts(job.spec.id):
                self._artifacts.setdefault(found.key.step.partition(".")[0], []).append(found)
        artifacts = [
            ArtifactSummary(
                found.path, found.size, found.sha256, (found.gone_by or "").removeprefix("cleanup ") or None
            )
            for found in self._artifacts.get(step.id, ())
        ]
        return StepSummary(step.id, step.type, record.status, duration, record.attempt, True, record.reason, artifacts)

    # Attempts

    def _attempt(self, work: Work, following: Work | None) -> Done:
        started = time.monotonic()
        self._artifacts_of = None
        number = self._start(work)
        self._say(work, "step_start", attempt=number)
        if number > 1:
            self.parts.processes.end_orphans(self._idem_key(work.key))
        log = self._logs / work.key.job / f"{work.prefix}.{number}.log"
        output = OutputLog(log, work.key.job, work.key.step, self.parts.redactor, self.parts.events)
        ctx = StepContext(self.parts, work.key, number, self._idem_key(work.key), output, work.job.steps)
        summary = StepSummary(work.key.step, work.step.type, Status.RUNNING, 0, number)
        if not work.key.item:
            work.job.summary.steps.append(summary)
        cause: BaseException | None = None
        try:
            done = self._execute(work, ctx, output, following)
            summary.status, summary.reason = done.status, done.reason
            return done
        except StepUnknownError as unknown:
            cause, summary.status = unknown.cause, Status.UNKNOWN
            self._end_badly(work, ctx, Status.INTERRUPTED, self.parts.redactor.mask(str(unknown)))
            raise
        except StepFailedError as failed:
            cause, summary.status = failed.cause, Status.FAILED
            self._end_badly(work, ctx, Status.FAILED, self.parts.redactor.mask(str(failed)))
            raise
        except RunStoppedError:
            summary.status = Status.INTERRUPTED
            self._end_badly(work, ctx, Status.INTERRUPTED, f"signal {self.parts.stop.signal}")
            raise
        finally:
            output.close()
            summary.duration_ms = ms_since(started)
            summary.artifacts = [ArtifactSummary(a.path, a.size, a.sha256) for a in ctx.all_artifacts()]
            self._say(
                work,
                "step_end",
                attempt=number,
                status=summary.status,
                duration_ms=summary.duration_ms,
                reason=summary.reason,
                error=message_of(cause) if cause else None,
            )

    def _start(self, work: Work) -> int:
        if self._started is not None and self._started[0] == work.key:
            _, number = self._started
            self._started = None
            return number
        return self.state.start(self._step_start(work))

    def _step_start(self, work: Work) -> StepStart:
        return StepStart(work.key, work.effect, self._idem_key(work.key), work.step.type, work.def_hash)

    def _idem_key(self, key: StepKey) -> str:
        return idempotency_key(self.parts.flow_id, self.parts.run_id, key)

    def _execute(self, work: Work, ctx: StepContext, output: OutputLog, following: Work | None) -> Done:
        try:
            scope = self.scope(work.job, {}) | work.item
            inputs = render_inputs(work.inputs, scope, work.cls.inner_steps, work.inputs_path)
        except ResolverError as error:
            raise StepFailedError(error, work.step, error.at, output) from error
        self.parts.current = ctx.control
        outcome = run_attempt(
            self.wrapped(work.key, work.step.type, ctx.attempt, lambda: self._call(work, inputs, ctx)),
            ctx.control,
            self.parts.worker,
            self.parts.processes,
            self.parts.connectors,
            self._grace,
            work.step.timeout_seconds,
        )
        self.parts.connectors.end_attempt()
        if outcome.result is not None:
            return self._finish(work, ctx, outcome.result, output, following)
        if outcome.stopped == "signal":
            raise RunStoppedError
        cause = outcome.error or StepError("the step gave no result")
        ended = outcome.stopped is not None or isinstance(cause, StepTimeoutError)  # by force: nobody knows how far
        undecided = isinstance(cause, UndecidedStepError) or (ended and work.effect == "once")
        kind = StepUnknownError if undecided or self._asks_inside(ctx) else StepFailedError
        raise kind(cause, work.step, work.path, output) from cause

    def _call(self, work: Work, inputs: Mapping[str, Any], ctx: StepContext) -> StepResult:
        with active(self.parts.catalog):
            return call(work.cls, work.key.step, inputs, ctx, work.key.job)

    def _asks_inside(self, ctx: StepContext) -> bool:
        """Whether a `once` step inside this attempt was ended by force."""
        found = (self.state.latest[key] for key in ctx.inner_keys() if key in self.state.latest)
        return any(r.effect == "once" and r.status in (Status.RUNNING, Status.INTERRUPTED) for r in found)

    def _end_badly(self, work: Work, ctx: StepContext, status: Status, error: str) -> None:
        for key in ctx.inner_keys():  # still RUNNING if the thread of the attempt was left behind
            if (found := self.state.latest.get(key)) is not None and found.status is Status.RUNNING:
                self.state.fail(key, Status.INTERRUPTED, error)
        self.state.fail(work.key, status, error, dict(ctx.effects.facts))

    def _finish(
        self, work: Work, ctx: StepContext, result: StepResult, output: OutputLog, following: Work | None
    ) -> Done:
        job, step = work.job, work.step
        try:
            outputs = json_safe(result.as_output())
            promoted = None
            if work.key == (job.spec.id, step.id, ""):
                job.steps[step.id] = outputs
                promoted = self.promoted(job, step, outputs, work.path)
            status = Status(result.status)
            reason = self.parts.redactor.mask(result.reason) if result.reason is not None else None
            stored, secret, shown = self.without_secrets(work.key, outputs, promoted)
            end = StepEnd(status, stored, reason, ctx.effects, secret, shown)
            then = following if status is Status.SUCCESS or step.on_no_data is None else None
            if then is not None and self.parts.stop.requested:
                then = None
            number = self.state.finish(work.key, end, self._step_start(then) if then else None)
        except StateError:
            raise  # the attempt can be recorded neither as done nor as failed
        except Exception as error:  # outputs that cannot be stored or promoted fail the step, before it is SUCCESS
            kind = StepUnknownError if work.effect == "once" else StepFailedError  # it has had its effect
            raise kind(error, step, getattr(error, "at", ()) or work.path, output) from error
        if then is not None:
            self._started = then.key, number
        if promoted is not None:
            job.outputs = promoted
        return Done(status, outputs, reason)

    # Outputs

    def scope(self, job: JobRun, result: Mapping[str, Any]) -> dict[str, Any]:
        """What the templates of a step see."""
        return {
            **self.parts.constants,
            "steps": job.steps,
            "job": {"id": job.spec.id, "outputs": job.outputs},
            "jobs": self.parts.jobs,
            "run_id": self.parts.run_id,
            "flow_id": self.parts.flow_id,
            "result": result,
        }

    def promoted(self, job: JobRun, step: StepSpec, result: Mapping[str, Any], path: DocPath) -> dict[str, Any] | None:
        """The job's outputs with those of a step added; None if it adds none."""
        if not step.outputs:
            return None
        return {**job.outputs, **plain(render(step.outputs, self.scope(job, result), (*path, "outputs")))}

    def without_secrets(
        self, key: StepKey, outputs: Mapping[str, Any], promoted: Mapping[str, Any] | None
    ) -> tuple[Mapping[str, Any], tuple[str, ...], Mapping[str, Any] | None]:
        """Outputs of a step and of its job as they may be stored, and the names that were left out, with a warning."""
        secret = self._secret_keys(outputs)
        if secret:
            names = ", ".join(secret)
            message = f"{key}: output {names} holds a secret: not stored; the step runs again if a resumed run needs it"
            self.parts.events.emit("log", level="WARNING", job_id=key.job, step_id=key.step, message=message)
            outputs = {name: value for name, value in outputs.items() if name not in secret}
        if promoted is not None and (hidden := self._secret_keys(promoted)):
            promoted = {name: value for name, value in promoted.items() if name not in hidden}
        return outputs, secret, promoted

    def is_secret(self, key: StepKey, items: list[Any]) -> bool:
        """Whether a list of `for_each` holds a secret, with a warning: then it must not be stored."""
        found = bool(self._secret_keys({"items": items}))
        if found:
            message = f"{key}: for_each holds a secret: the list is not stored; a resumed run makes it anew"
            self.parts.events.emit("log", level="WARNING", job_id=key.job, step_id=key.step, message=message)
        return found

    def _secret_keys(self, outputs: Mapping[str, Any]) -> tuple[str, ...]:
        mask = self.parts.redactor.mask
        if not outputs or not self.parts.redactor.longest or mask(text := to_json(outputs)) == text:
            return ()
        return tuple(name for name, value in outputs.items() if mask(text := to_json({name: value})) != text)

    def _say(self, work: Work, event: str, **fields: Any) -> None:
        parts, key = self.parts, work.key
        parts.events.emit(
            event,
            flow_id=parts.flow_id,
            run_id=parts.run_id,
            job_id=key.job,
            step_id=key.step,
            item=key.item or None,
            step_type=work.step.type,
            **fields,
        )


def idempotency_key(flow_id: str, run_id: str, key: StepKey) -> str:
    """Equal for every attempt of a step, or of an item, in one run."""
    names = (flow_id, run_id, key.job, key.step, *((key.item,) if key.item else ()))
    return hashlib.sha256("\0".join(names).encode()).hexdigest()[:32]


def ms_since(started: float) -> int:
    """Milliseconds since a monotonic time."""
    return int((time.monotonic() - started) * 1000)
