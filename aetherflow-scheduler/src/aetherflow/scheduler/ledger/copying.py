"""Copying the ledgers of a state root with the states of their runs: each in one transaction, safe to repeat."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from aetherflow.core.api import RunBusyError, StateError
from aetherflow.core.embedding import durable
from aetherflow.scheduler.ledger.known import document_of, known_schedules, ledgers_under
from aetherflow.scheduler.ledger.records import insert
from aetherflow.scheduler.ledger.schema import COPIED
from aetherflow.scheduler.ledger.store import Ledger
from aetherflow.scheduler.schedule.schedule import ledger_place
from aetherflow.scheduler.time.clock import Clock

_COPIED, _DOCUMENT, _INDEX = "copied", "document", "slots_of_run"
"""Names in `meta` that are of one ledger: what the rows of a copy were then, whose it is, that it has an index."""
Places = Mapping[tuple[str, str], str]
"""Path of a state and flow id to the path of its copy."""


def copy_ledgers(source: Path, target: Path, places: Places) -> Iterator[str]:
    """Copy the ledgers of the schedules whose document names none; yields a line for each.

    Raises RunBusyError while a scheduler or one of its commands has entered one, StateError.
    """
    if durable.server_at(target) is None and target.suffix == ".sqlite":
        return
    noted = {known.ledger: known.document for known in known_schedules(source)}
    for path in ledgers_under(source):
        document = noted.get(path) or document_of(path)
        if document is None or ledger_place(source, document) != path:
            continue
        with closing(Ledger(path, Clock())) as one, closing(Ledger(ledger_place(target, document), Clock())) as two:
            number = _copy(one, two, places)
            two.note_document(document)
            yield f"the ledger of {document}: {number} slots" if number is not None else f"{two.path} was there already"


def _copy(source: Ledger, target: Ledger, places: Places) -> int | None:
    """Returns how many slots there are; None if the copy is what it is to be."""
    for ledger in (source, target):
        living = [str(owner) for name, owner in ledger.owners().items() if not ledger.is_gone(name)]
        if living:
            message = f"the ledger {ledger.path} is in use: {', '.join(living[:3])}"
            raise RunBusyError(message, fix="stop it, or wait for its end; then do the same again")
    rows, before = _rows_of(source), _rows_of(target)
    for slot in rows["slots"]:
        moved = places.get((slot["state_path"], slot["flow_id"]))
        slot["state_path"] = slot["state_path"] if moved is None else moved
    if before == rows:
        return None
    was = target.read("SELECT value FROM meta WHERE name=?", (_COPIED,))
    if any(before.values()) and was != [(_digest(before),)]:
        raise StateError(f"the ledger {target.path} has gone on", fix="copy from there, or to another place")
    with target.transaction("copy ledger"):
        for table in COPIED:
            target.db.execute(f"DELETE FROM {table.name}")  # noqa: S608 names are ours
            target.db.executemany(table.insertion, [tuple(row.values()) for row in rows[table.name]])
        insert(target.db, "meta", {"name": _COPIED, "value": _digest(rows)})
    if _rows_of(target) != rows:
        raise StateError(f"the ledger {source.path} is another one in {target.path}", fix="do the same again")
    return len(rows["slots"])


def _rows_of(ledger: Ledger) -> dict[str, list[dict[str, Any]]]:
    found = {}
    for table in COPIED:
        query = f"SELECT {', '.join(table.names)} FROM {table.name} ORDER BY {table.number or table.key}"  # noqa: S608
        found[table.name] = [dict(zip(table.names, row, strict=True)) for row in ledger.read(query)]
    found["meta"] = [row for row in found["meta"] if row["name"] not in (_COPIED, _DOCUMENT, _INDEX)]
    return found


def _digest(rows: dict[str, list[dict[str, Any]]]) -> str:
    return hashlib.sha256(json.dumps(rows, sort_keys=True).encode()).hexdigest()
