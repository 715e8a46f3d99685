"""What a run came to: the object that `run_flow()` returns and `run --json` prints."""

from dataclasses import dataclass, field
from typing import Any

from aetherflow.core.base.said import Reason, code_of

SUMMARY_SCHEMA = 1


@dataclass(slots=True)
class ArtifactSummary:
    """A file that a step left behind; `removed` names the cleanup policy that deleted it."""

    path: str
    size: int
    sha256: str
    removed: str | None = None


@dataclass(slots=True)
class StepSummary:
    """One step; `reused` means that an earlier process of this run had finished it."""

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


@dataclass(slots=True)
class FailureSummary:
    """Why a job failed, and what a person needs to go on."""

    step: str | None
    code: str
    message: str
    location: str | None = None
    fix: str | None = None
    log: str | None = None
    tail: list[str] = field(default_factory=list)


@dataclass(slots=True)
class JobSummary:
    """What became of a job, with its steps and the error that ended it."""

    job_id: str
    status: str
    duration_ms: int
    skip_reason: Reason | None = None
    blocked_by: str | None = None
    error: FailureSummary | None = None
    steps: list[StepSummary] = field(default_factory=list)


@dataclass(slots=True)
class RunSummary:
    """What became of a run: what `run_flow()` returns and `run --json` prints."""

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
    """UTC epoch milliseconds of the end, for a run that had ended before."""
    note: str | None = None
    """Why nothing was run although nothing is wrong: `--if-busy skip`."""
    jobs: list[JobSummary] = field(default_factory=list)

    @property
    def status_counts(self) -> dict[str, int]:
        """How many jobs ended in each status."""
        counts: dict[str, int] = {}
        for job in self.jobs:
            counts[str(job.status)] = counts.get(str(job.status), 0) + 1
        return counts

    def as_json(self) -> dict[str, Any]:
        """One document: the contract's run_summary plus exit_code, error and artifacts."""
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
    """The fields, with the code of the reason beside it."""
    found: dict[str, Any] = {}
    for name, value in _fields(item).items():
        found[name] = value
        if name == field:
            found["reason_code"] = code_of(value)
    return found


def _fields(item: Any) -> dict[str, Any]:
    # not asdict: it copies every value, and a run may have ten thousands of steps
    return {name: getattr(item, name) for name in item.__slots__}
