"""The order of a run: gates, jobs, steps; what is stored is reused, what failed blocks its dependants."""

import hashlib
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from aetherflow.core.contracts.step import Step, StepResult
from aetherflow.core.engine.attempt import call, run_attempt
from aetherflow.core.engine.context import RunParts, StepContext
from aetherflow.core.engine.failure import describe_failure, message_of
from aetherflow.core.engine.gates import blocked_by, when_holds
from aetherflow.core.engine.output import OutputLog
from aetherflow.core.engine.prepare import PreparedFlow
from aetherflow.core.errors import PluginError, ResolverError, StateError, WhenError
from aetherflow.core.location import DocPath
from aetherflow.core.resolve.deferred import render_inputs
from aetherflow.core.resolve.template import render
from aetherflow.core.spec.flow import JobSpec, StepSpec
from aetherflow.core.state.records import Artifact, StepRecord
from aetherflow.core.state.transitions import DONE_STEP, FINAL_JOB, Status
from aetherflow.core.state.values import json_safe
from aetherflow.core.summary import ArtifactSummary, JobSummary, StepSummary


class StepFailedError(Exception):
    """A step of the job did not end well; carries what the state and the summary say about it."""

    def __init__(self, cause: BaseException, step: StepSpec, path: DocPath, output: OutputLog | None) -> None:
        super().__init__(message_of(cause))
        self.cause = cause
        self.step = step
        self.path = path
        self.output = output


class RunStoppedError(Exception):
    """The run is being stopped; the job under way is INTERRUPTED."""


@dataclass(slots=True)
class JobRun:
    """A job under way."""

    spec: JobSpec
    path: DocPath
    summary: JobSummary
    steps: dict[str, Any] = field(default_factory=dict)
    outputs: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Attempt:
    """An attempt of a step under way."""

    job: JobRun
    step: StepSpec
    path: DocPath
    ctx: StepContext
    summary: StepSummary
    output: OutputLog

    def failed(self, error: BaseException, at: DocPath = ()) -> StepFailedError:
        """The failure of this attempt; `at` is the place of the fault, if it is narrower than the step."""
        return StepFailedError(error, self.step, at or self.path, self.output)


class Sequence:
    """Runs the jobs of one flow in order."""

    def __init__(self, flow: PreparedFlow, parts: RunParts, logs: Any) -> None:
        self._flow = flow
        self._parts = parts
        self._logs = logs
        self._grace = flow.snapshot.settings.stop_grace_seconds
        self.statuses: dict[str, Status] = {}
        self.jobs: dict[str, Any] = {}
        """What templates and `when` see as `jobs`."""
        self.summaries: list[JobSummary] = []

    def run(self) -> None:
        """Run all jobs; raises RunStoppedError when the run is being stopped."""
        for index, job in enumerate(self._flow.spec.jobs):
            if self._parts.stop.requested:
                raise RunStoppedError
            started = time.monotonic()
            summary = JobSummary(job.id, "", 0)
            self.summaries.append(summary)
            outputs: dict[str, Any] = {}
            try:
                outputs = self._job(JobRun(job, ("jobs", index), summary))
            except RunStoppedError:
                summary.status = Status.INTERRUPTED
                raise
            finally:
                summary.duration_ms = _ms_since(started)
                self._publish(summary, outputs)

    # Jobs

    def _job(self, job: JobRun) -> dict[str, Any]:
        state, job_id = self._parts.state, job.spec.id
        stored = state.job(job_id)
        if stored is not None and stored.status in FINAL_JOB:
            job.summary.status, job.summary.skip_reason = stored.status, stored.skip_reason
            self._reuse_steps(job)
            return stored.outputs
        if (dependency := blocked_by(job.spec, self.statuses)) is not None:
            state.gate_job(job_id, Status.BLOCKED, blocked_by=dependency)
            job.summary.status, job.summary.blocked_by = Status.BLOCKED, dependency
            return {}
        try:
            # a job that was entered stays entered: the jobs that its `when` reads may have run again since
            holds = (stored is not None and stored.when_result) or when_holds(
                job.spec, {**self._parts.constants, "jobs": self.jobs}
            )
        except WhenError as error:
            self._fail(job, error, step=None, path=(*job.path, "when"), output=None)
            state.gate_job(job_id, Status.FAILED, error=str(error))
            return {}
        if not holds:
            state.gate_job(job_id, Status.SKIPPED, when_result=False, skip_reason="condition=false")
            job.summary.status, job.summary.skip_reason = Status.SKIPPED, "condition=false"
            return {}
        state.start_job(job_id)
        self._parts.events.emit("job_start", flow_id=self._flow.flow_id, run_id=self._parts.run_id, job_id=job_id)
        self._parts.workspace.remove_parts(job_id)
        return self._steps(job)

    def _steps(self, job: JobRun) -> dict[str, Any]:
        state, job_id = self._parts.state, job.spec.id
        try:
            for index, step in enumerate(job.spec.steps):
                skipped = self._step(job, step, (*job.path, "steps", index))
                if skipped is not None and step.on_no_data == "skip_job":
                    return self._short_circuit(job, index + 1, skipped)
        except StepFailedError as error:
            self._fail(job, error.cause, step=error.step, path=error.path, output=error.output)
            state.finish_job(job_id, Status.FAILED, error=self._parts.redactor.mask(str(error)))
            return job.outputs
        except RunStoppedError:
            state.finish_job(job_id, Status.INTERRUPTED)
            raise
        state.finish_job(job_id, Status.SUCCESS)
        job.summary.status = Status.SUCCESS
        return job.outputs

    def _short_circuit(self, job: JobRun, first: int, reason: str) -> dict[str, Any]:
        state, job_id = self._parts.state, job.spec.id
        rest = [step for step in job.spec.steps[first:] if state.step(job_id, step.id) is None]
        if rest:
            state.skip_steps(job_id, [step.id for step in rest], reason)
        job.summary.steps += [
            StepSummary(step.id, step.type, Status.SKIPPED, 0, reason=reason) for step in job.spec.steps[first:]
        ]
        state.finish_job(job_id, Status.SKIPPED, skip_reason=reason)
        job.summary.status, job.summary.skip_reason = Status.SKIPPED, reason
        return job.outputs

    def _fail(
        self, job: JobRun, error: BaseException, *, step: StepSpec | None, path: DocPath, output: OutputLog | None
    ) -> None:
        job.summary.status = Status.FAILED
        job.summary.error = describe_failure(error, self._flow.document.source, path, self._parts.redactor)
        job.summary.error.step = step.id if step else None
        if output is not None and output.used:
            job.summary.error.log = str(output.path)
            job.summary.error.tail = list(output.tail)

    def _publish(self, summary: JobSummary, outputs: dict[str, Any]) -> None:
        summary.status = summary.status or Status.INTERRUPTED  # no end was recorded: the state itself failed
        self.statuses[summary.job_id] = Status(summary.status)
        # plain text, not the enum: `when` compares by type
        entry: dict[str, Any] = {"status": str(summary.status), "outputs": outputs}
        if summary.skip_reason is not None:
            entry["skip_reason"] = summary.skip_reason
        if (error := summary.error) is not None:
            entry["error"] = {"step": error.step, "code": error.code, "message": error.message, "log": error.log}
        self.jobs[summary.job_id] = entry
        self._parts.events.emit(
            "job_end",
            flow_id=self._flow.flow_id,
            run_id=self._parts.run_id,
            job_id=summary.job_id,
            status=summary.status,
            duration_ms=summary.duration_ms,
            skip_reason=summary.skip_reason,
            blocked_by=summary.blocked_by,
            error=error.message if error else None,
        )

    # Steps

    def _step(self, job: JobRun, step: StepSpec, path: DocPath) -> str | None:
        """Run or reuse one step; returns the reason if it is SKIPPED."""
        stored = self._parts.state.step(job.spec.id, step.id)
        if stored is not None and stored.status in DONE_STEP:
            self._reuse(job, step, stored)
            return (stored.reason or "step requested skip_job") if stored.status is Status.SKIPPED else None
        if self._parts.stop.requested:
            raise RunStoppedError
        return self._attempt(job, step, path)

    def _attempt(self, job: JobRun, step: StepSpec, path: DocPath) -> str | None:
        parts, job_id = self._parts, job.spec.id
        started = time.monotonic()
        try:
            cls = parts.catalog.step(step.type)
        except PluginError as error:
            raise StepFailedError(error, step, path, None) from error
        key = _idempotency_key(parts.flow_id, parts.run_id, job_id, step.id)
        number = parts.state.start_step(job_id, step.id, effect=cls.effect, idem_key=key, plugin=step.type)
        ids = {"flow_id": parts.flow_id, "run_id": parts.run_id, "job_id": job_id, "step_id": step.id}
        parts.events.emit("step_start", **ids, step_type=step.type, attempt=number)
        log = self._logs / job_id / f"{step.id}.{number}.log"
        output = OutputLog(log, job_id, step.id, parts.redactor, parts.events)
        ctx = StepContext(parts, job_id, step.id, number, key, output)
        summary = StepSummary(step.id, step.type, Status.RUNNING, 0, number)
        job.summary.steps.append(summary)
        cause: BaseException | None = None
        try:
            return self._execute(Attempt(job, step, path, ctx, summary, output), cls)
        except StepFailedError as failed:
            cause = failed.cause
            summary.status = Status.FAILED
            parts.state.fail_step(job_id, step.id, number, Status.FAILED, parts.redactor.mask(str(failed)))
            raise
        finally:
            output.close()
            summary.duration_ms = _ms_since(started)
            parts.events.emit(
                "step_end",
                **ids,
                step_type=step.type,
                attempt=number,
                status=summary.status,
                duration_ms=summary.duration_ms,
                reason=summary.reason,
                error=message_of(cause) if cause else None,
            )

    def _execute(self, attempt: Attempt, cls: type[Step[Any]]) -> str | None:
        parts, job, step = self._parts, attempt.job, attempt.step
        try:
            scope = self._scope(job, {})
            inputs = render_inputs(step.inputs, scope, cls.inner_steps, (*attempt.path, "inputs"))
        except ResolverError as error:
            raise attempt.failed(error, error.at) from error
        outcome = run_attempt(
            lambda: call(cls, step.id, inputs, attempt.ctx, job.spec.id),
            parts.stop,
            parts.processes,
            parts.connectors,
            self._grace,
        )
        if outcome.result is not None:
            return self._finish(attempt, outcome.result)
        if parts.stop.requested:
            attempt.summary.status = Status.INTERRUPTED
            reason = f"signal {parts.stop.signal}"
            parts.state.fail_step(job.spec.id, step.id, attempt.ctx.attempt, Status.INTERRUPTED, reason)
            raise RunStoppedError
        raise attempt.failed(outcome.error or RuntimeError("no result"))

    def _finish(self, attempt: Attempt, result: StepResult) -> str | None:
        job, step, summary = attempt.job, attempt.step, attempt.summary
        try:
            outputs = json_safe(result.as_output())
            job.steps[step.id] = outputs
            promoted = {**job.outputs, **render(step.outputs, self._scope(job, outputs), (*attempt.path, "outputs"))}
            status = Status(result.status)
            reason = self._parts.redactor.mask(result.reason) if result.reason is not None else None
            self._parts.state.finish_step(
                job.spec.id,
                step.id,
                attempt.ctx.attempt,
                status,
                outputs,
                attempt.ctx.effects,
                reason=reason,
                job_outputs=promoted,
            )
        except StateError:
            raise  # the attempt can be recorded neither as done nor as failed
        except Exception as error:  # outputs that cannot be stored or promoted fail the step, before it is SUCCESS
            raise attempt.failed(error, getattr(error, "at", ())) from error
        job.outputs = promoted
        summary.status, summary.reason = status, reason
        summary.artifacts = _artifact_summaries(list(attempt.ctx.effects.artifacts.values()))
        return (reason or "step requested skip_job") if status is Status.SKIPPED else None

    def _reuse(self, job: JobRun, step: StepSpec, stored: StepRecord) -> None:
        job.steps[step.id] = stored.outputs
        if (record := self._parts.state.job(job.spec.id)) is not None:
            job.outputs = record.outputs
        job.summary.steps.append(_stored_summary(step, stored))

    def _reuse_steps(self, job: JobRun) -> None:
        for step in job.spec.steps:
            if (stored := self._parts.state.step(job.spec.id, step.id)) is not None:
                job.summary.steps.append(_stored_summary(step, stored))

    def _scope(self, job: JobRun, result: Mapping[str, Any]) -> dict[str, Any]:
        return {
            **self._parts.constants,
            "steps": job.steps,
            "job": {"id": job.spec.id, "outputs": job.outputs},
            "jobs": self.jobs,
            "run_id": self._parts.run_id,
            "flow_id": self._flow.flow_id,
            "result": result,
        }


def call_inner_step(ctx: StepContext, step_type: str, inputs: Mapping[str, Any], step_id: str) -> StepResult:
    """Run a step inside another one, with the outer one's context."""
    return call(ctx.catalog.step(step_type), step_id, inputs, ctx, ctx.job_id)


def _stored_summary(step: StepSpec, stored: StepRecord) -> StepSummary:
    duration = (stored.finished_at or stored.started_at) - stored.started_at
    return StepSummary(
        step.id,
        step.type,
        stored.status,
        duration,
        stored.attempt,
        reused=True,
        reason=stored.reason,
        artifacts=_artifact_summaries(stored.artifacts),
    )


def _artifact_summaries(artifacts: list[Artifact]) -> list[ArtifactSummary]:
    return [ArtifactSummary(item.path, item.size, item.sha256) for item in artifacts]


def _idempotency_key(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


def _ms_since(started: float) -> int:
    return int((time.monotonic() - started) * 1000)
