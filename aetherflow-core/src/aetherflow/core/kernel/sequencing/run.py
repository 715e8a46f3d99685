"""One run from its lock to its end: it is recorded in the state, its jobs run in order, its end is recorded."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from aetherflow.core.base.said import said
from aetherflow.core.contracts.running import RunPhases
from aetherflow.core.kernel.sequencing.definitions import StepDefinitions
from aetherflow.core.kernel.sequencing.plan import Plan, Verdict
from aetherflow.core.kernel.sequencing.results import JobSummary
from aetherflow.core.kernel.sequencing.scope_locks import ScopeLocks
from aetherflow.core.kernel.sequencing.sequence import NOT_WELL, Sequence
from aetherflow.core.kernel.sequencing.services import RunServices
from aetherflow.core.kernel.sequencing.steps import StepRunner
from aetherflow.core.kernel.sequencing.stopping import RunStoppedError
from aetherflow.core.kernel.state.reasons import StateReason
from aetherflow.core.kernel.state.records import Frozen, RunFacts
from aetherflow.core.kernel.state.transitions import Status
from aetherflow.core.kernel.yaml.flow import FlowSpec
from aetherflow.core.kernel.yaml.source_map import SourceMap


class FlowToRun(NamedTuple):
    """A flow, its definitions, and the plan with a verdict on each of its steps."""

    spec: FlowSpec
    source: SourceMap
    definitions: StepDefinitions
    plan: Plan


class KernelRun:
    """The run of a flow with given services."""

    def __init__(self, flow: FlowToRun, services: RunServices, lock_key: str | None = None) -> None:
        """`lock_key` names the lock of the whole run; None: that of the flow."""
        self._flow = flow
        self._services = services
        self._locks = ScopeLocks(flow.spec.flow.locks, services, lock_key)
        runner = StepRunner(services, self._locks, flow.definitions)
        self._sequence = Sequence(flow.spec, flow.source, runner, self._locks, flow.plan)

    @property
    def jobs(self) -> list[JobSummary]:
        """Summaries of the jobs that this process has handled so far."""
        return self._sequence.summaries

    def execute(
        self, facts: RunFacts, frozen: Frozen, circumstances: Mapping[str, Any], phases: RunPhases, *, wait: bool
    ) -> Status:
        """Run to the end; returns the recorded status, or INTERRUPTED if the run was stopped before it began.

        `wait`: wait for the lock of the flow without limit. Raises RunBusyError if another run keeps it, StateError.
        """
        services, flow = self._services, self._flow
        state = services.state
        try:
            with self._locks.run(wait=wait, check=services.check_stop):
                phases.entering()
                state.begin(facts, frozen, flow.definitions.in_use(), flow.plan.intervention, circumstances)
                with phases.running():
                    return self._jobs(phases)
        except RunStoppedError:  # while it waited for the lock: nothing was begun
            return Status.INTERRUPTED

    def _jobs(self, phases: RunPhases) -> Status:
        sequence = self._sequence
        try:
            sequence.run()
        except RunStoppedError:
            status = Status.INTERRUPTED
        else:
            ended = {Status(job.status) for job in sequence.summaries}
            status = next((bad for bad in (Status.UNKNOWN, Status.FAILED) if bad in ended), Status.SUCCESS)
            phases.jobs_ended(failed=bool(ended & NOT_WELL), whole=sequence.complete)
        whole = status is not Status.SUCCESS or sequence.complete
        left = [job.job_id for job in self._flow.plan.jobs if job.verdict is Verdict.LEAVE]
        partial = None if whole else said(StateReason.PARTIAL, jobs=", ".join(left))
        self._services.state.finish(status, reason=partial)
        return status
