"""What is recorded of one run, for a comparison with another one."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aetherflow.core.base import durable
from aetherflow.core.base.errors import OutputError, StateError
from aetherflow.core.kernel.state.blobs import load_outputs
from aetherflow.core.kernel.state.store import StateStore
from aetherflow.core.records.history import PastRun
from aetherflow.core.records.reading import read

_STEPS = """SELECT job_id, step_id, item_key, attempt, status, def_hash, outputs, blob, plugin, error, started_at,
    finished_at FROM step_runs WHERE flow_id=? AND run_id=? AND status<>'DISCARDED'
    ORDER BY started_at, job_id, step_id, item_key, attempt"""
_JOURNAL = """SELECT event, detail FROM journal WHERE flow_id=? AND run_id=? AND event IN ('run_start', 'files_read')
    ORDER BY seq"""
_DEFINITIONS = """SELECT hash, text FROM definitions WHERE hash IN (SELECT def_hash FROM step_runs WHERE flow_id=? AND
    run_id=?)"""
BAD = ("FAILED", "INTERRUPTED", "UNKNOWN", "RUNNING")


@dataclass(slots=True)
class RecordedStep:
    """The latest attempt of a step; of a step with items, of all of them together."""

    name: str
    """Job and step, as `JOB.STEP`."""
    status: str
    attempts: int
    plugin: str
    error: str | None
    duration_ms: int
    definition: dict[str, Any]
    """As it was hashed; empty if it is not recorded."""
    outputs: dict[str, Any]
    items: int = 0
    files: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Path to size, sha256, lines and head of a file that it was given to read."""
    programs: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Word of its command to path, size and sha256 of the program or script."""


@dataclass(slots=True)
class Recorded:
    """A run as it is compared."""

    run: PastRun
    circumstances: dict[str, Any]
    steps: dict[str, RecordedStep]
    """By name, in the order in which they were begun."""

    @property
    def failed(self) -> RecordedStep | None:
        """The first step that did not end well."""
        return next((step for step in self.steps.values() if step.status in BAD), None)


def recorded(run: PastRun) -> Recorded:
    """What the state of a run says of it. StateError."""
    path, key = Path(run.state_path), (run.flow_id, run.run_id)

    def select(db: durable.Database) -> Recorded:
        blobs = StateStore(path, connection=db).blobs(*key)
        texts = {name: _parsed(text) for name, text in db.execute(_DEFINITIONS, key)}
        found = Recorded(run, {}, {})
        for job, step, item, attempt, status, def_hash, outputs, blob, plugin, error, began, ended in db.execute(
            _STEPS, key
        ).fetchall():
            name = f"{job}.{step}"
            before = found.steps.get(name)
            try:
                values = load_outputs(outputs, blob, blobs) if not item else {}
            except (OSError, OutputError, StateError):
                values = {}
            duration = (ended or began) - began
            made = RecordedStep(name, status, attempt, plugin, error, duration, texts.get(def_hash, {}), values)
            if before is not None:
                made.attempts = max(before.attempts, attempt)
                made.items = before.items + bool(item)
                made.outputs = made.outputs or before.outputs
                if item and before.status in BAD:
                    made.status, made.error = before.status, before.error
            found.steps[name] = made
        for event, text in db.execute(_JOURNAL, key):
            detail = json.loads(text)
            if event == "run_start":
                found.circumstances = detail
            elif (step := found.steps.get(f"{detail['job']}.{detail['step']}")) is not None:
                step.files.update(detail["files"])
                step.programs.update(detail.get("programs", {}))
        return found

    return read(path, select)


def _parsed(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:  # a masked number left it invalid JSON
        return {"step": text}
    return found if isinstance(found, dict) else {"step": found}
