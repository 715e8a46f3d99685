"""Says beforehand which slots will be late, through the outbox of the ledger."""

import json
from collections.abc import Callable
from typing import TYPE_CHECKING
from uuid import uuid4

from aetherflow.core.embedding import iso
from aetherflow.scheduler.forecast.estimates import LEAST_KNOWN
from aetherflow.scheduler.forecast.estimating import Estimates
from aetherflow.scheduler.forecast.forecast import LEAST_NIGHTS, Forecast, ForecastSlot, forecast
from aetherflow.scheduler.ledger.records import insert, note_fact
from aetherflow.scheduler.ledger.run_ids import run_id_of
from aetherflow.scheduler.runs.events import Events

if TYPE_CHECKING:
    from aetherflow.scheduler.ledger.store import Ledger
    from aetherflow.scheduler.schedule.schedule import Schedule

AHEAD_MS = 43_200_000
"""How far ahead is looked: half a day, so that an evening knows its night."""
INTERVAL_MS = 600_000
_ASKED = "forewarned_at"


def told_of(found: Forecast, each: ForecastSlot, shown: Callable[[int], str]) -> str:
    """For people: when a slot will end, after which deadline, and what it waits for. `shown` writes an instant."""
    deadline = shown(each.late_at) if each.late_at is not None else ""
    told = f"will end at about {shown(each.end.p50)}, after its deadline, {deadline}"
    first = found.path_to(found.slots.index(each))[0]
    other = found.slots[first]
    if other is each:
        return told
    return f"{told}; it waits for {other.night_slot.item.id}, which ends at about {shown(other.end.p50)}"


class Forewarning:
    """Looks from time to time whether a slot will miss its deadline; it is reported once."""

    def __init__(self, ledger: "Ledger") -> None:
        self._ledger = ledger
        self._schedule: Schedule | None = None
        self._estimates: Estimates | None = None

    def look(self, schedule: "Schedule", events: Events) -> None:
        """Write what is new into the outbox, and an event for each. Does nothing for ten minutes after a look.

        Only the next slot of an item is reported, and only if enough runs are known of it.
        """
        if not any(item.spec.enabled and (item.deadline or item.spec.late_after_seconds) for item in schedule.items):
            return
        now = self._ledger.clock.now_ms()
        asked = self._ledger.read("SELECT value FROM meta WHERE name=?", (_ASKED,))
        if asked and 0 <= now - int(asked[0][0]) < INTERVAL_MS:
            return
        if self._estimates is None or schedule is not self._schedule:
            self._schedule, self._estimates = schedule, Estimates(schedule, self._ledger)
        found = forecast(schedule, self._ledger, now + AHEAD_MS, self._estimates, most_nights=LEAST_NIGHTS)
        new = list[tuple[ForecastSlot, str]]()
        with self._ledger.transaction("forewarn"):
            note_fact(self._ledger.db, _ASKED, str(now))
            seen = set[str]()
            for each in found.slots:
                item = each.night_slot.item.id
                if item not in seen and each.is_late and each.runs >= LEAST_KNOWN and not self._is_known(each, now):
                    told = told_of(found, each, iso)
                    self._write(each, told, now)
                    new.append((each, told))
                seen.add(item)
        for each, told in new:
            item, slot = each.night_slot.item.id, iso(each.night_slot.slot)
            events.warning("late", f"{item} {slot}: {told}", item=item, slot=slot)

    def _is_known(self, each: ForecastSlot, now: int) -> bool:
        """Whether it was reported, or is late already."""
        if each.late_at is None or each.late_at <= now:
            return True
        query = "SELECT 1 FROM outbox WHERE item=? AND slot=? AND event='late'"
        return bool(self._ledger.read(query, (each.night_slot.item.id, each.night_slot.slot)))

    def _write(self, each: ForecastSlot, told: str, now: int) -> None:
        night_slot = each.night_slot
        item, slot, row = night_slot.item.id, night_slot.slot, night_slot.row
        last = self._ledger.read("SELECT detail FROM outbox WHERE item=? ORDER BY seq DESC LIMIT 1", (item,))
        failures = json.loads(last[0][0])["failures"] if last else 0
        detail = json.dumps({"code": "late", "message": told, "log": row.log if row else None, "failures": failures})
        run_id = row.run_id if row is not None else run_id_of(item, slot)
        values = {"id": uuid4().hex, "item": item, "slot": slot, "run_id": run_id, "event": "late"}
        insert(self._ledger.db, "outbox", {**values, "detail": detail, "at": now})
