"""Find finished steps whose input has changed since: going on with a run would use the result of the old one."""

import json
from pathlib import Path
from typing import Any, NamedTuple

from aetherflow.core.base import durable
from aetherflow.core.records.history import PastRun
from aetherflow.core.records.reading import read
from aetherflow.core.runtime.context.files_read import content_hash

_DONE = """SELECT job_id, step_id, item_key, attempt, effect, started_at FROM step_runs WHERE flow_id=? AND run_id=?
    AND status IN ('SUCCESS', 'SKIPPED') ORDER BY started_at, job_id, step_id, item_key"""
_EVENTS = """SELECT at, event, detail FROM journal WHERE flow_id=? AND run_id=?
    AND event IN ('files_read', 'run_start', 'run_end') ORDER BY seq DESC"""
_FAILED = "SELECT job_id FROM job_runs WHERE flow_id=? AND run_id=? AND status NOT IN ('SUCCESS', 'SKIPPED')"
_ARTIFACTS = "SELECT path, sha256 FROM artifacts WHERE flow_id=? AND run_id=?"


class ChangedInput(NamedTuple):
    """A file that a finished step of a run has read, and that has another content now."""

    step: str
    """The step that has read it, as `JOB.STEP`."""
    path: str
    repeats_once: bool
    """Whether doing the step again would also repeat a finished step of effect `once`."""

    def __str__(self) -> str:
        more = "; to do it again would repeat steps of effect `once`" if self.repeats_once else ""
        return f"input {self.path} of {self.step} has changed since{more}"


def changed_input(run: PastRun) -> ChangedInput | None:
    """The first changed input of a run that did not end well; those of the failed jobs come first. StateError.

    A file counts that was changed after the process that read it had ended: what a run itself does to its inputs is no
    change. It is looked at where this is asked, as what it is there now.
    """
    if run.status not in ("FAILED", "INTERRUPTED"):
        return None
    key = (run.flow_id, run.run_id)

    def select(db: durable.Database) -> tuple[list[Any], list[Any], set[str], dict[str, str]]:
        done, events = db.execute(_DONE, key).fetchall(), db.execute(_EVENTS, key).fetchall()
        failed = {job for (job,) in db.execute(_FAILED, key).fetchall()}
        return done, events, failed, dict(db.execute(_ARTIFACTS, key).fetchall())

    done, events, failed, made = read(Path(run.state_path), select)
    began = {(job, step, item, attempt): at for job, step, item, attempt, _, at in done}
    outer = {(job, step) for job, step, *_ in done}
    ended = run.finished_at or run.heartbeat_at or run.started_at
    found: list[tuple[bool, int, str, str]] = []
    for at, event, text in events:
        if event != "files_read":
            ended = at
            continue
        detail = json.loads(text)
        job, step, item = detail["job"], detail["step"], detail.get("item", "")
        since = began.get((job, step, item, detail["attempt"]))
        name = step.partition(".")[0]
        if since is None or (job, name) not in outer:
            continue
        for path, facts in detail["files"].items():
            if _has_changed(Path(path), facts, ended, made.get(path)):
                found.append((job not in failed, since, f"{job}.{name}", path))
    if not found:
        return None
    _, since, first, path = min(found)
    return ChangedInput(first, path, any(effect == "once" and at >= since for *_, effect, at in done))


def _has_changed(path: Path, facts: dict[str, Any], ended: int, made: str | None) -> bool:
    try:
        now = path.stat()
    except OSError:  # it may have been moved by the run
        return False
    if now.st_ctime_ns // 1_000_000 <= ended or facts.get("changed"):
        return False
    same_size = now.st_size == facts["size"]
    if same_size and "sha256" not in facts:
        return False
    digest = content_hash(path)
    return not (same_size and digest == facts["sha256"]) and (made is None or digest != made)
