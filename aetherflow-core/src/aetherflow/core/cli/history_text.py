"""Past runs as text and as JSON."""

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aetherflow.core.base.redact import masked_by_name
from aetherflow.core.base.times import iso
from aetherflow.core.cli.causes import printable
from aetherflow.core.cli.how_far import how_far, progress_of
from aetherflow.core.cli.notes import Note, Notes, key_of, note_of
from aetherflow.core.cli.worked import worked_ms
from aetherflow.core.console.since import both
from aetherflow.core.console.table import table
from aetherflow.core.kernel.state.records import now_ms
from aetherflow.core.kernel.state.transitions import Status
from aetherflow.core.runtime.resuming import command_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from aetherflow.core.records.claim_history import PastClaim
    from aetherflow.core.records.history import JournalEntry, PastJob, PastRun, PastStep, RunDetails, StartedFlow


LEAST_NOTE = 24
"""Characters of a note that are shown on the narrowest terminal."""


def run_json(run: "PastRun", note: Note) -> dict[str, Any]:
    """A run as a JSON object; times are UTC epoch milliseconds."""
    return {
        "flow_id": run.flow_id,
        "run_id": run.run_id,
        "status": run.status,
        "reason": run.reason,
        "reason_code": run.reason_code,
        "error": run.error,
        **note.as_json(),
        "attempt": run.generation,
        "started_at": run.started_at,
        "finished_at": run.finished_at,
        "duration_ms": run.duration_ms,
        "worked_ms": worked_ms(run),
        "heartbeat_at": run.heartbeat_at,
        "progress": progress_of(run),
        "params": masked_by_name(json.loads(run.params)),
        "slot": run.slot,
        "part": list(run.jobs),
        "run_date": run.run_date,
        "data_date": run.data_date,
        "actor": run.actor,
        "host": run.host,
        "pid": run.pid,
        "trigger": run.trigger,
        "command": run.command,
        "parent": run.parent,
        "engine_version": run.engine_version,
        "flow_yaml": run.flow_path,
        "config": run.config,
        "manifest": run.manifest,
        "working_dir": run.working_dir,
        "owner": run.owner,
        "runbook_url": run.runbook,
        "state_path": run.state_path,
        "log_path": str(run.log_path),
    }


def runs_text(runs: "list[PastRun]", notes: Notes) -> str:
    """A table of runs, one line each; on a terminal no wider than that, as far as the names allow it."""
    header = ["flow", "run", "status", "started", "took"]
    rows = [[run.flow_id, run.run_id, run.status, both(run.started_at), took(worked_ms(run))] for run in runs]
    beside = sum(max(map(len, column)) + 2 for column in zip(header, *rows, strict=True))
    width = shutil.get_terminal_size((0, 0)).columns
    told = [printable(first_line(note_of(run, notes[key_of(run)]))) for run in runs]
    if width:
        told = [_cut(text, max(width - beside, LEAST_NOTE)) for text in told]
    return table([*header, "note"], [[*row, note] for row, note in zip(rows, told, strict=True)])


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"


def details_json(found: "RunDetails", note: Note, claims: list["PastClaim"], journal: bool) -> dict[str, Any]:
    """A run with its jobs, steps, artifacts, claims and what persons decided."""

    def rows(items: list[Any]) -> list[dict[str, Any]]:
        return [item._asdict() for item in items]

    jobs = rows(found.jobs)
    for job in jobs:
        job["when_result"] = None if job["when_result"] is None else bool(job["when_result"])
        job["steps"] = [step for step in rows(found.steps) if step["job_id"] == job["job_id"]]
    document = {
        **run_json(found.run, note),
        "jobs": jobs,
        "artifacts": rows(found.artifacts),
        "interventions": rows(found.interventions),
        "flows": rows(found.flows),
        "claims": rows(claims),
        "taken_over_from": sorted({claim.taken_from for claim in claims if claim.taken_from}),
        "circumstances": _circumstances(found.run),
    }
    return document | ({"journal": rows(found.journal)} if journal else {})


def _took(run: "PastRun") -> str:
    if run.generation == 1:
        return took(run.duration_ms)
    return f"{took(worked_ms(run))} in {run.generation} attempts, {took(run.duration_ms)} with the time between them"


def _progress(run: "PastRun") -> str:
    far = progress_of(run)
    return f"{how_far(far)}, {took(max(now_ms() - far['at'], 0))} ago" if far else ""


def _circumstances(run: "PastRun") -> dict[str, Any]:
    from aetherflow.core.records.history import circumstances

    return {name: value for name, value in circumstances(run).items() if name != "generation"}


def details_text(found: "RunDetails", note: Note, claims: list["PastClaim"], journal: bool) -> str:
    """What is known of a run, as text for a terminal."""
    run = found.run
    lines = [f"run {run.run_id} of flow {run.flow_id}: {run.status}" + (f" ({run.reason})" if run.reason else "")]
    params = masked_by_name(json.loads(run.params))
    facts = {
        "started": f"{both(run.started_at)} by {run.actor}, pid {run.pid} on {run.host}, trigger {run.trigger}",
        "ended": both(run.finished_at) + (f", took {_took(run)}" if run.finished_at else ""),
        "attempt": str(run.generation) if run.generation > 1 else "",
        "progress": _progress(run),
        "waits": str(note.waits or "").removeprefix("waits "),
        "command": command_of(run),
        "parent": run.parent or "",
        "part": ", ".join(run.jobs),
        "params": ", ".join(f"{name}={_plain(value)}" for name, value in params.items()),
        "dates": f"run {run.run_date}, data {run.data_date}" + (f", slot {run.slot}" if run.slot else ""),
        "error": run.error or "",
    }
    what = _circumstances(run)
    if (bundle := what.get("bundle")) is not None:
        facts["bundle"] = f"{bundle['id']} {bundle['content_fingerprint']} from {bundle['manifest']}"
        if (signed := bundle.get("signed")) is not None:
            by = [" ".join(filter(None, each.values())) for each in signed.get("signers", ())] or [signed["key"]]
            facts["bundle"] += f", signed as version {signed['version']} by {', '.join(by)}"
    if what.get("plugins"):
        facts["plugins"] = ", ".join(f"{name} ({source})" for name, source in what["plugins"].items())
    lines += [f"{name:<8} {value}" for name, value in facts.items() if value]
    lines += ["", *_step_table(found), *_errors(found)]
    if found.flows:
        lines += ["", *_flow_table(found)]
    if found.artifacts:
        lines += ["", "artifacts"]
        for artifact in found.artifacts:
            gone = f" (gone: {artifact.gone_by})" if artifact.gone_by else ""
            lines.append(f"  {artifact.path}  {artifact.size:,} bytes{gone}")
    if claims:
        lines += ["", "claims", *_claim_lines(claims)]
    if found.interventions:
        lines += ["", "interventions", *(f"  {_entry(entry)}" for entry in found.interventions)]
    if journal:
        lines += ["", "journal", *(f"  {_entry(entry)}" for entry in found.journal)]
    lines += ["", f"flow   {run.flow_path}", f"state  {run.state_path}", f"log    {run.log_path}"]
    return "\n".join(lines)


def _step_table(found: "RunDetails") -> list[str]:
    rows = []
    shown = names_in(found)
    for job in found.jobs:
        notes = [job.skip_reason, f"blocked by {job.blocked_by}" if job.blocked_by else None, job.error]
        rows.append([job.job_id, "", job.status, took(_worked(found, job)), first_line(", ".join(filter(None, notes)))])
        for step in (step for step in found.steps if step.job_id == job.job_id):
            asks = step.effect == "once" and step.status == Status.INTERRUPTED
            key = f"idempotency key {step.idem_key}" if asks else None  # the peer may know it
            notes = [f"attempt {step.attempt}" if step.attempt > 1 else None, key, step.reason, step.error]
            ended = step.finished_at - step.started_at if step.finished_at else None
            rows.append(["", shown(step), step.status, took(ended), first_line(", ".join(filter(None, notes)))])
    return [table(["job", "step", "status", "time", "note"], rows)] if rows else ["no job was reached"]


def names_in(found: "RunDetails") -> "Callable[[PastStep | StartedFlow], str]":
    """Gives the id of a step or of a part of one, with the name of the item, else its key."""
    labels = {(step.job_id, step.step_id, step.item_key): step.label for step in found.steps if step.label}

    def name(of: "PastStep | StartedFlow") -> str:
        item = labels.get((of.job_id, of.step_id.partition(".")[0], of.item_key.partition("#")[0]), of.item_key)
        return of.step_id + (f"[{item}]" if item else "")

    return name


def _worked(found: "RunDetails", job: "PastJob") -> int | None:
    """The time of a job; in a run of several attempts that in which its steps ran."""
    if job.finished_at is None:
        return None
    if found.run.generation == 1:
        return job.finished_at - job.started_at
    worked, until = 0, 0
    for step in found.steps:
        if step.job_id == job.job_id and step.finished_at is not None:
            worked += max(step.finished_at - max(step.started_at, until), 0)
            until = max(until, step.finished_at)
    return worked


def _errors(found: "RunDetails") -> list[str]:
    """The errors of which the table shows only a beginning."""
    lines: list[str] = []
    shown = names_in(found)
    for step in found.steps:
        if step.error and first_line(step.error) != step.error:
            name = f"{step.job_id}.{shown(step)}"
            lines += ["", f"error of {name}, attempt {step.attempt}", *(f"  {line}" for line in step.error.split("\n"))]
    told = {step.error for step in found.steps}
    for job in found.jobs:
        if job.error and job.error not in told and first_line(job.error) != job.error:
            lines += ["", f"error of {job.job_id}", *(f"  {line}" for line in job.error.split("\n"))]
    return lines


def _flow_table(found: "RunDetails") -> list[str]:
    shown = names_in(found)
    rows = [
        [f"{flow.job_id}.{shown(flow)}", flow.flow_id, flow.run_id, flow.status or "not recorded"]
        for flow in found.flows
    ]
    return [table(["started by", "flow", "run", "status"], rows)]


def _claim_lines(claims: list["PastClaim"]) -> list[str]:
    """By ledger and fate: there may be as many claims as files."""
    counts: dict[tuple[str, str, str], int] = {}
    for claim in claims:
        fate = f", taken over by run {claim.taken_by}" if claim.taken_by else ""
        fate += f", taken over from run {claim.taken_from}" if claim.taken_from else ""
        key = (claim.namespace, claim.state, fate)
        counts[key] = counts.get(key, 0) + 1
    return [f"  {ledger}  {count:,} {state}{fate}" for (ledger, state, fate), count in sorted(counts.items())]


def _entry(entry: "JournalEntry") -> str:
    told = {**entry.detail, "until": iso(entry.detail["until"])} if entry.detail.get("until") else entry.detail
    detail = " ".join(f"{name}={_plain(value)}" for name, value in told.items() if value is not None)
    return f"{iso(entry.at)}  {entry.event}  {detail}".rstrip()


def event_text(line: str) -> str:
    """A line of a run log as text; unchanged if it is no JSON object, such as the last line of a killed run."""
    try:
        fields = json.loads(line)
        head = f"{iso(fields.pop('ts_ms'))}  {fields.pop('event')}"
    except (ValueError, KeyError, TypeError, AttributeError):
        return line.rstrip("\n")
    jobs = fields.pop("jobs", None)
    del jobs  # the summary repeats what earlier lines say
    return " ".join([head, *(f"{name}={_plain(value)}" for name, value in fields.items())])


def took(milliseconds: int | None) -> str:
    """A duration as text; empty for None."""
    from aetherflow.core.cli.summary import seconds

    return "" if milliseconds is None else seconds(milliseconds)


def first_line(text: str) -> str:
    """The first line of a text, at most 120 characters."""
    line = text.split("\n", 1)[0]
    return line if len(line) <= 120 else line[:119] + "…"


def file_size(path: Path) -> int:
    """Size in bytes of a file, or of all files in a folder; 0 if it does not exist."""
    if path.is_dir():
        return sum(each.lstat().st_size for each in path.rglob("*") if not each.is_dir())
    return path.stat().st_size if path.exists() else 0


def _plain(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return json.dumps(text, ensure_ascii=False) if not text or any(c in text for c in ' "\n\t=') else text
