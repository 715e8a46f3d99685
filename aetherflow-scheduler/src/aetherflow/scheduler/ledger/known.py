"""Which schedules there are, and where their ledgers are: `aetherflow status` finds them by it.

Commands that start slots note it in a small file each below the state root. A ledger in a server says it itself.
"""

import contextlib
import json
import os
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from aetherflow.core.embedding import LEDGERS, durable, engine_folder, schedule_note

if TYPE_CHECKING:
    from aetherflow.scheduler.schedule.schedule import Schedule

_PREFIX = "ledger_"
_NOTED = "SELECT value FROM meta WHERE name='document'"
_OF_NEWEST_ITEM = "SELECT file FROM items WHERE file IS NOT NULL ORDER BY cursor DESC LIMIT 1"


class KnownSchedule(NamedTuple):
    """A document and its ledger, both absolute."""

    document: Path
    ledger: Path


def note_schedule(schedule: "Schedule") -> str | None:
    """Write down where the ledger of a schedule is; returns a warning where that failed, as no slot depends on it."""
    if durable.in_server(schedule.state):
        return None
    try:
        _note(schedule.state_root, KnownSchedule(schedule.path, schedule.state))
    except OSError as error:
        return f"where the ledger is cannot be noted: {error}; `aetherflow status` does not show its slots"
    return None


def _note(root: Path, known: KnownSchedule) -> None:
    path = schedule_note(_folder(root), known.ledger)
    text = json.dumps({"document": str(known.document), "ledger": str(known.ledger)}).encode()
    with contextlib.suppress(FileNotFoundError):
        if path.read_bytes() == text:
            return
    durable.write_bytes(path, text)


def _folder(root: Path) -> Path:
    server = durable.server_at(root)
    return engine_folder(root) if server is None else server.folder


def known_schedules(root: Path, unread: dict[Path, Exception] | None = None) -> list[KnownSchedule]:
    """All whose ledger is there. Notes that cannot be read are left out, and added to `unread` with the reason."""
    found = []
    for path in sorted(schedule_note(_folder(root), root).parent.glob("*.json")):
        try:
            told = json.loads(path.read_bytes())
            found.append(KnownSchedule(Path(told["document"]), Path(told["ledger"])))
        except (OSError, ValueError, KeyError, TypeError) as error:
            if unread is not None:
                unread[path] = error
    found = [known for known in found if os.path.lexists(known.ledger)]
    if durable.server_at(root) is None:
        return found
    with contextlib.suppress(sqlite3.Error, OSError):
        for ledger in ledgers_under(root):
            if (document := document_of(ledger)) is not None:
                found.append(KnownSchedule(document, ledger))
    return found


def ledgers_under(root: Path) -> list[Path]:
    """The ledgers in a state root, or in a server. OSError."""
    if (server := durable.server_at(root)) is None:
        return sorted((engine_folder(root) / LEDGERS).glob("*.sqlite"))
    return [root / store.removeprefix(_PREFIX) for store in server.stores() if store.startswith(_PREFIX)]


def document_of(ledger: Path) -> Path | None:
    """What a ledger says of its document; None if it says nothing. sqlite3.Error, OSError."""
    if (server := durable.server_at(ledger)) is None:
        db: durable.Database = durable.connect_to_read(ledger, immutable=False)
    else:
        db = server.database("ledger", busy_seconds=5.0, reading=True)
    with contextlib.closing(db):
        tables = db.tables()
        queries = [query for table, query in (("meta", _NOTED), ("items", _OF_NEWEST_ITEM)) if table in tables]
        return next((Path(row[0]) for query in queries if (row := db.execute(query).fetchone())), None)
