"""The hooks."""

import itertools
import time

from acme_runlog.sender import Sender
from acme_runlog.settings import RunLogSettings
from acme_runlog.stream import Stream
from aetherflow.core.api import ConnectorError, HookBase, JobInfo, Outcome, RunInfo, StepInfo, hookimpl


class RunLog(HookBase[RunLogSettings]):
    """Writes an entry for each event of a run; what Redis does not take until the run ends is dropped and reported."""

    def __init__(self, settings: RunLogSettings) -> None:
        super().__init__(settings)
        self._sender = Sender(lambda: Stream(settings), most=10_000)
        self._numbers = itertools.count(1)

    @hookimpl
    def aetherflow_run_started(self, run: RunInfo) -> None:
        """Entry `run_started`."""
        self._put("run_started", run, flow_file=run.flow_file)

    @hookimpl
    def aetherflow_run_finished(self, run: RunInfo, outcome: Outcome) -> None:
        """Entry `run_finished`; then waits for Redis, not longer than `finish_seconds`."""
        self._put("run_finished", run, **_ended(outcome))
        dropped, why = self._sender.finish(self.settings.finish_seconds)
        if dropped:
            where = f"{self.settings.host}:{self.settings.port}"
            raise ConnectorError(f"{dropped} events of run {run.run_id} are not in the stream at {where}: {why}")

    @hookimpl
    def aetherflow_job_started(self, run: RunInfo, job: JobInfo) -> None:
        """Entry `job_started`."""
        self._put("job_started", run, job_id=job.job_id)

    @hookimpl
    def aetherflow_job_finished(self, run: RunInfo, job: JobInfo, outcome: Outcome) -> None:
        """Entry `job_finished`, also of a job that was skipped, blocked or reused."""
        self._put("job_finished", run, job_id=job.job_id, **_ended(outcome))

    @hookimpl
    def aetherflow_step_started(self, run: RunInfo, step: StepInfo) -> None:
        """Entry `step_started`."""
        self._put("step_started", run, **_step(step))

    @hookimpl
    def aetherflow_step_finished(self, run: RunInfo, step: StepInfo, outcome: Outcome) -> None:
        """Entry `step_finished`."""
        self._put("step_finished", run, **_step(step), **_ended(outcome))

    def _put(self, event: str, run: RunInfo, **facts: str | int | None) -> None:
        entry: dict[str, str | int] = {
            "event": event,
            "event_id": f"{run.run_id}/{run.attempt}/{next(self._numbers)}",
            "ts_ms": time.time_ns() // 1_000_000,
            "flow_id": run.flow_id,
            "run_id": run.run_id,
            "run_attempt": run.attempt,
        }
        self._sender.put(entry | {name: value for name, value in facts.items() if value is not None})


def _step(step: StepInfo) -> dict[str, str | int | None]:
    return {
        "job_id": step.job_id,
        "step_id": step.step_id,
        "step_type": step.step_type,
        "step_attempt": step.attempt,
        "item": step.item,
    }


def _ended(outcome: Outcome) -> dict[str, str | int | None]:
    return {
        "status": outcome.status,
        "duration_ms": outcome.duration_ms,
        "error": outcome.error,
        "reason": outcome.reason,
    }
