"""Epochs, cursors and pauses of items in the ledger. Methods that write must be called inside a transaction."""

import json
from typing import Any
from zoneinfo import ZoneInfo

from aetherflow.core.api import StateError
from aetherflow.scheduler.ledger.records import Epoch, Pause, insert
from aetherflow.scheduler.ledger.store import Ledger
from aetherflow.scheduler.schedule.calendars import cron_of

_NOT_BEFORE = "CASE WHEN since > ? THEN since ELSE ? END"


class Epochs:
    """The definitions of items over time, and their cursors: all slots up to the cursor are in the ledger."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.db = ledger.db

    def cursor(self, item: str) -> int | None:
        """The instant up to and including which all slots of an item are recorded; None if it was never seen."""
        rows = self.ledger.read("SELECT cursor FROM items WHERE item=?", (item,))
        return int(rows[0][0]) if rows else None

    def cursors(self) -> dict[str, int]:
        """Item id to cursor, for every item that was seen."""
        return {row[0]: row[1] for row in self.ledger.read("SELECT item, cursor FROM items ORDER BY item")}

    def set_cursor(self, item: str, instant: int) -> None:
        """Set the cursor of an item; an earlier instant than before is allowed, for a clock that went back."""
        self.db.execute(
            "INSERT INTO items (item, cursor) VALUES (?, ?) ON CONFLICT (item) DO UPDATE SET cursor=excluded.cursor",
            (item, instant),
        )

    def files(self) -> dict[str, str | None]:
        """Item id to the document that it was last read from; None for items that an older scheduler entered."""
        return dict(self.ledger.read("SELECT item, file FROM items ORDER BY item"))

    def set_file(self, item: str, file: str) -> None:
        """Record the document that an item is read from."""
        self.db.execute("UPDATE items SET file=? WHERE item=?", (file, item))

    def all(self, item: str | None = None) -> list[Epoch]:
        """All epochs, or those of one item, ordered by item and time."""
        where, values = ("WHERE item=?", (item,)) if item is not None else ("", ())
        query = f"SELECT item, definition, since, until FROM epochs {where} ORDER BY item, since, id"  # noqa: S608 ours
        return [
            Epoch(row[0], self._definition(row[0], row[1]), row[2], row[3]) for row in self.ledger.read(query, values)
        ]

    def _definition(self, item: str, text: str) -> dict[str, Any]:
        """Parse a stored definition. Raises StateError if it is invalid, or its zone is unknown on this system."""
        try:
            found: dict[str, Any] = json.loads(text)
            cron_of(found)
            ZoneInfo(found["timezone"])
        except (ValueError, LookupError, TypeError) as error:
            raise StateError(
                f"ledger {self.ledger.path}: a definition of {item} cannot be read: {error}",
                fix="correct it in the table epochs with sqlite3, or bring the ledger back from a copy",
            ) from error
        return found

    def present(self) -> dict[str, Epoch]:
        """Item id to its current epoch, the one without an end."""
        return {epoch.item: epoch for epoch in self.all() if epoch.until is None}

    def begin(self, item: str, definition: dict[str, Any], since: int) -> None:
        """Start a new epoch of an item, and end the present one at `since`."""
        self.end(item, since)
        text = json.dumps(definition, sort_keys=True)
        insert(self.db, "epochs", {"item": item, "definition": text, "since": since, "until": None})

    def precede(self, item: str, definition: dict[str, Any], since: int, until: int) -> None:
        """Insert an epoch that ends at or before the begin of all others of the item."""
        text = json.dumps(definition, sort_keys=True)
        insert(self.db, "epochs", {"item": item, "definition": text, "since": since, "until": until})

    def move(self, item: str, since: int, now: int) -> None:
        """Correct epochs after a clock was ahead: the current one begins at `since`, the others end by `now`."""
        self.db.execute(f"UPDATE epochs SET until={_NOT_BEFORE} WHERE item=? AND until>?", (now, now, item, now))  # noqa: S608 ours
        self.db.execute("UPDATE epochs SET since=? WHERE item=? AND until IS NULL", (since, item))

    def end_by(self, now: int) -> int:
        """End epochs by `now` whose end a clock that was ahead put into the future; returns their number.

        Epochs that begin after `now` are not changed: either the present clock is wrong, or they expect nothing yet.
        """
        return self.db.execute("UPDATE epochs SET until=? WHERE until>? AND since<=?", (now, now, now)).rowcount

    def end(self, item: str, until: int) -> None:
        """End the current epoch of an item: no slots are expected from `until` on."""
        # includes epochs whose later end was set by a clock that was ahead
        where = "item=? AND (until IS NULL OR until>?)"
        self.db.execute(f"UPDATE epochs SET until={_NOT_BEFORE} WHERE {where}", (until, until, item, until))  # noqa: S608 ours


class Pauses:
    """The pauses of items: spans during which none of their slots start."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.db = ledger.db

    def of(self, item: str, start: int, end: int) -> list[Pause]:
        """The pauses of an item that touch [start, end]."""
        rows = self.ledger.read(
            "SELECT item, since, until, reason, actor FROM pauses "
            "WHERE item=? AND since<=? AND (until IS NULL OR until>?) ORDER BY since, id",
            (item, end, start),
        )
        return [Pause(*row) for row in rows]

    def at(self, item: str, instant: int) -> Pause | None:
        """The pause of an item that covers an instant, or None."""
        return next((pause for pause in self.of(item, instant, instant) if pause.covers(instant)), None)

    def begin(self, item: str, since: int, until: int | None, reason: str, actor: str) -> None:
        """Pause an item from `since` on; pauses that have not ended by then end there."""
        self.end(item, since)
        values = {"item": item, "since": since, "until": until, "reason": reason, "actor": actor}
        insert(self.db, "pauses", values)

    def end(self, item: str, now: int) -> int:
        """End the pauses of an item that have not ended by `now`; returns their number."""
        query = f"UPDATE pauses SET until={_NOT_BEFORE} WHERE item=? AND (until IS NULL OR until>?)"  # noqa: S608 ours
        return self.db.execute(query, (now, now, item, now)).rowcount
