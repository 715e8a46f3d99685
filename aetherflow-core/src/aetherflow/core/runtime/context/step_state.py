"""`ctx.state`: the view of the run's state that the documented plugin API offers."""

from typing import NoReturn

from aetherflow.core.base.errors import StepError
from aetherflow.core.base.typed import typed_anywhere
from aetherflow.core.kernel.locks.run_locks import RunLocks
from aetherflow.core.kernel.state.records import StepKey
from aetherflow.core.kernel.state.run_state import RunState


class StepState:
    """Implements `RunStateView`: reads the status of steps, and holds locks; the setters are refused."""

    def __init__(self, run_id: str, state: RunState, locks: RunLocks) -> None:
        self._run_id = run_id
        self._state = state
        self._locks = locks
        self._owners: dict[str, str] = {}

    def get_step_status(self, job: str, run: str, step: str) -> str | None:
        """Status of a step's latest attempt in this run; None if it has none."""
        if run != self._run_id:
            shown = typed_anywhere("runs", "show", run)
            fix = f"read what other runs have recorded from the ledger; what became of this one: {shown}"
            raise StepError(f"the state of run {run} is not open to a step of run {self._run_id}", fix=fix)
        record = self._state.steps.latest.get(StepKey(job, step))
        return None if record is None else str(record.status)

    def acquire_lock(self, key: str, owner: str, ttl_seconds: float = 600) -> bool:
        """Take a lock for the run; False if another run, or another owner in this run, has it."""
        if key in self._owners:
            return self._owners[key] == owner
        if not self._locks.acquire(key, ttl_seconds):
            return False
        self._owners[key] = owner
        return True

    def release_lock(self, key: str, owner: str) -> None:
        """Release a lock that the same owner took; for another owner nothing happens."""
        if self._owners.get(key) == owner:
            del self._owners[key]
            self._locks.release(key)

    def set_job_status(self, job: str, run: str, status: str) -> None:
        """Refused with StepError: only the engine records a status."""
        self._refuse(f"job {job} of run {run}", status)

    def set_step_status(self, job: str, run: str, step: str, status: str) -> None:
        """Refused with StepError: only the engine records a status."""
        self._refuse(f"step {job}.{step} of run {run}", status)

    def _refuse(self, what: str, status: str) -> NoReturn:
        message = f"a step cannot set the status of {what} to {status}: the engine records what happened"
        raise StepError(message, fix="return a StepResult, or raise an exception")
