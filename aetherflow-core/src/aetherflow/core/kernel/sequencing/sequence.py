"""The order of a run: gates, jobs, steps; what is stored is reused, what failed blocks its dependants."""

import contextlib
import time
from typing import Any

from aetherflow.core.base.errors import AetherflowError, LockBusyError, ResolverError, WhenError
from aetherflow.core.base.location import DocPath
from aetherflow.core.base.said import Reason, said
from aetherflow.core.base.summary import JobSummary, StepSummary
from aetherflow.core.kernel.sequencing.each import ForEach
from aetherflow.core.kernel.sequencing.execution import JobRun, StepFailedError, StepUnknownError
from aetherflow.core.kernel.sequencing.failure import describe_failure
from aetherflow.core.kernel.sequencing.gates import blocked_by, when_holds
from aetherflow.core.kernel.sequencing.question import Questions
from aetherflow.core.kernel.sequencing.scope_locks import ScopeLocks
from aetherflow.core.kernel.sequencing.steps import Done, StepRunner, ms_since
from aetherflow.core.kernel.sequencing.stopping import RunStoppedError
from aetherflow.core.kernel.sequencing.verdicts import Plan, Verdict
from aetherflow.core.kernel.state.reasons import StateReason
from aetherflow.core.kernel.state.records import StepKey
from aetherflow.core.kernel.state.transitions import DONE_STEP, FINAL_JOB, Status
from aetherflow.core.kernel.yaml.flow import JobSpec, StepSpec
from aetherflow.core.runtime.opening.prepare import PreparedFlow
from aetherflow.core.runtime.processes.output import OutputLog

NOT_WELL = frozenset({Status.FAILED, Status.UNKNOWN})


class Sequence:
    """Runs the jobs of one flow in order."""

    def __init__(self, flow: PreparedFlow, runner: StepRunner, locks: ScopeLocks, plan: Plan) -> None:
        self._flow = flow
        self._runner = runner
        self._locks = locks
        self._parts = runner.parts
        self._state = runner.parts.state
        self._plans = {job.job_id: job for job in plan.jobs}
        self._questions = Questions(runner)
        self._each = ForEach(runner, self._questions)
        self._hashes = runner.definitions.hashes
        self.statuses: dict[str, Status] = {}
        self.summaries: list[JobSummary] = []

    def run(self) -> None:
        """Run all jobs; raises RunStoppedError when the run is being stopped."""
        stopped_by: str | None = None
        for index, job in enumerate(self._flow.spec.jobs):
            if self._parts.stop.requested:
                raise RunStoppedError
            if self._plans[job.id].verdict is Verdict.LEAVE:
                self._remember(job)
                continue
            started = time.monotonic()
            summary = JobSummary(job.id, "", 0)
            self.summaries.append(summary)
            run = JobRun(job, ("jobs", index), summary)
            try:
                self._job(run, stopped_by)
            except RunStoppedError:
                summary.status = Status.INTERRUPTED
                raise
            finally:
                summary.duration_ms = ms_since(started)
                self._publish(summary, run.outputs)
            if self._flow.spec.flow.on_failure == "stop" and self.statuses[job.id] in NOT_WELL:
                stopped_by = stopped_by or job.id

    @property
    def complete(self) -> bool:
        """True if every job of the flow has ended: nothing was left out."""
        return len(self.summaries) == len(self._flow.spec.jobs)

    # Jobs

    def _job(self, job: JobRun, stopped_by: str | None) -> None:
        state, job_id = self._state, job.spec.id
        stored = state.jobs.get(job_id)
        def_hash = self._hashes[StepKey(job_id, "")]
        if stored is not None and stored.status in FINAL_JOB:
            job.summary.status, job.summary.skip_reason = stored.status, stored.skip_reason
            job.outputs = state.job_outputs(job_id)
            self._reused(job, job.spec.steps)
            return
        blocker = stopped_by or blocked_by(job.spec, self.statuses, self._left_out())
        if blocker is not None:
            state.gate_job(job_id, Status.BLOCKED, def_hash, blocked_by=blocker)
            job.summary.status, job.summary.blocked_by = Status.BLOCKED, blocker
            return
        try:
            # a job that was entered stays entered: the jobs that its `when` reads may have run again since
            holds = (stored is not None and stored.when_result) or when_holds(
                job.spec, {**self._parts.constants, "jobs": self._parts.jobs}
            )
        except WhenError as error:
            self._fail(job, error, step=None, path=(*job.path, "when"), output=None)
            state.gate_job(job_id, Status.FAILED, def_hash, error=self._parts.redactor.mask(str(error)))
            return
        if not holds:
            why = said(StateReason.CONDITION)
            state.gate_job(job_id, Status.SKIPPED, def_hash, when_result=False, skip_reason=why)
            job.summary.status, job.summary.skip_reason = Status.SKIPPED, why
            return
        job.stored = state.job_outputs(job_id) if stored is not None else {}
        try:
            with self._locks.job(job_id):
                state.start_job(job_id, def_hash)
                ids = {"flow_id": self._flow.flow_id, "run_id": self._parts.run_id, "job_id": job_id}
                self._parts.events.emit("job_start", **ids)
                self._parts.workspace.remove_parts(job_id)
                self._steps(job)
        except LockBusyError as error:
            self._fail(job, error, step=None, path=("flow", "locks", "scope"), output=None)
            state.gate_job(job_id, Status.FAILED, def_hash, when_result=True, error=str(error))

    def _steps(self, job: JobRun) -> None:
        state, job_id = self._state, job.spec.id
        try:
            for index, step in enumerate(job.spec.steps):
                done = self._step(job, step, index)
                if done.status is Status.SKIPPED and step.on_no_data == "skip_job":
                    self._short_circuit(job, index + 1, done.reason)
                    return
        except StepFailedError as error:
            unknown = isinstance(error, StepUnknownError)
            self._fail(job, error.cause, step=error.step, path=error.path, output=error.output, unknown=unknown)
            if error.item and job.summary.error is not None:
                job.summary.error.message = self._parts.redactor.mask(f"{error.item}: {job.summary.error.message}")
            state.finish_job(job_id, Status(job.summary.status), error=self._parts.redactor.mask(str(error)))
            return
        except RunStoppedError:
            state.finish_job(job_id, Status.INTERRUPTED)
            raise
        state.finish_job(job_id, Status.SUCCESS)
        job.summary.status = Status.SUCCESS

    def _short_circuit(self, job: JobRun, first: int, given: Reason | None) -> None:
        own = said(StateReason.SKIP_JOB)
        rest_reason = own if given is None else said(StateReason.NO_DATA, text=given)
        reason = own if given is None else said(StateReason.STEP, text=given)
        state, job_id = self._state, job.spec.id
        rest = job.spec.steps[first:]
        keys = [StepKey(job_id, step.id) for step in rest]
        # a finished one stays what it is: it ran before the flow was changed, or before an earlier one was set aside
        new = [key for key in keys if (found := state.steps.latest.get(key)) is None or found.status not in DONE_STEP]
        if new:
            state.steps.skip(new, rest_reason, self._hashes)
        job.summary.steps += [StepSummary(step.id, step.type, Status.SKIPPED, 0, reason=rest_reason) for step in rest]
        state.finish_job(job_id, Status.SKIPPED, skip_reason=reason)
        job.summary.status, job.summary.skip_reason = Status.SKIPPED, reason

    def _fail(
        self,
        job: JobRun,
        error: BaseException,
        *,
        step: StepSpec | None,
        path: DocPath,
        output: OutputLog | None,
        unknown: bool = False,
    ) -> None:
        job.summary.status = Status.UNKNOWN if unknown else Status.FAILED
        job.summary.error = describe_failure(error, self._flow.document.source, path, self._parts.redactor)
        job.summary.error.step = step.id if step else None
        if output is not None and output.used:
            job.summary.error.log = str(output.path)
            job.summary.error.tail = list(output.tail)

    def _remember(self, job: JobSpec) -> None:
        """What is stored of a job that is left out, for the templates of the one that is not."""
        if (stored := self._state.jobs.get(job.id)) is not None:
            self.statuses[job.id] = stored.status
            self._parts.jobs[job.id] = {"status": str(stored.status), "outputs": self._state.job_outputs(job.id)}

    def _left_out(self) -> set[str]:
        return {name for name, plan in self._plans.items() if plan.verdict is Verdict.LEAVE} - self.statuses.keys()

    def _publish(self, summary: JobSummary, outputs: dict[str, Any]) -> None:
        summary.status = summary.status or Status.INTERRUPTED  # no end was recorded: the state itself failed
        self.statuses[summary.job_id] = Status(summary.status)
        # plain text, not the enum: `when` compares by type
        entry: dict[str, Any] = {"status": str(summary.status), "outputs": outputs}
        if summary.skip_reason is not None:
            entry["skip_reason"] = str(summary.skip_reason)
        if (error := summary.error) is not None:
            entry["error"] = {"step": error.step, "code": error.code, "message": error.message, "log": error.log}
        self._parts.jobs[summary.job_id] = entry
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

    def _step(self, job: JobRun, step: StepSpec, index: int) -> Done:
        """Run or reuse one step."""
        runner, path = self._runner, (*job.path, "steps", index)
        if (stored := runner.done_before(StepKey(job.spec.id, step.id))) is not None:
            job.steps[step.id] = stored.outputs
            job.outputs |= self._promoted_before(job, step, stored, path)
            self._reused(job, [step])
            return stored
        runner.check_stop()
        if step.for_each is not None:
            return self._each.run(job, step, path)
        work = runner.work(job, step, path)
        return self._questions.answer(work) or runner.run(work, self._following(job, index + 1))

    def _promoted_before(self, job: JobRun, step: StepSpec, done: Done, path: DocPath) -> dict[str, Any]:
        """What a reused step gave its job: as stored, else made again (the step that replaced it was discarded)."""
        found = {name: job.stored[name] for name in step.outputs if name in job.stored}
        if len(found) < len(step.outputs):
            with contextlib.suppress(ResolverError):  # a secret that was not stored, or a step that was decided
                made = self._runner.promoted(job, step, done.outputs, path) or {}
                found = {name: made[name] for name in step.outputs} | found
        return found

    def _following(self, job: JobRun, index: int) -> Any:
        """The step after, if nothing has to be looked at before it starts."""
        if index >= len(job.spec.steps) or (step := job.spec.steps[index]).for_each is not None:
            return None
        found = self._state.steps.latest.get(StepKey(job.spec.id, step.id))
        if found is not None and (found.status in DONE_STEP or found.effect == "once"):
            return None
        try:
            work = self._runner.work(job, step, (*job.path, "steps", index))
        except (AetherflowError, StepFailedError):
            return None  # it is told when its turn has come
        return work if work.effect != "once" else None

    def _reused(self, job: JobRun, steps: list[StepSpec]) -> None:
        job.summary.steps += [found for step in steps if (found := self._runner.reused(job, step)) is not None]
