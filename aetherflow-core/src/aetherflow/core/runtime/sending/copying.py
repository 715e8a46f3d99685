"""Copies refused starts and the notification store of a state root, with its states."""

import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from aetherflow.core.base import durable
from aetherflow.core.base.errors import StateError
from aetherflow.core.kernel.state.sql import insert, insert_numbered, update
from aetherflow.core.records.reading import read_store
from aetherflow.core.records.registry_file import changing, read_registry
from aetherflow.core.records.registry_tables import ACTS, FORGOTTEN, OUTBOX, REFUSED
from aetherflow.core.runtime.notify.start import book_of
from aetherflow.core.runtime.sending.book import COPIED, Book

_OF_REFUSED = (REFUSED, ACTS, FORGOTTEN, OUTBOX)
_SENT = " ON CONFLICT (id) DO UPDATE SET sent_at=excluded.sent_at WHERE messages.sent_at IS NULL"
CopiedRows = dict[str, list[dict[str, Any]]]


def copy_told(source: Path, target: Path) -> Iterator[str]:
    """Copy from one state root to another; yields a line for what there was. It may be repeated. Raises StateError."""
    if any(durable.server_at(each) is None and not each.is_dir() for each in (source, target)):
        return
    try:
        numbers = _copy_refused(source, target)
        if numbers:
            yield f"{len(numbers)} refused starts"
        if number := _copy_book(source, target, numbers):
            yield f"{number} notifications"
    except (sqlite3.Error, OSError) as error:
        message = f"the notification store cannot be copied from {source} to {target}: {error}"
        raise StateError(message, fix="check both, then do the same again") from error


def _copy_refused(source: Path, target: Path) -> dict[int, int]:
    """Returns the numbers of refused starts, of before and of now."""
    try:
        found = read_registry(source, lambda db: _rows(db, *_OF_REFUSED))
    except FileNotFoundError:
        return {}
    numbers: dict[int, int] = {}
    if not any(found.values()):
        return numbers
    with changing(target, "copy refused starts") as db:
        there = _rows(db, *_OF_REFUSED)
        known = {_start(row): row["id"] for row in there["refused"]}
        for row in found["refused"]:
            before, values = row["id"], {name: value for name, value in row.items() if name != "id"}
            if (number := known.get(_start(row))) is None:
                number = insert_numbered(db, "refused", values)
            else:
                update(db, "refused", values, {"id": number})
            numbers[before] = number
        said = {(act["refused_id"], act["verb"], act["at"]) for act in there["acts"]}
        for act in found["acts"]:
            act = {name: act[name] for name in ACTS.names} | {"refused_id": numbers.get(act["refused_id"], 0)}
            if act["refused_id"] and (act["refused_id"], act["verb"], act["at"]) not in said:
                insert(db, "acts", act)
        for row in found["forgotten"]:
            if row not in there["forgotten"]:
                insert(db, "forgotten", row)
        for row in found["outbox"]:
            detail = json.loads(row["detail"])
            detail["id"] = numbers.get(detail["id"], detail["id"])
            insert(db, "outbox", row | {"detail": json.dumps(detail)}, once=True)
    return numbers


def _start(row: Mapping[str, Any]) -> tuple[object, ...]:
    """What tells one refused start from another one."""
    return row["flow_path"], row["run_id"], row["at"], row["host"], row["trigger"]


def _copy_book(source: Path, target: Path, numbers: Mapping[int, int]) -> int:
    try:
        found = read_store(book_of(source), lambda db: _rows(db, *COPIED), "notify")
    except FileNotFoundError:
        return 0
    for row in found["notifications"]:
        if row["refused"]:
            number, at = json.loads(row["refused"])
            row["refused"] = json.dumps([numbers.get(number, number), at])
    Book(target).close()  # which makes it
    store = durable.open_store(book_of(target), "notify", busy_seconds=10.0)
    with closing(store) as db, durable.transaction(db, "copy book"):
        for table in COPIED:
            known = _SENT if table.name == "messages" else " ON CONFLICT DO NOTHING"
            db.executemany(
                table.insertion + known, [tuple(row[name] for name in table.names) for row in found[table.name]]
            )
    return len(found["notifications"])


def _rows(db: durable.Database, *tables: durable.Table) -> CopiedRows:
    """The rows of tables, with their numbers."""
    found: CopiedRows = {}
    there = db.tables()
    for table in tables:
        names = [table.number, *table.names] if table.number else table.names
        query = f"SELECT {', '.join(names)} FROM {table.name} ORDER BY {table.number or ', '.join(names)}"  # noqa: S608
        rows = db.execute(query).fetchall() if table.name in there else []  # a registry of 1.0 has none of them
        found[table.name] = [dict(zip(names, row, strict=True)) for row in rows]
    return found
