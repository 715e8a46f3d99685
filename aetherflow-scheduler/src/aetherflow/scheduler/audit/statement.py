"""The statement about a day: all slots, runs and human acts, and the ends of the chains that prove them.

A statement is a JSON document that is signed as it stands. It names the sha256 of the one before, so that none can be
taken out, and none be put in its place. `meta.audit_statement` of the ledger has the number and the sha256 of the last.
"""

import datetime as dt
import hashlib
import json
import sqlite3
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aetherflow.core.api import StateError
from aetherflow.core.embedding import actor, chain_findings, evidence_of, iso, root_tail
from aetherflow.scheduler.audit.audit import audit
from aetherflow.scheduler.ledger.records import note_fact
from aetherflow.scheduler.ledger.slots import Slots
from aetherflow.scheduler.ledger.truth import truth_of
from aetherflow.scheduler.time.clock import to_ms

if TYPE_CHECKING:
    from aetherflow.scheduler.ledger.store import Ledger
    from aetherflow.scheduler.schedule.schedule import Schedule

NAMESPACE = "aetherflow-audit"
PRINCIPAL = "audit"
"""For whom a line of `allowed_signers` has to be."""
KIND = "aetherflow-audit"
SCHEMA = 1
LAST = "audit_statement"
_TABLES = """
slots item slot status reason reason_code run_id batch attempts failures trigger host claimed_at started_at finished_at
    exit_code late overdue pool params told_by flow_id state_path
attempts run_id attempt status reason reason_code trigger host pid started_at finished_at exit_code log
acts id item slot verb actor host reason until at
journal seq at event item slot actor detail
"""
TABLES = {table: columns for table, *columns in map(str.split, _TABLES.replace("\n    ", " ").strip().splitlines())}
"""Tables of the ledger to the columns that a statement has; others tell how far a slot is, not what became of it."""


def rows_of(ledger: "Ledger", table: str, where: str, *values: Any) -> list[dict[str, Any]]:
    """Rows of a table of `TABLES`, as a statement has them."""
    names = TABLES[table]
    query = f"SELECT {', '.join(names)} FROM {table} WHERE {where}"  # noqa: S608 names are ours
    return [dict(zip(names, row, strict=True)) for row in ledger.read(query, values)]


def starts_of(ledger: "Ledger", item: str, slot: int) -> list[dict[str, Any]]:
    """The starts of a slot, as a statement has them."""
    return rows_of(ledger, "attempts", "item=? AND slot=? ORDER BY attempt", item, slot)


def slots_between(ledger: "Ledger", start: int, end: int) -> list[dict[str, Any]]:
    """The slots in [start, end) with their starts."""
    rows = rows_of(ledger, "slots", "slot>=? AND slot<? ORDER BY slot, item", start, end)
    return [{**row, "starts": starts_of(ledger, row["item"], row["slot"])} for row in rows]


def last_statement(ledger: "Ledger") -> dict[str, Any]:
    """Number and sha256 of the last statement, and the entry of the journal up to which statements tell."""
    rows = ledger.read("SELECT value FROM meta WHERE name=?", (LAST,))
    return dict(json.loads(rows[0][0])) if rows else {"number": 0, "sha256": "", "journal": 0}


def statement_of(schedule: "Schedule", ledger: "Ledger", start: dt.datetime, end: dt.datetime) -> dict[str, Any]:
    """The statement about the slots in [start, end). Raises StateError if a state cannot be read."""
    before, first, last = last_statement(ledger), to_ms(start), to_ms(end)
    found = audit(schedule, ledger, start, end, led=False)
    slots = slots_between(ledger, first, last)
    entries = rows_of(ledger, "journal", "seq>? ORDER BY seq", before["journal"])
    places, root = _places(schedule, ledger, slots), schedule.state_root
    states, runs = [], []
    for path in sorted(places):
        evidence = evidence_of(Path(path), places[path])
        wrong = chain_findings(root, Path(path))
        states.append({"path": path, **evidence.tail._asdict(), "findings": wrong})
        runs += [{"state": path, **evidence.runs[key]} for key in sorted(evidence.runs)]
    return {
        "kind": KIND,
        "schema": SCHEMA,
        "number": before["number"] + 1,
        "previous": before["sha256"],
        "schedule": schedule.path.name,
        "from": iso(first),
        "to": iso(last),
        "signed_at": iso(ledger.clock.now_ms()),
        "signed_by": f"{actor()} on {ledger.host}",
        "scheduler_version": version("aetherflow-scheduler"),
        "expected": found.expected,
        "counts": found.counts,
        "gaps": [gap.as_json() for gap in found.gaps],
        "slots": slots,
        "runs": runs,
        "acts": rows_of(ledger, "acts", "slot>=? AND slot<? ORDER BY id", first, last),
        "journal_from": before["journal"],
        "journal": entries,
        "states": states,
        "registry": _registry(root),
    }


def _places(schedule: "Schedule", ledger: "Ledger", slots: list[dict[str, Any]]) -> dict[str, list[tuple[str, str]]]:
    """State to flow and run of these slots; where the ledger does not say, as in one of 1.0.0, as the registry does."""
    places: dict[str, list[tuple[str, str]]] = {}
    untold = []
    for row in slots:
        if row["state_path"] is not None and row["flow_id"] is not None:
            places.setdefault(row["state_path"], []).append((row["flow_id"], row["run_id"]))
        elif row["starts"] and (known := Slots(ledger).find(row["item"], row["slot"])) is not None:
            untold.append(known)
    for run_id, place in truth_of(schedule).places(untold).items():
        places.setdefault(place.state_path, []).append((place.flow_id, run_id))
    return places


def _registry(root: Path) -> dict[str, Any] | None:
    try:
        return root_tail(root)._asdict()
    except FileNotFoundError:
        return None
    except (sqlite3.Error, OSError) as error:
        raise StateError(f"the registry of {root} cannot be read: {error}", fix="look at the file") from error


def text_of(statement: dict[str, Any]) -> bytes:
    """What is signed: the document as it is written."""
    return (json.dumps(statement, ensure_ascii=False, indent=1) + "\n").encode()


def note_statement(ledger: "Ledger", statement: dict[str, Any], text: bytes) -> None:
    """Write down which statement was the last one."""
    digest = hashlib.sha256(text).hexdigest()
    up_to = max((entry["seq"] for entry in statement["journal"]), default=statement["journal_from"])
    value = json.dumps({"number": statement["number"], "sha256": digest, "journal": up_to})
    with ledger.transaction("statement"):
        note_fact(ledger.db, LAST, value)
        ledger.journal("signed", number=statement["number"], sha256=digest, day=statement["from"])
