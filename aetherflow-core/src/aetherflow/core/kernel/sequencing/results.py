"""The summary of a run: the object that `run_flow()` returns and `run --json` prints."""

from dataclasses import dataclass, field
from typing import Any

from aetherflow.core.base.said import Reason, code_of

SUMMARY_SCHEMA = 1


@dataclass(slots=True, eq=False)
class ArtifactSummary:
    """An artifact of a step; `removed` names the cleanup policy or the later step that removed it, None if none did."""

    path: str
    size: int
    sha256: str
    removed: str | None = None


@dataclass(slots=True, eq=False)
class StepSummary:
    """The result of a step; `reused` means that an earlier process of this run had finished it."""

    step_id: str
    step_type: str
    status: str
    duration_ms: int
    attempt: int = 1
    reused: bool = False
    reason: Reason | None = None
    artifacts: list[ArtifactSummary] = field(default_factory=list)
    items: int | None = None
    """Number of items of a `for_each`."""
    items_failed: int = 0


@dataclass(slots=True, eq=False)
class FailureSummary:
    """Why a job failed: code, message, location, fix, and the log with its last lines."""

    step: str | None
    code: str
    message: str
    location: str | None = None
    fix: str | None = None
    log: str | None = None
    tail: list[str] = field(default_factory=list)
    items: list[str] = field(default_factory=list)
    """Names of the failed items of a `for_each`."""


@dataclass(slots=True, eq=False)
class JobSummary:
    """The result of a job, with its steps and the error that ended it."""

    job_id: str
    status: str
    duration_ms: int
    skip_reason: Reason | None = None
    blocked_by: str | None = None
    error: FailureSummary | None = None
    steps: list[StepSummary] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class RunSummary:
    """The result of a run, which `run_flow()` returns and `run --json` prints."""

    flow_id: str
    run_id: str
    status: str
    flow_yaml: str
    work_root: str
    state_path: str
    log_path: str
    duration_ms: int = 0
    exit_code: int = 0
    nothing_to_do: bool = False
    finished_at: int | None = None
    """End of the run in UTC epoch milliseconds, if it had ended before this call."""
    note: str | None = None
    """Why nothing was run without an error: `--if-busy skip`."""
    part: tuple[str, ...] = ()
    """The jobs that the run was asked for so far (`--flow-job`); empty for all."""
    jobs: list[JobSummary] = field(default_factory=list)

    @property
    def status_counts(self) -> dict[str, int]:
        """Number of jobs by status."""
        counts: dict[str, int] = {}
        for job in self.jobs:
            counts[str(job.status)] = counts.get(str(job.status), 0) + 1
        return counts

    def as_json(self) -> dict[str, Any]:
        """The event `run_summary` as a JSON-safe map, with `schema`, `exit_code`, `error` and `artifacts` added."""
        artifacts = [
            {"job_id": job.job_id, "step_id": step.step_id, **_fields(artifact)}
            for job in self.jobs
            for step in job.steps
            for artifact in step.artifacts
        ]
        error = next((_fields(job.error) | {"job": job.job_id} for job in self.jobs if job.error), None)
        return {
            "schema": SUMMARY_SCHEMA,
            **_fields(self),
            "jobs": [_job_json(job) for job in self.jobs],
            "status_counts": self.status_counts,
            "error": error,
            "artifacts": artifacts,
        }


def _job_json(job: JobSummary) -> dict[str, Any]:
    steps = [
        {**_coded(step, "reason"), "artifacts": [_fields(artifact) for artifact in step.artifacts]}
        for step in job.steps
    ]
    return {**_coded(job, "skip_reason"), "error": _fields(job.error) if job.error else None, "steps": steps}


def _coded(item: Any, field: str) -> dict[str, Any]:
    """The fields of an item, with `reason_code` after the reason."""
    found: dict[str, Any] = {}
    for name, value in _fields(item).items():
        found[name] = value
        if name == field:
            found["reason_code"] = code_of(value)
    return found


def _fields(item: Any) -> dict[str, Any]:
    # not asdict: it copies every value, and a run may have ten thousands of steps
    return {name: getattr(item, name) for name in item.__slots__}
