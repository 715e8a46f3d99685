"""Which schedules there are, and where their ledgers are: a small file each below the state root, written by whoever
starts their slots. `aetherflow status` finds the ledgers by it.
"""

import contextlib
import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from aetherflow.core.embedding import durable

if TYPE_CHECKING:
    from aetherflow.scheduler.schedule.schedule import Schedule

FOLDER = Path("scheduler", "schedules")


@dataclass(frozen=True, slots=True)
class KnownSchedule:
    """A document and its ledger, both absolute."""

    document: Path
    ledger: Path


def note_schedule(schedule: "Schedule") -> str | None:
    """Write down where the ledger of a schedule is; returns a warning where that failed, as no slot depends on it."""
    try:
        _note(schedule.state_root, KnownSchedule(schedule.path, schedule.state))
    except OSError as error:
        return f"where the ledger is cannot be noted: {error}; `aetherflow status` does not show its slots"
    return None


def _note(root: Path, known: KnownSchedule) -> None:
    digest = hashlib.sha256(os.fsencode(known.ledger)).hexdigest()[:16]
    path = durable.local_root(root) / FOLDER / f"{digest}.json"
    text = json.dumps({"document": str(known.document), "ledger": str(known.ledger)}).encode()
    with contextlib.suppress(FileNotFoundError):
        if path.read_bytes() == text:
            return
    durable.write_bytes(path, text)


def known_schedules(root: Path) -> list[KnownSchedule]:
    """All whose ledger is there. Files that cannot be read are left out."""
    found = []
    for path in sorted((durable.local_root(root) / FOLDER).glob("*.json")):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            told = json.loads(path.read_bytes())
            found.append(KnownSchedule(Path(told["document"]), Path(told["ledger"])))
    return [known for known in found if known.ledger.exists()]
