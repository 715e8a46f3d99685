"""The plan of a run, made before anything runs: a verdict (reuse, run, run again, ask, leave) with its reason per step.

Stored results are reused: those of jobs and steps that are SUCCESS or SKIPPED. Four things discard a stored result:
`--from-step`; an output that held a secret and was therefore not stored; an artifact that is missing; and, for a job
that its `when` skipped, a job in that condition that runs again. An output or artifact counts only if a step that is
still to run needs it.
"""

from collections.abc import Callable, Mapping

from aetherflow.core.base.errors import ChangedDefinitionError, UsageError
from aetherflow.core.base.said import Reason, code_of, said
from aetherflow.core.base.suggest import did_you_mean
from aetherflow.core.kernel.sequencing.answers import was_answered
from aetherflow.core.kernel.sequencing.changes import as_defined_today, change_text, equal_but_for_secrets
from aetherflow.core.kernel.sequencing.definitions import StepDefinitions, jobs_read_by
from aetherflow.core.kernel.sequencing.incomplete_results import IncompleteResults
from aetherflow.core.kernel.sequencing.plan import (
    Change,
    JobPlan,
    Plan,
    PlanReason,
    RunOptions,
    StepPlan,
    Verdict,
)
from aetherflow.core.kernel.state.reasons import StateReason
from aetherflow.core.kernel.state.records import StepKey
from aetherflow.core.kernel.state.run_state import RunState
from aetherflow.core.kernel.state.schema import DEF_VERSION
from aetherflow.core.kernel.state.transitions import DONE_STEP, FINAL_JOB, Status
from aetherflow.core.kernel.yaml.flow import FlowSpec, JobSpec


def make_plan(
    spec: FlowSpec, state: RunState, definitions: StepDefinitions, options: RunOptions, exists: Callable[[str], bool]
) -> Plan:
    """Make the plan of a new or resumed run; `state` is loaded, `exists` tells whether an artifact still exists.

    Raises UsageError for options that name no job or step or decide about a step that does not ask,
    AnswerRecordedError for another answer than the recorded one, and ChangedDefinitionError if the definition of a
    finished step or job has changed and the options neither accept the change nor discard the result.
    """
    return _Planner(spec, state, definitions, options, exists).plan()


def check_jobs(spec: FlowSpec, options: RunOptions) -> None:
    """Raise UsageError for options that name no job of the flow, or two that contradict each other."""
    jobs = [job.id for job in spec.jobs]
    again, only = (options.from_step or "").partition(".")[0], ", ".join(options.jobs)
    for option, wanted in {"--flow-job": options.jobs, "--from-step": [again] if again else []}.items():
        for job_id in set(wanted) - set(jobs):
            raise UsageError(f"{option}: no job {job_id!r} in this flow", fix=did_you_mean(job_id, jobs, what="jobs"))
    if again and only and again not in options.jobs:
        message = f"--from-step {options.from_step} discards results that --flow-job {only} would not make again"
        raise UsageError(message, fix=f"leave --flow-job out, or name a step of {only}")


class _Planner:
    def __init__(
        self,
        spec: FlowSpec,
        state: RunState,
        definitions: StepDefinitions,
        options: RunOptions,
        exists: Callable[[str], bool],
    ) -> None:
        self.spec = spec
        self.state = state
        self.definitions = definitions
        self.options = options
        self.exists = exists
        self.order = {StepKey(job.id, step.id): step for job in spec.jobs for step in job.steps}
        self.parts: dict[StepKey, list[StepKey]] = {}
        """Step to the keys of its items, its `verify` and its inner steps."""
        for key in state.steps.latest:
            if key.item or "." in key.step:
                self.parts.setdefault(StepKey(key.job, key.step.partition(".")[0]), []).append(key)
        self.intervention = options.nothing()
        self.discarded: dict[StepKey, Reason] = {}
        self.same: dict[str, str] = {}
        """Hash of a recorded definition to the current hash, where both are equivalent."""
        self.reopened: dict[str, tuple[Reason, bool]] = {}
        """Job to the reason why it runs again, and whether its `when` is evaluated again."""

    def plan(self) -> Plan:
        self._from(self.options.from_step)
        self._ask_when_again()
        self._needed_again()
        changes = self._changes()
        self._decide()
        jobs = [self._job(job) for job in self.spec.jobs]
        self.intervention.discard_steps = [
            found for key in self.discarded for found in (key, *self.parts.get(key, ())) if self._is_stored(found)
        ]
        self.intervention.discard_jobs = {job: ask for job, (_, ask) in self.reopened.items() if job in self.state.jobs}
        self.intervention.kept_outputs = {job: self._kept_outputs(job) for job in self.intervention.discard_jobs}
        self.intervention.why = "; ".join(sorted({why for why, _ in self.reopened.values()}))
        return Plan(jobs, changes, self.intervention)

    # What is set aside

    def _from(self, text: str | None) -> None:
        if text is None:
            return
        job_id, _, step_id = text.partition(".")
        job = next(job for job in self.spec.jobs if job.id == job_id)
        steps = [step.id for step in job.steps]
        if step_id and step_id not in steps:
            fix = did_you_mean(step_id, steps, what=f"steps of job {job_id}")
            raise UsageError(f"--from-step {text}: job {job_id!r} has no step {step_id!r}", fix=fix)
        asked, follows = said(PlanReason.ASKED_FROM, text=text), said(PlanReason.FOLLOWS_FROM, text=text)
        self.reopened[job_id] = (asked, not step_id)
        for name in steps[steps.index(step_id) if step_id else 0 :]:
            self.discarded[StepKey(job_id, name)] = asked
        for later in self.spec.jobs[self.spec.jobs.index(job) + 1 :]:
            if self._reads(later) & self.reopened.keys():
                self.reopened[later.id] = (follows, True)
                for step in later.steps:
                    self.discarded[StepKey(later.id, step.id)] = follows

    def _reads(self, job: JobSpec) -> set[str]:
        """Jobs on which a job depends: by `depends_on`, in its `when`, by its templates."""
        found = {*job.depends_on, *jobs_read_by(job)}
        for step in job.steps:
            found |= {other.job for other in self.definitions.uses[StepKey(job.id, step.id)]}
        return found - {job.id}

    def _ask_when_again(self) -> None:
        for job in self.spec.jobs:
            record = self.state.jobs.get(job.id)
            if record is None or record.status is not Status.SKIPPED:
                continue
            if code_of(record.skip_reason) == StateReason.DEPENDENCY:
                for other in job.depends_on:
                    if other in self.reopened:
                        self.reopened.setdefault(job.id, (said(PlanReason.DEPENDS_ON, job=other), True))
            for other in sorted(jobs_read_by(job)) if record.when_result is False else ():
                found = self.state.jobs.get(other)
                if other in self.reopened or (found is not None and found.status not in FINAL_JOB):
                    self.reopened.setdefault(job.id, (said(PlanReason.CONDITION_READS, job=other), True))

    def _needed_again(self) -> None:
        needs = IncompleteResults(self.state, self.definitions, self.exists)
        while True:
            found = {
                key: why
                for live in self.order
                if self._runs(live)
                for key, why in needs.lacking(live)
                if key in self.order and key not in self.discarded
            }
            if not found:
                return
            self._refuse_once(found)
            self.discarded |= found
            for key, why in found.items():
                self.reopened.setdefault(key.job, (why, False))

    def _refuse_once(self, found: Mapping[StepKey, Reason]) -> None:
        for key, why in found.items():
            parts = (key, *self.parts.get(key, ()))
            if any(self.state.steps.latest[part].effect == "once" for part in parts if part in self.state.steps.latest):
                message = f"{why}, and {key} must not be repeated unasked"
                raise UsageError(message, fix=f"bring it back, or have the step done again: --from-step {key}")

    def _kept_outputs(self, job_id: str) -> set[str]:
        """Outputs of a job that are promoted only by steps whose results stay."""
        kept, lost = set[str](), set[str]()
        for job in self.spec.jobs:
            for step in job.steps if job.id == job_id else ():
                (lost if StepKey(job_id, step.id) in self.discarded else kept).update(step.outputs)
        return kept - lost

    # Changes

    def _changes(self) -> list[Change]:
        changes = [change for key in tuple(self.definitions.hashes) if (change := self._change(key)) is not None]
        refused = [change for change in changes if change.finished]
        if refused and not self.options.accept_changes:
            raise ChangedDefinitionError([(str(change.key).rstrip("."), change.diff) for change in refused])
        for change in refused:
            wanted = self.definitions.hashes[change.key]
            keys = [change.key, *self._items(change.key)]
            self.intervention.accepted += [(key, wanted) for key in keys if not key.step or self._is_stored(key)]
        return changes

    def _change(self, key: StepKey) -> Change | None:
        recorded, finished, by_1_0 = self._recorded(key)
        today = self.definitions.hashes[key]
        if not recorded or recorded == today:
            return None
        stored = self.state.definition(recorded)
        old = as_defined_today(stored, self.same, by_1_0=by_1_0) if stored is not None else None
        new = self.definitions.texts[today]
        readings = (new, self.definitions.before.get(key, new)) if by_1_0 else (new,)
        if stored is not None and old is not None and any(equal_but_for_secrets(old, text) for text in readings):
            self.same[recorded] = today
            self.definitions.keep(key, recorded, stored)
            return None
        if key in self.discarded:
            return None
        return Change(key, finished, min((change_text(old, text) for text in readings), key=len))

    def _recorded(self, key: StepKey) -> tuple[str, bool, bool]:
        """Hash of the recorded definition (empty if none counts), whether it has a result, whether 1.0 made it."""
        if not key.step:
            job = self.state.jobs.get(key.job)
            counts = job is not None and job.status in FINAL_JOB and key.job not in self.reopened
            return (job.def_hash if job and counts else ""), True, False
        record = self.state.steps.latest.get(key)
        done = any(self.state.steps.latest[item].status in DONE_STEP for item in self._items(key))
        finished = done or (record is not None and record.status in DONE_STEP)
        if record is None:
            return "", finished, False
        return record.def_hash, finished, record.def_version < DEF_VERSION

    # Questions

    def _decide(self) -> None:
        for text, answer in self.options.decisions.items():
            job_id, _, step_id = text.partition(".")
            key = StepKey(job_id, step_id)
            asked = self._questions(key)
            if answer not in ("done", "again"):
                raise UsageError(f"--decide {text}={answer}: the answer is not known", fix="write done or again")
            if not asked and was_answered(self.state, text, answer):
                continue
            if not asked:
                open_ones = [str(known) for known in self.order if self._questions(known)]
                message = f"--decide {text}: this step does not ask"
                raise UsageError(message, fix=f"undecided steps: {', '.join(open_ones) or 'none'}")
            self.intervention.decided |= dict.fromkeys(asked, answer)

    def _questions(self, key: StepKey) -> list[StepKey]:
        """The interrupted `once` parts of a step that may have had their effect: itself, items, inner steps."""
        latest = self.state.steps.latest
        if key in self.discarded or self._job_is_final(key.job):
            return []
        found = [part for part in (key, *self.parts.get(key, ())) if part in latest]
        return [
            part
            for part in found
            if latest[part].effect == "once" and latest[part].status in (Status.INTERRUPTED, Status.RUNNING)
        ]

    def _items(self, key: StepKey) -> list[StepKey]:
        return [part for part in self.parts.get(key, ()) if part.step == key.step]

    # Verdicts

    def _job(self, job: JobSpec) -> JobPlan:
        record = self.state.jobs.get(job.id)
        if self.options.jobs and job.id not in self.options.jobs:
            asked = said(PlanReason.NOT_ASKED_FOR, jobs=", ".join(self.options.jobs))
            return JobPlan(job.id, Verdict.LEAVE, asked)
        if record is not None and record.status in FINAL_JOB and job.id not in self.reopened:
            ended = said(PlanReason.ENDED, why=record.skip_reason or f"ended {record.status}")
            return JobPlan(job.id, Verdict.REUSE, ended, [self._step(StepKey(job.id, step.id)) for step in job.steps])
        verdict, reason = Verdict.RUN, None
        if job.id in self.reopened:
            verdict, reason = Verdict.RUN_AGAIN, self.reopened[job.id][0]
        elif record is not None:
            verdict, reason = Verdict.RUN_AGAIN, said(PlanReason.WAS, status=record.status)
        steps = [self._step(StepKey(job.id, step.id)) for step in job.steps]
        if any(step.verdict is Verdict.ASK for step in steps):
            verdict, reason = Verdict.ASK, said(PlanReason.ASKS)
        return JobPlan(job.id, verdict, reason, steps)

    def _step(self, key: StepKey) -> StepPlan:
        record = self.state.steps.latest.get(key)
        spec = self.order[key]
        effect = spec.effect or (record.effect if record else "repeatable")
        asked = self._questions(key)
        answer = self.intervention.decided.get(asked[0]) if asked else None
        if key in self.discarded:
            return StepPlan(key, Verdict.RUN_AGAIN if record else Verdict.RUN, self.discarded[key], effect)
        if self._job_is_final(key.job) and (record is None or record.status not in DONE_STEP):
            return StepPlan(
                key, Verdict.LEAVE, said(PlanReason.JOB_ENDED, status=self.state.jobs[key.job].status), effect
            )
        if record is None:
            return StepPlan(key, Verdict.RUN, said(PlanReason.NOT_RUN), effect)
        if record.status in DONE_STEP or (answer == "done" and asked == [key]):
            reason = said(PlanReason.REUSED, status=record.status, attempt=record.attempt)
            reason = said(PlanReason.DECIDED_BY, actor=self.options.actor) if answer else reason
            return StepPlan(key, Verdict.REUSE, reason, effect)
        if asked and answer is None:
            how = f"`verify` ({spec.verify.type}) will tell" if spec.verify else f"--decide {key}=done|again"
            reason = said(PlanReason.MAYBE_DONE, attempt=record.attempt, how=how)
            return StepPlan(key, Verdict.RUN_AGAIN if spec.verify else Verdict.ASK, reason, effect)
        why = "its process ended" if record.status is Status.RUNNING else (record.error or "").partition("\n")[0]
        status = Status.INTERRUPTED if record.status is Status.RUNNING else record.status
        reason = said(PlanReason.FAILED, attempt=record.attempt, status=status, why=f": {why}" if why else "")
        return StepPlan(key, Verdict.RUN_AGAIN, said(PlanReason.DECIDED, answer=answer) if answer else reason, effect)

    def _job_is_final(self, job_id: str) -> bool:
        record = self.state.jobs.get(job_id)
        return record is not None and record.status in FINAL_JOB and job_id not in self.reopened

    def _runs(self, key: StepKey) -> bool:
        """True if the step is still to run, according to what is known before the run."""
        if self.options.jobs and key.job not in self.options.jobs:
            return False
        if key in self.discarded:
            return True
        record = self.state.steps.latest.get(key)
        return not self._job_is_final(key.job) and (record is None or record.status not in DONE_STEP)

    def _is_stored(self, key: StepKey) -> bool:
        record = self.state.steps.latest.get(key)
        return record is not None and record.status is not Status.DISCARDED
