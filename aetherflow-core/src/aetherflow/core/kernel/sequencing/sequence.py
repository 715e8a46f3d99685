"""The order of a run: gates, jobs, steps. Stored results are reused; a failed job blocks the jobs that depend on it."""

import contextlib
import time
from typing import Any

from aetherflow.core.base.errors import AetherflowError, LockBusyError, ResolverError, WhenError
from aetherflow.core.base.location import DocPath
from aetherflow.core.base.said import Reason, said
from aetherflow.core.kernel.sequencing.attempts import Done, ms_since
from aetherflow.core.kernel.sequencing.execution import JobRun, StepFailedError, StepTrace, StepUnknownError, Work
from aetherflow.core.kernel.sequencing.failure import error_code_of
from aetherflow.core.kernel.sequencing.gates import blocked_by, skipped_by, when_holds
from aetherflow.core.kernel.sequencing.plan import Plan, Verdict
from aetherflow.core.kernel.sequencing.results import JobSummary
from aetherflow.core.kernel.sequencing.scope_locks import ScopeLocks
from aetherflow.core.kernel.sequencing.steps import StepRunner
from aetherflow.core.kernel.sequencing.stopping import RunStoppedError
from aetherflow.core.kernel.sequencing.summary import job_summary, template_entry
from aetherflow.core.kernel.sequencing.verification import Verification
from aetherflow.core.kernel.state.reasons import StateReason
from aetherflow.core.kernel.state.records import StepKey
from aetherflow.core.kernel.state.transitions import DONE_STEP, FINAL_JOB, Status
from aetherflow.core.kernel.yaml.flow import FlowSpec, JobSpec, StepSpec
from aetherflow.core.kernel.yaml.source_map import SourceMap

NOT_WELL = frozenset({Status.FAILED, Status.UNKNOWN})


class Sequence:
    """Runs the jobs of one flow in order."""

    def __init__(self, spec: FlowSpec, source: SourceMap, runner: StepRunner, locks: ScopeLocks, plan: Plan) -> None:
        """`source` gives the locations of the flow's parts, for messages."""
        self._spec = spec
        self._source = source
        self._runner = runner
        self._locks = locks
        self._services = runner.services
        self._state = runner.services.state
        self._plans = {job.job_id: job for job in plan.jobs}
        self._verification = Verification(runner)
        self._hashes = runner.definitions.hashes
        self.statuses: dict[str, Status] = {}
        self.summaries: list[JobSummary] = []
        """Summaries of the jobs that have ended, or were interrupted, in this process."""

    def run(self) -> None:
        """Run all jobs; raises RunStoppedError when the run is being stopped."""
        stopped_by: str | None = None
        for index, job in enumerate(self._spec.jobs):
            self._services.check_stop()
            if self._plans[job.id].verdict is Verdict.LEAVE:
                self._remember(job)
                continue
            began, ended = time.monotonic(), False
            run = JobRun(job, ("jobs", index))
            try:
                self._job(run, stopped_by)
                ended = True
            finally:
                self._publish(run, ms_since(began), ended=ended)
            if self._spec.flow.on_failure == "stop" and self.statuses[job.id] in NOT_WELL:
                stopped_by = stopped_by or job.id

    @property
    def complete(self) -> bool:
        """True if every job of the flow has ended: nothing was left out."""
        return len(self.summaries) == len(self._spec.jobs)

    # Jobs

    def _job(self, job: JobRun, stopped_by: str | None) -> None:
        state, job_id = self._state, job.spec.id
        stored = state.jobs.get(job_id)
        def_hash = self._hashes[StepKey(job_id, "")]
        if stored is not None and stored.status in FINAL_JOB:
            job.outputs = state.job_outputs(job_id)
            for step in job.spec.steps:
                self._runner.reused(job, step)
            return
        job.blocked_by = stopped_by or blocked_by(job.spec, self.statuses, self._left_out())
        if job.blocked_by is not None:
            state.gate_job(job_id, Status.BLOCKED, def_hash, blocked_by=job.blocked_by)
            return
        if (skipped := skipped_by(job.spec, self.statuses)) is not None:
            state.gate_job(job_id, Status.SKIPPED, def_hash, skip_reason=said(StateReason.DEPENDENCY, job=skipped))
            return
        try:
            # a job that has started is not gated again, though the jobs that its `when` reads may have run again since
            holds = (stored is not None and stored.when_result) or when_holds(
                job.spec, {**self._services.constants, "jobs": self._services.jobs}
            )
        except WhenError as error:
            job.failure = StepFailedError(error, None, (*job.path, "when"))
            told = self._services.redactor.mask(str(error))
            state.gate_job(job_id, Status.FAILED, def_hash, error=told, error_code=error.code)
            return
        if not holds:
            why = said(StateReason.CONDITION)
            state.gate_job(job_id, Status.SKIPPED, def_hash, when_result=False, skip_reason=why)
            return
        job.stored = state.job_outputs(job_id) if stored is not None else {}
        at: DocPath = ("flow", "locks", "scope")
        try:
            with self._locks.job(job_id):
                at = (*job.path, "lock")
                with self._locks.named(job.spec.lock, self._runner.values.lock_key(job)) as job.lock:
                    state.start_job(job_id, def_hash)
                    self._services.emit("job_start", job_id=job_id)
                    self._services.folders.remove_parts(job_id)
                    self._steps(job)
        except (LockBusyError, ResolverError) as error:
            job.failure = StepFailedError(error, None, at)
            told = self._services.redactor.mask(str(error))
            state.gate_job(job_id, Status.FAILED, def_hash, when_result=True, error=told, error_code=error.code)

    def _steps(self, job: JobRun) -> None:
        state, job_id = self._state, job.spec.id
        done: Done | None = None
        steps, index = job.spec.steps, 0
        try:
            while index < len(steps):
                done = self._step(job, steps[index], index, done)
                index += done.steps
                if done.status is Status.SKIPPED and steps[index - 1].on_no_data == "skip_job":
                    self._short_circuit(job, index, done.reason)
                    return
        except StepFailedError as error:
            job.failure = error
            status = Status.UNKNOWN if isinstance(error, StepUnknownError) else Status.FAILED
            told, code = self._services.redactor.mask(str(error)), error_code_of(error.cause)
            state.finish_job(job_id, status, error=told, error_code=code)
        except RunStoppedError:
            state.finish_job(job_id, Status.INTERRUPTED)
            raise
        else:
            state.finish_job(job_id, Status.SUCCESS)

    def _short_circuit(self, job: JobRun, first: int, given: Reason | None) -> None:
        own = said(StateReason.SKIP_JOB)
        rest_reason = own if given is None else said(StateReason.NO_DATA, text=given)
        reason = own if given is None else said(StateReason.STEP, text=given)
        state, job_id = self._state, job.spec.id
        rest = job.spec.steps[first:]
        keys = [StepKey(job_id, step.id) for step in rest]
        # finished steps keep their record: they ran before the flow changed, or before an earlier step was discarded
        new = [key for key in keys if (found := state.steps.latest.get(key)) is None or found.status not in DONE_STEP]
        if new:
            state.steps.skip(new, rest_reason, self._hashes)
        for step, key in zip(rest, keys, strict=True):
            if key in new:
                job.traces.append(StepTrace(step, state.steps.latest[key], duration_ms=0))
            else:
                self._runner.reused(job, step)
        state.finish_job(job_id, Status.SKIPPED, skip_reason=reason)

    def _remember(self, job: JobSpec) -> None:
        """Make the stored result of a job that is left out available to the templates of the job that runs."""
        if (stored := self._state.jobs.get(job.id)) is not None:
            self.statuses[job.id] = stored.status
            self._services.jobs[job.id] = template_entry(stored, self._state.job_outputs(job.id))

    def _left_out(self) -> set[str]:
        return {name for name, plan in self._plans.items() if plan.verdict is Verdict.LEAVE} - self.statuses.keys()

    def _publish(self, job: JobRun, duration_ms: int, *, ended: bool) -> None:
        job_id, services = job.spec.id, self._services
        # if the job has not ended, the run was stopped or the state failed: its record is of an earlier process
        record = self._state.jobs[job_id] if ended else None
        summary = job_summary(job, record, duration_ms, self._source, services.redactor)
        self.summaries.append(summary)
        self.statuses[job_id] = Status(summary.status)
        services.jobs[job_id] = template_entry(summary, job.outputs)
        services.emit(
            "job_end",
            job_id=job_id,
            status=summary.status,
            duration_ms=duration_ms,
            skip_reason=summary.skip_reason,
            blocked_by=summary.blocked_by,
            error=summary.error.message if summary.error else None,
        )

    # Steps

    def _step(self, job: JobRun, step: StepSpec, index: int, before: Done | None) -> Done:
        """Run or reuse one step; the end of the step `before` may have recorded its start."""
        runner, path = self._runner, (*job.path, "steps", index)
        if before is not None and before.next is not None:
            return runner.run(before.next, before.number, self._following)
        if (stored := runner.done_before(StepKey(job.spec.id, step.id))) is not None:
            job.steps[step.id] = stored.outputs
            job.outputs |= self._promoted_before(job, step, stored, path)
            runner.reused(job, step)
            return stored
        self._services.check_stop()
        if step.for_each is not None:
            from aetherflow.core.kernel.sequencing.each import ForEach  # many flows repeat nothing

            return ForEach(self._runner, self._verification).run(job, step, path)
        work = runner.work(job, step, path)
        return self._verification.answer(work) or runner.run(work, follow=self._following)

    def _promoted_before(self, job: JobRun, step: StepSpec, done: Done, path: DocPath) -> dict[str, Any]:
        """Job outputs of a reused step: as stored, else rendered again (a later step had replaced them)."""
        found = {name: job.stored[name] for name in step.outputs if name in job.stored}
        if len(found) < len(step.outputs):
            with contextlib.suppress(ResolverError):  # a secret that was not stored, or a step that was decided
                made = self._runner.values.promoted(job, step, done.outputs, path) or {}
                found = {name: made[name] for name in step.outputs} | found
        return found

    def _following(self, work: Work) -> Work | None:
        """The step after that of `work`, if it can start without further checks; else None."""
        job, index = work.job, int(work.path[-1]) + 1
        if index >= len(job.spec.steps) or (step := job.spec.steps[index]).for_each is not None:
            return None
        found = self._state.steps.latest.get(StepKey(job.spec.id, step.id))
        if found is not None and (found.status in DONE_STEP or found.effect == "once"):
            return None
        try:
            following = self._runner.work(job, step, (*job.path, "steps", index))
        except (AetherflowError, StepFailedError):
            return None  # reported when the step's turn comes
        return following if following.effect != "once" else None
