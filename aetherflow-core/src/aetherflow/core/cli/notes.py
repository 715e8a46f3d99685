"""Notes about runs beside their status: the cause of a bad end, warnings, the lock that a run waits for."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from aetherflow.core.base import durable
from aetherflow.core.cli.causes import cause_of
from aetherflow.core.cli.how_far import how_far, progress_of
from aetherflow.core.cli.waiting import Waits, waiting_here, waits_json
from aetherflow.core.kernel.state.reasons import StateReason
from aetherflow.core.kernel.state.transitions import Status
from aetherflow.core.records.overview import Key
from aetherflow.core.records.reading import read
from aetherflow.core.records.trouble import trouble_of

if TYPE_CHECKING:
    from aetherflow.core.records.history import PastRun

WARNED_SHOWN = 2
_WARNED = f"""SELECT job_id, step_id FROM step_runs WHERE flow_id=? AND run_id=?
    AND reason_code IN ('{StateReason.WARNED}', '{StateReason.QUARANTINED}')
    GROUP BY job_id, step_id ORDER BY min(started_at)"""  # noqa: S608 codes are ours


class Note(NamedTuple):
    """The note of one run."""

    cause: str | None
    """Why it did not end well."""
    cause_code: str | None
    warned: tuple[str, ...]
    """`JOB.STEP` of what ended well and has warned."""
    waits: Waits | None

    def as_json(self) -> dict[str, Any]:
        """The keys of a run's JSON object."""
        told: dict[str, Any] = {"cause": self.cause, "cause_code": self.cause_code, "warned": list(self.warned)}
        return told | waits_json(self.waits)


Notes = dict[Key, Note]


def key_of(run: "PastRun") -> Key:
    """What tells a run from all others."""
    return run.state_path, run.flow_id, run.run_id


def notes_of(runs: Iterable["PastRun"], config: Path | None) -> Notes:
    """The notes of runs; StateError where a state file cannot be read."""
    by_file: dict[str, list[PastRun]] = {}
    for run in runs:
        by_file.setdefault(run.state_path, []).append(run)
    under_way = any(run.status == Status.RUNNING for found in by_file.values() for run in found)
    waiting = waiting_here(config) if under_way else {}
    notes: Notes = {}
    for path, found in by_file.items():
        bad = [run for run in found if run.status not in (Status.SUCCESS, Status.RUNNING)]
        troubles = trouble_of(Path(path), [(run.flow_id, run.run_id) for run in bad]) if bad else []
        causes = {(each.run.flow_id, each.run.run_id): cause_of(each) for each in troubles}
        warned = _warned(path, found)
        for run in found:
            key = (run.flow_id, run.run_id)
            cause, code = causes.get(key, (None, None))
            waits = waiting.get(key) if run.status == Status.RUNNING else None
            notes[path, *key] = Note(cause, code, warned[key], waits)
    return notes


def _warned(path: str, runs: "list[PastRun]") -> dict[tuple[str, str], tuple[str, ...]]:
    keys = [(run.flow_id, run.run_id) for run in runs]

    def select(db: durable.Database) -> dict[tuple[str, str], tuple[str, ...]]:
        return {key: tuple(dict.fromkeys(_outer(*row) for row in db.execute(_WARNED, key))) for key in keys}

    return read(Path(path), select)


def _outer(job: str, step: str) -> str:
    """`JOB.STEP` of a step, or of the one around it."""
    return f"{job}.{step.partition('.')[0]}"


def note_of(run: "PastRun", note: Note) -> str:
    """One line: how far a run has come that is under way, else why it is what it is."""
    if run.status == Status.RUNNING:
        far = progress_of(run)
        told = [f"pid {run.pid} on {run.host}", how_far(far) if far else "", str(note.waits or "")]
        return ", ".join(filter(None, told))
    part = f"only {', '.join(run.jobs)}" if run.jobs and not run.partial else ""
    told = [f"attempt {run.generation}" if run.generation > 1 else "", note.cause or run.reason or "", part]
    return ", ".join([*filter(None, told), *warnings_in(note.warned)])


def warnings_in(steps: Sequence[str]) -> list[str]:
    """What says in which steps there are warnings; empty without any."""
    if not steps:
        return []
    more = len(steps) - WARNED_SHOWN
    named = ", ".join(steps[:WARNED_SHOWN]) + (f" and {more} more" if more > 0 else "")
    return [f"warning{'s' * (len(steps) > 1)} in {named}"]
