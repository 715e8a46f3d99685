"""What is recorded of a run as one document for a ticket: without outputs, data and values."""

import json
from pathlib import Path
from typing import Any

from aetherflow.core.base.redact import masked_by_name
from aetherflow.core.records.history import PastRun, run_details
from aetherflow.core.runtime.comparing.differences import differences
from aetherflow.core.runtime.comparing.recorded import recorded

_TAIL_BYTES, _LOG_LINES = 16 << 10, 2_000
_RUN = (
    "flow_id", "run_id", "generation", "status", "reason_code", "engine_version", "slot", "run_date", "data_date",
    "trigger", "started_at", "finished_at", "error", "parent", "part", "host",
)  # fmt: skip


def capsule_of(run: PastRun, before: PastRun | None) -> dict[str, Any]:
    """The document of a run; `before` is what it is compared with. StateError."""
    now, details = recorded(run), run_details(run, journal=True)
    steps = [
        {
            "step": step.name, "status": step.status, "attempts": step.attempts, "plugin": step.plugin,
            "error": step.error, "duration_ms": step.duration_ms, "items": step.items, "definition": step.definition,
            "files": step.files,
        }
        for step in now.steps.values()
    ]  # fmt: skip
    return {
        "run": {name: getattr(run, name) for name in _RUN} | {"params": masked_by_name(json.loads(run.params))},
        "circumstances": now.circumstances,
        "steps": steps,
        "journal": [{"at": each.at, "event": each.event} for each in details.journal] if details else [],
        "compared_with": before.run_id if before else None,
        "differences": [
            each._asdict() for each in (differences(recorded(before), now) if before else []) if each.kind != "output"
        ],
        "log": _last_lines(run.log_path),
        "printed": _printed(run.log_path.with_suffix("")),
    }


def _last_lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8", errors="replace").splitlines()[-_LOG_LINES:]
    except OSError:
        return []


def _printed(folder: Path) -> dict[str, str]:
    """The end of what the programs of each attempt printed; secrets are masked in it already."""
    found = {}
    for path in sorted(folder.rglob("*.log")):
        data = path.read_bytes()[-_TAIL_BYTES:]
        found[str(path.relative_to(folder))] = data.decode(errors="replace")
    return found
