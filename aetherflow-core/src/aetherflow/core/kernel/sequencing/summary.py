"""The summaries of jobs, made only here, from the records of the state.

Added to them is what the state does not hold: durations in this process, the end of the output, files of failed
attempts.
"""

from collections.abc import Mapping
from typing import Any

from aetherflow.core.base.errors import WhenError
from aetherflow.core.base.redact import Redactor
from aetherflow.core.kernel.sequencing.execution import JobRun, StepFailedError, StepTrace
from aetherflow.core.kernel.sequencing.failure import error_code_of, fix_of, message_of
from aetherflow.core.kernel.sequencing.results import ArtifactSummary, FailureSummary, JobSummary, StepSummary
from aetherflow.core.kernel.state.records import JobRecord, StoredArtifact
from aetherflow.core.kernel.state.transitions import Status
from aetherflow.core.kernel.yaml.source_map import SourceMap


def job_summary(
    job: JobRun, record: JobRecord | None, duration_ms: int, source: SourceMap, redactor: Redactor
) -> JobSummary:
    """The summary of a job; without a `record` that says how it ended, it was interrupted."""
    return JobSummary(
        job_id=job.spec.id,
        status=record.status if record is not None else Status.INTERRUPTED,
        duration_ms=duration_ms,
        skip_reason=record.skip_reason if record is not None else None,
        blocked_by=job.blocked_by,
        error=_failure(job.failure, source, redactor) if job.failure is not None else None,
        steps=list(map(_step, job.traces)),
    )


def template_entry(job: JobSummary | JobRecord, outputs: Mapping[str, Any]) -> dict[str, Any]:
    """The entry of an ended job in the template root `jobs`; without `error` if another process ended it."""
    # plain text, not the enum: `when` compares by type
    entry: dict[str, Any] = {"status": str(job.status), "outputs": outputs}
    if job.skip_reason is not None:
        entry["skip_reason"] = str(job.skip_reason)
    if isinstance(job, JobSummary) and (error := job.error) is not None:
        entry["error"] = {name: getattr(error, name) for name in ("step", "code", "message", "log", "items")}
    return entry


def _step(trace: StepTrace) -> StepSummary:
    record = trace.record
    stored = (record.finished_at or record.started_at) - record.started_at
    artifacts = [
        ArtifactSummary(
            found.path, found.size, found.sha256, found.removed if isinstance(found, StoredArtifact) else None
        )
        for found in trace.artifacts
    ]
    return StepSummary(
        step_id=trace.step.id,
        step_type=trace.step.type,
        status=trace.status,
        duration_ms=stored if trace.duration_ms is None else trace.duration_ms,
        attempt=record.attempt,
        reused=trace.reused,
        reason=record.reason,
        artifacts=artifacts,
        items=trace.items,
        items_failed=trace.items_failed,
    )


def _failure(error: StepFailedError, source: SourceMap, redactor: Redactor) -> FailureSummary:
    about = "when: " if isinstance(error.cause, WhenError) else ""
    message = redactor.mask(about + message_of(error.cause))
    found = FailureSummary(
        step=error.step.id if error.step is not None else None,
        code=error_code_of(error.cause),
        message=redactor.mask(error.told(message)),
        location=str(source.value(error.path)),
        fix=redactor.mask(fix_of(error.cause)) or None,
        items=list(map(redactor.mask, error.items)),
    )
    if error.output is not None and error.output.used:
        found.log, found.tail = str(error.output.path), list(error.output.tail)
    return found
