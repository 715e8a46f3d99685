"""The hooks, and what the project file says to them."""

import itertools
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from pydantic import Field, model_validator

from acme_runlog.sender import Entry, Sender
from aetherflow.core.api import Flag, HookBase, JobInfo, Outcome, PluginSettings, RunInfo, StepInfo, hookimpl

if TYPE_CHECKING:
    from redis import Redis


class RunLogSettings(PluginSettings):
    """Where the stream is, and how long a run may wait for it."""

    host: str = Field(min_length=1, description="Name or address of the Redis server")
    port: int = Field(6379, ge=1, le=65535, description="Its port")
    db: int = Field(0, ge=0, description="Number of the database")
    username: str | None = Field(None, description="Account to log in with; `default` unless set")
    password_file: Path | None = Field(None, description="Absolute path of a file that holds the password")
    tls: Flag = Field(False, description="Encrypt the connection, and check the server's certificate")
    stream: str = Field("aetherflow:runs", min_length=1, description="Key of the stream")
    keep: int = Field(100_000, ge=1, description="About how many entries the stream keeps")
    connect_seconds: float = Field(0.5, gt=0, le=10, description="Longest time for a connection, and for an answer")
    finish_seconds: float = Field(2.0, ge=0, le=60, description="Longest time that the end of a run waits for entries")

    @model_validator(mode="after")
    def _is_absolute(self) -> Self:
        if self.password_file is not None and not self.password_file.is_absolute():
            raise ValueError("password_file must be an absolute path")
        return self


class RunLog(HookBase[RunLogSettings]):
    """Writes an entry for each event of a run; what Redis does not take until the run ends is dropped and told."""

    def __init__(self, settings: RunLogSettings) -> None:
        super().__init__(settings)
        self._sender = Sender(self._write, most=10_000)
        self._numbers = itertools.count(1)
        self._client: Redis | None = None

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
            raise RuntimeError(f"{dropped} events of run {run.run_id} are not in the stream at {where}: {why}")

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

    def _write(self, entry: Entry) -> None:
        """Append one entry. Raises OSError, RedisError."""
        if self._client is None:
            self._client = self._connect()
        self._client.xadd(self.settings.stream, dict[Any, Any](entry), maxlen=self.settings.keep, approximate=True)

    def _connect(self) -> "Redis":
        from redis import Redis
        from redis.backoff import NoBackoff
        from redis.retry import Retry

        given = self.settings
        password = None if given.password_file is None else given.password_file.read_text(encoding="utf-8").strip()
        return Redis(
            host=given.host,
            port=given.port,
            db=given.db,
            username=given.username,
            password=password,
            ssl=given.tls,
            socket_connect_timeout=given.connect_seconds,
            socket_timeout=given.connect_seconds,
            retry=Retry(NoBackoff(), 0),  # the sender tries again; two who do would double the time
        )


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
