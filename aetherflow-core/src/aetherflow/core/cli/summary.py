"""The final table of a run, and the block that is printed after a failure."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from aetherflow.core.base.errors import AetherflowError, SpecError
from aetherflow.core.base.said import code_of
from aetherflow.core.console.table import table
from aetherflow.core.host.installing import install_all
from aetherflow.core.kernel.sequencing.results import SUMMARY_SCHEMA, ArtifactSummary, JobSummary, RunSummary
from aetherflow.core.kernel.state.reasons import StateReason

COUNTED = frozenset({StateReason.ITEMS_SKIPPED, StateReason.ITEMS_TOLD, StateReason.QUARANTINED})
"""Reasons of repeated steps that say of how many items they speak."""
KEPT_SHOWN = 20
"""Most files that the failure block names: a step may have written thousands, and the block may be sent by mail."""


def summary_text(summary: RunSummary) -> str:
    """Statuses, durations and artifact paths of a run."""
    lines = [f"run {summary.run_id} of flow {summary.flow_id}: {summary.status} in {seconds(summary.duration_ms)}", ""]
    rows = []
    for job in summary.jobs:
        rows.append([job.job_id, "", job.status, seconds(job.duration_ms), _job_note(job)])
        for step in job.steps:
            note = f"reused from attempt {step.attempt}" if step.reused else step.reason or ""
            if step.items is not None and (step.reused or code_of(step.reason) not in COUNTED):
                bad = f", {step.items_failed} failed" if step.items_failed else ""
                note = f"{step.items} item{'s' * (step.items != 1)}{bad}" + (f", {note}" if note else "")
            if not step.reused and step.attempt > 1:
                note = f"attempt {step.attempt}" + (f", {note}" if note else "")
            rows.append(["", step.step_id, step.status, seconds(step.duration_ms), note])
    lines.append(table(["job", "step", "status", "time", "note"], rows))
    if artifacts := _artifacts(summary):
        lines += ["", "artifacts"]
        lines += [f"  {_artifact(artifact)}" for artifact in artifacts]
    lines += ["", f"state  {summary.state_path}", f"log    {summary.log_path}"]
    return "\n".join(lines)


def failure_blocks(
    summary: RunSummary, commands: Sequence[str], *, in_file: bool = True, note: str | None = None
) -> str:
    """The failure block: what failed and where, the last lines of output, kept artifacts, and what to type next.

    `in_file`: whether the run has a flow file. `note` says what to know before it goes on.
    """
    from aetherflow.core.base.typed import typed_here

    lines: list[str] = []
    for job in summary.jobs:
        if job.error is None:
            continue
        name = f"{job.job_id}.{job.error.step}" if job.error.step else job.job_id
        where = f" at {job.error.location}" if in_file else ""
        lines += [f"{job.status} {name}{where}", f"  {job.error.code} {job.error.message}"]
        if job.error.fix:
            lines.append(f"  fix: {job.error.fix}")
        if job.error.tail:
            lines.append("  last lines of output:")
            lines += [f"    {line}" for line in job.error.tail]
        if job.error.log:
            lines.append(f"  output log: {job.error.log}")
    if summary.exit_code >= 128:
        lines.append(f"INTERRUPTED by signal {summary.exit_code - 128}; finished steps are kept")
    lines.append(f"run log: {summary.log_path}")
    kept = [artifact for artifact in _artifacts(summary) if artifact.removed is None]
    lines += [f"kept: {_artifact(artifact)}" for artifact in kept[:KEPT_SHOWN]]
    if len(kept) > KEPT_SHOWN:
        more = typed_here("runs", "show", summary.run_id)
        lines.append(f"kept: {len(kept) - KEPT_SHOWN:,} more files, see {more}")
    return "\n".join([*lines, *([note] if note else []), *following(commands)])


def following(commands: Sequence[str]) -> list[str]:
    """Lines with what to type next; two commands are alternatives, or those of a step that has to be decided."""
    asks = any(" --decide " in command for command in commands)
    words = ("next, if it was done:", "next, if it was not: ") if asks else ("next:", "or:  ")
    return [f"{word} {command}" for word, command in zip(words, commands, strict=False)]


def refusal(error: AetherflowError, flow_yaml: Path) -> dict[str, Any]:
    """The JSON document for a run that was refused before it began."""
    found = error.problems if isinstance(error, SpecError) else []
    return {
        "schema": SUMMARY_SCHEMA,
        "flow_yaml": str(flow_yaml),
        "status": None,
        "exit_code": error.exit_code,
        "error": {
            "code": error.code,
            "message": str(error),
            "fix": error.fix or None,
            "install": install_all(found),
            "problems": [problem.as_json() for problem in found],
        },
        "artifacts": [],
    }


def nothing_to_do(summary: RunSummary) -> str:
    """The message for a run that had already ended with SUCCESS."""
    from aetherflow.core.console.since import both  # most runs have something to do

    at = both(summary.finished_at)
    ended = f"nothing to do: run {summary.run_id} of flow {summary.flow_id} ended {summary.status} at {at}"
    if not summary.part:
        return ended
    from aetherflow.core.base.typed import typed_here  # few runs have a part

    rest = typed_here("runs", "show", summary.run_id)
    return f"{ended}, for {', '.join(summary.part)} only; how the other jobs are run: {rest}"


def seconds(milliseconds: int) -> str:
    """Milliseconds as text with a unit, such as `0.1 s`."""
    if milliseconds < 60_000:
        return f"{milliseconds / 1000:.1f} s"
    minutes, rest = divmod(milliseconds // 1000, 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02} h" if minutes >= 60 else f"{minutes}:{rest:02} min"


def _job_note(job: JobSummary) -> str:
    if job.blocked_by:
        return f"blocked by {job.blocked_by}"
    return job.skip_reason or ""


def _artifact(artifact: ArtifactSummary) -> str:
    note = f" (removed: {artifact.removed})" if artifact.removed else ""
    return f"{artifact.path}  {artifact.size:,} bytes{note}"


def _artifacts(summary: RunSummary) -> list[ArtifactSummary]:
    return [artifact for job in summary.jobs for step in job.steps for artifact in step.artifacts]
