"""Which slots are expected, and up to where they are accounted for; and pauses. Writes happen inside a transaction."""

import json
from typing import Any
from zoneinfo import ZoneInfo

from aetherflow.core.api import StateError
from aetherflow.scheduler.ledger.records import Epoch, Pause, insert
from aetherflow.scheduler.ledger.store import Ledger
from aetherflow.scheduler.time.cron import Cron


class Epochs:
    """The definitions that items had over time, and the cursor of each: its slots up to there are accounted for."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.db = ledger.db

    def cursor(self, item: str) -> int | None:
        """The instant up to which, itself included, all slots of an item are accounted for; None: it was never seen."""
        rows = self.ledger.read("SELECT cursor FROM items WHERE item=?", (item,))
        return int(rows[0][0]) if rows else None

    def cursors(self) -> dict[str, int]:
        """The cursor of every item that was seen."""
        return {row[0]: row[1] for row in self.ledger.read("SELECT item, cursor FROM items ORDER BY item")}

    def set_cursor(self, item: str, instant: int) -> None:
        """Account for all slots up to an instant, or, when the clock went back, only up to an earlier one."""
        self.db.execute(
            "INSERT INTO items (item, cursor) VALUES (?, ?) ON CONFLICT (item) DO UPDATE SET cursor=excluded.cursor",
            (item, instant),
        )

    def files(self) -> dict[str, str | None]:
        """The document that each item was last read from; None for those of an older scheduler."""
        return dict(self.ledger.read("SELECT item, file FROM items ORDER BY item"))

    def set_file(self, item: str, file: str) -> None:
        """Write down the document that an item is read from."""
        self.db.execute("UPDATE items SET file=? WHERE item=?", (file, item))

    def all(self, item: str | None = None) -> list[Epoch]:
        """All epochs, or those of an item, in order."""
        where, values = ("WHERE item=?", (item,)) if item is not None else ("", ())
        query = f"SELECT item, definition, since, until FROM epochs {where} ORDER BY item, since, id"  # noqa: S608 ours
        return [
            Epoch(row[0], self._definition(row[0], row[1]), row[2], row[3]) for row in self.ledger.read(query, values)
        ]

    def _definition(self, item: str, text: str) -> dict[str, Any]:
        """Raises StateError for one that was edited by hand, or whose zone this system does not know."""
        try:
            found: dict[str, Any] = json.loads(text)
            Cron.parse(found["cron"])
            ZoneInfo(found["timezone"])
        except (ValueError, LookupError, TypeError) as error:
            raise StateError(
                f"ledger {self.ledger.path}: a definition of {item} cannot be read: {error}",
                fix="correct it in the table epochs with sqlite3, or bring the ledger back from a copy",
            ) from error
        return found

    def present(self) -> dict[str, Epoch]:
        """The epoch of each item that still lasts."""
        return {epoch.item: epoch for epoch in self.all() if epoch.until is None}

    def begin(self, item: str, definition: dict[str, Any], since: int) -> None:
        """Let a new epoch of an item begin, in the place of the one before."""
        self.end(item, since)
        text = json.dumps(definition, sort_keys=True)
        insert(self.db, "epochs", {"item": item, "definition": text, "since": since, "until": None})

    def precede(self, item: str, definition: dict[str, Any], since: int, until: int) -> None:
        """Enter an epoch from before all others."""
        text = json.dumps(definition, sort_keys=True)
        insert(self.db, "epochs", {"item": item, "definition": text, "since": since, "until": until})

    def move(self, item: str, since: int, now: int) -> None:
        """Let the present epoch begin at another time, and earlier ones end by now: a clock was ahead."""
        self.db.execute("UPDATE epochs SET until=max(since, ?) WHERE item=? AND until>?", (now, item, now))
        self.db.execute("UPDATE epochs SET since=? WHERE item=? AND until IS NULL", (since, item))

    def end_by(self, now: int) -> int:
        """Let what was ended by a clock that was ahead end by now; returns how many epochs that were.

        Those that begin later are left alone: it is the present clock that is wrong, or they expect nothing.
        """
        return self.db.execute("UPDATE epochs SET until=? WHERE until>? AND since<=?", (now, now, now)).rowcount

    def end(self, item: str, until: int) -> None:
        """Let the present epoch of an item end: no slots are expected from then on."""
        # also those that a clock which was ahead let end later
        where = "item=? AND (until IS NULL OR until>?)"
        self.db.execute(f"UPDATE epochs SET until=max(since, ?) WHERE {where}", (until, item, until))  # noqa: S608 ours


class Pauses:
    """Spans during which nothing of an item starts."""

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
        """The pause that covers an instant."""
        return next((pause for pause in self.of(item, instant, instant) if pause.covers(instant)), None)

    def begin(self, item: str, since: int, until: int | None, reason: str, actor: str) -> None:
        """Pause an item; what was paused already is paused anew."""
        self.end(item, since)
        values = {"item": item, "since": since, "until": until, "reason": reason, "actor": actor}
        insert(self.db, "pauses", values)

    def end(self, item: str, now: int) -> int:
        """End the pauses of an item that last; returns how many there were."""
        done = self.db.execute(
            "UPDATE pauses SET until=max(since, ?) WHERE item=? AND (until IS NULL OR until>?)", (now, item, now)
        )
        return done.rowcount
