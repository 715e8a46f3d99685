"""What a page of a run shows besides the document of `runs show --json`: outputs, logs, origins, what is next."""

import json
import os
import shlex
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aetherflow.core.base import durable
from aetherflow.core.base.errors import AetherflowError, UsageError
from aetherflow.core.base.typed import command_line
from aetherflow.core.cli.history_text import event_text, names_in, run_json
from aetherflow.core.cli.notes import key_of, notes_of
from aetherflow.core.cli.run_diff import diff_document, last_good
from aetherflow.core.console.pages import made_here
from aetherflow.core.kernel.state.transitions import Status
from aetherflow.core.records.reading import read

if TYPE_CHECKING:
    from aetherflow.core.records.history import PastRun, PastStep, RunDetails
    from aetherflow.core.runtime.resuming import Resumes

MOST_LOGS = 12
MOST_OUTPUTS = 200
MOST_OUTPUT_CHARACTERS = 4_000
TAIL_BYTES = 64 * 1024
_BAD = (Status.FAILED, Status.UNKNOWN, Status.INTERRUPTED)
_OUTPUTS = """SELECT job_id, step_id, item_key, attempt, substr(outputs, 1, ?), length(outputs), blob, secret_keys
    FROM step_runs WHERE flow_id=? AND run_id=? AND (outputs<>'{}' OR blob IS NOT NULL OR secret_keys IS NOT NULL)
    ORDER BY started_at, job_id, step_id, attempt LIMIT ?"""


def page_document(
    document: dict[str, Any], found: "RunDetails", commands: Sequence[str], resumes: "Resumes", names: Sequence[str]
) -> dict[str, Any]:
    """The document of `runs show --json --journal` with what its page needs besides.

    `commands` go on with the run, `names` are the words that name it to a command. Raises StateError.
    """
    run = found.run
    logs = command_line("runs", "logs", *names, config=resumes.config)
    return document | {
        **made_here(),
        "commands": list(commands),
        "show_command": command_line("runs", "show", *names, config=resumes.config),
        "log_command": logs,
        "failures": _failures(run),
        "outputs": _outputs(found),
        "logs": [_run_log(run, logs), *_step_logs(found, logs)],
        "explain_command": command_line("explain", run.flow_path, config=resumes.config),
        "diff_command": command_line("runs", "diff", *names, config=resumes.config),
        **_since_it_worked(run, resumes.config),
        **_values(run, resumes.config),
    }


def _failures(run: "PastRun") -> list[dict[str, Any]]:
    """The failures of the run's last process, as its summary has them; none if it wrote no summary."""
    for line in reversed(_end_of(run.log_path, 1024 * 1024)[0]):
        if '"run_summary"' not in line:
            continue
        try:
            jobs = json.loads(line).get("jobs") or []
        except ValueError:
            return []
        return [{"job": job["job_id"], **job["error"]} for job in jobs if job.get("error")]
    return []


def _outputs(found: "RunDetails") -> list[dict[str, Any]]:
    """What steps have returned, without what holds a secret, which is not stored."""
    key = (MOST_OUTPUT_CHARACTERS, found.run.flow_id, found.run.run_id, MOST_OUTPUTS + 1)
    rows = read(Path(found.run.state_path), lambda db: db.execute(_OUTPUTS, key).fetchall())
    labels = _labels(found)
    return [
        {
            "step": labels.get((job, step, item), f"{job}.{step}"),
            "attempt": attempt,
            "text": text,
            "length": length,
            "stored_apart": blob is not None,
            "secret": json.loads(secret or "[]"),
        }
        for job, step, item, attempt, text, length, blob, secret in rows
    ]


def _labels(found: "RunDetails") -> dict[tuple[str, str, str], str]:
    shown = names_in(found)
    return {(step.job_id, step.step_id, step.item_key): f"{step.job_id}.{shown(step)}" for step in found.steps}


def _run_log(run: "PastRun", command: str) -> dict[str, Any]:
    lines, size = _end_of(run.log_path, TAIL_BYTES)
    return _log("the run", run.log_path, map(event_text, lines), size, command)


def _step_logs(found: "RunDetails", command: str) -> Iterator[dict[str, Any]]:
    """What steps have printed: of those that did not end well first, then of the last ones."""
    shown = names_in(found)
    folder = found.run.log_path.with_name(found.run.run_id)
    written_to = {path.relative_to(folder).as_posix() for path in folder.glob("*/*.log")}  # most steps print nothing
    printing = (step for step in found.steps if f"{step.job_id}/{_log_name(step)}" in written_to)
    ordered = sorted(printing, key=lambda step: (step.status not in _BAD, -step.started_at))
    written = 0
    for step in ordered:
        if written == MOST_LOGS:
            return
        path = folder / step.job_id / _log_name(step)
        lines, size = _end_of(path, TAIL_BYTES)
        if size:
            written += 1
            name = f"{step.job_id}.{shown(step)}"
            more = f"{command} --step {shlex.quote(name)}"
            yield _log(f"{name}, attempt {step.attempt}", path, lines, size, more)


def _log_name(step: "PastStep") -> str:
    item = f"[{step.item_key}]" if step.item_key else ""
    return f"{step.step_id}{item}.{step.attempt}.log"


def _log(name: str, path: Path, lines: Iterable[str], size: int, command: str) -> dict[str, Any]:
    return {"name": name, "path": str(path), "lines": list(lines), "bytes": size, "command": command}


def _end_of(path: Path, most: int) -> tuple[list[str], int]:
    """The last whole lines of a file within `most` bytes, and its size; of one that cannot be read none."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - most))
            data = file.read(most)
    except OSError:
        return [], 0
    if size > most:  # of a line that was cut, a secret could be left in part
        data = data.partition(b"\n")[2]
    return data.decode("utf-8", "replace").splitlines(), size


def _since_it_worked(run: "PastRun", config: Path | None) -> dict[str, Any]:
    """The last SUCCESS of the flow before this run, and the document of `runs diff` with it; None without one."""
    from aetherflow.core.runtime.comparing.differences import differences
    from aetherflow.core.runtime.comparing.recorded import recorded

    try:
        last = last_good(run)
    except UsageError:
        return {"last_success": None, "diff": None}
    before, now = recorded(last), recorded(run)
    diff = diff_document(before, now, differences(before, now))
    return {"last_success": run_json(last, notes_of([last], config)[key_of(last)]), "diff": diff}


def _values(run: "PastRun", config: Path | None) -> dict[str, Any]:
    """Every value of the flow with its origin, as the flow is now; why there are none where it cannot be read."""
    from aetherflow.core.checks.explain import explain_flow
    from aetherflow.core.runtime.environment.snapshot import build_snapshot

    path = Path(run.flow_path)
    if run.manifest is not None or not path.is_file():
        why = "the flow came from a bundle" if run.manifest is not None else f"there is no file {path} any more"
        return {"values": [], "values_missing": why, "flow_changed_at": None}
    own = Path(run.config) if run.config and os.access(run.config, os.R_OK) else config
    try:
        explained = explain_flow(path, build_snapshot(path.parent, config=own))
    except (AetherflowError, OSError) as error:
        return {"values": [], "values_missing": str(error), "flow_changed_at": None}
    shown = [
        {"path": value.path, "value": value.shown, "at_start": value.at_start, **value.source.as_json()}
        | {"chain": [link.as_json() for link in value.chain]}
        for value in explained.all_values().values()
    ]
    changed = durable.real_file(path).stat().st_mtime_ns // 1_000_000
    return {"values": shown, "values_missing": None, "flow_changed_at": changed}
