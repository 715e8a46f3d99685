"""The transition from step to step: the end of an attempt and the start of the next one share a transaction."""

from typing import NamedTuple

from aetherflow.core.kernel.sequencing.execution import Work
from aetherflow.core.kernel.state.records import StepEnd, StepKey
from aetherflow.core.kernel.state.step_state import StepStates
from aetherflow.core.kernel.state.transitions import Status


class Started(NamedTuple):
    """An attempt whose start is recorded: it must be run, or given up."""

    work: Work
    number: int

    def give_up(self, state: StepStates, why: str) -> None:
        """Record that the attempt was not run."""
        state.fail(self.work.key, Status.INTERRUPTED, why)


class Handover(NamedTuple):
    """The successful end of an attempt and, if a step follows at once, the start of its first attempt.

    One transaction writes, for the end: the attempt's status, reason and outputs, the outputs of its job, its artifacts
    and ledger entries; for the start: the row of the next attempt, RUNNING. The files that these rows name are durable
    before: a file is synced when it is published (`base.durable`), a large output when it is stored (`state.blobs`).
    """

    key: StepKey
    end: StepEnd
    following: Work | None = None

    def write(self, state: StepStates) -> Started | None:
        """Write both; returns what was started. OutputError, with nothing written, for what cannot be stored."""
        if self.following is None:
            state.finish(self.key, self.end)
            return None
        return Started(self.following, state.finish(self.key, self.end, self.following.start()))
