"""The outboxes of schedulers: transitions of slots, and whose slot a run is."""

import json
import shlex
import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, NamedTuple

from aetherflow.core.base import durable
from aetherflow.core.base.times import iso
from aetherflow.core.kernel.state.records import now_ms
from aetherflow.core.records.outbox import RECOVERED, mark_taken
from aetherflow.core.records.reading import read_store

SCHEMA = 3
BUSY_SECONDS = 10.0
HOLD_MS = 15 * 60_000
"""A run whose slot is to be started again is not notified yet; but at last, if its scheduler does not come back."""
_OPEN = """SELECT id, item, slot, run_id, event, detail, at,
    (SELECT status FROM slots s WHERE s.item=o.item AND s.slot=o.slot)
    FROM outbox o WHERE done_at IS NULL ORDER BY seq"""
GOES_ON = frozenset({"drained", "left"})
"""Reason codes of slots that were interrupted with their scheduler: the next one goes on with them."""
_ACKNOWLEDGED = (
    "SELECT slot, until FROM acts WHERE item=? AND verb='ack' AND ended_at IS NULL AND (until IS NULL OR until>=?) "
    "UNION ALL SELECT slot, NULL FROM slots WHERE item=? AND status='SUCCESS'"
)
_LATER = """SELECT status FROM slots WHERE item=? AND slot>? AND status IN
    ('SUCCESS', 'FAILED', 'UNKNOWN', 'INTERRUPTED') ORDER BY slot DESC LIMIT 1"""
_SLOT = "SELECT item, slot, status, not_before, reason_code FROM slots WHERE run_id=? ORDER BY slot DESC LIMIT 1"


class LedgerSource(NamedTuple):
    """The scheduler document of a ledger, and the commands that are typed for it."""

    document: Path
    again: str
    """The command that starts a slot, with `{item}` and `{slot}`."""
    look: str = ""
    """The command that shows its items."""

    def command(self, item: str, slot: int) -> str:
        """The command that starts this slot; `slot` in UTC epoch milliseconds."""
        return self.again.format(item=shlex.quote(item), slot=iso(slot))


class SlotTransition(NamedTuple):
    """A row that nobody has taken yet; times are UTC epoch milliseconds."""

    id: str
    item: str
    slot: int
    run_id: str
    event: str
    detail: dict[str, Any]
    """code, message, log, failures, and started_at of its last start."""
    at: int
    status: str | None
    """Of the slot by now; None if it was pruned."""

    def next_of(self, source: LedgerSource) -> str | None:
        """What is typed next; None after a recovery."""
        if self.event == "late":  # it waits or runs: nothing is to be started
            return source.look
        return None if self.event == RECOVERED else source.command(self.item, self.slot)


class Slot(NamedTuple):
    """The slot that a run is for."""

    source: LedgerSource
    item: str
    slot: int
    status: str
    not_before: int | None
    reason_code: str | None
    later: str | None = None
    """How the newest of the later slots of its item has ended."""

    @property
    def command(self) -> str:
        """The command that starts it again."""
        return self.source.command(self.item, self.slot)

    @property
    def is_well_again(self) -> bool:
        """Whether its item is well when it has ended well: an older slot heals nothing while a later one is broken."""
        return self.later in (None, "SUCCESS")

    def goes_on(self, since: int) -> bool:
        """Whether its scheduler starts it again, of a run that ended at `since`."""
        under_way = self.status in ("WAITING", "RUNNING") or self.reason_code in GOES_ON
        return under_way and now_ms() < max(since, self.not_before or 0) + HOLD_MS


class Ledgers:
    """The ledgers that are known to a sender; one that cannot be read says nothing."""

    def __init__(self, sources: Mapping[Path, LedgerSource]) -> None:
        self._sources = sources

    def source(self, ledger: Path) -> LedgerSource:
        """The document of a ledger that is known here."""
        return self._sources[ledger]

    def open_rows(self) -> dict[Path, list[SlotTransition]]:
        """What nobody has taken yet, by ledger."""
        found = {}
        for ledger in self._sources:
            with suppress(sqlite3.Error, OSError):
                found[ledger] = read_store(ledger, _open_rows, "ledger")
        return found

    def has_open(self) -> bool:
        """Whether there is anything that nobody has taken yet."""
        return any(self.open_rows().values())

    def slot_of(self, run_id: str) -> Slot | None:
        """The slot of a run; None for a run that is not one of a scheduler."""
        for ledger, source in self._sources.items():
            with suppress(sqlite3.Error, OSError):
                if (found := read_store(ledger, lambda db: _slot(db, run_id), "ledger")) is not None:
                    return Slot(source, *found)
        return None

    def acknowledged(self, document: Path, item: str | None, slot: str | None) -> list[int | None]:
        """Until when a slot, at a time in ISO format, needs nobody: by what users said; None for good, or a success."""
        found = list[int | None]()
        for ledger in (each for each, source in self._sources.items() if source.document == document):
            with suppress(sqlite3.Error, OSError):
                acts = read_store(
                    ledger, lambda db: db.execute(_ACKNOWLEDGED, (item, now_ms(), item)).fetchall(), "ledger"
                )
                found += [until for at, until in acts if iso(at) == slot]
        return found

    def taken(self, ledger: Path, ids: Iterable[str]) -> None:
        """Note in a ledger that rows were taken. Raises sqlite3.Error, OSError."""
        with closing(durable.open_store(ledger, "ledger", busy_seconds=BUSY_SECONDS)) as db:
            mark_taken(db, ids)


def _slot(db: durable.Database, run_id: str) -> tuple[Any, ...] | None:
    row = db.execute(_SLOT, (run_id,)).fetchone()
    return (*row, (db.execute(_LATER, row[:2]).fetchone() or (None,))[0]) if row is not None else None


def _open_rows(db: durable.Database) -> list[SlotTransition]:
    if db.schema_version() != SCHEMA:
        return []  # its scheduler migrates it
    found = db.execute(_OPEN).fetchall()
    return [
        SlotTransition(row_id, item, slot, run_id, event, json.loads(detail), at, status)
        for row_id, item, slot, run_id, event, detail, at, status in found
    ]
