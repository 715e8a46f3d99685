"""Notes in the ledger which heartbeats of workers and brokers are late, for those who look at it."""

import json
from collections.abc import Callable
from typing import TYPE_CHECKING

from aetherflow.scheduler.audit.late import WATCHED
from aetherflow.scheduler.launchers import LateHeartbeat, Launcher
from aetherflow.scheduler.ledger.records import note_fact
from aetherflow.scheduler.ledger.store import Ledger
from aetherflow.scheduler.runs.events import Events

if TYPE_CHECKING:
    from aetherflow.scheduler.schedule.schedule import Schedule


AGAIN_SECONDS = 60.0


class LauncherWatch:
    """Asks the launchers of a schedule; only a scheduler that leads does."""

    def __init__(self, ledger: Ledger, launchers: Callable[[str], Launcher], events: Events) -> None:
        self._ledger = ledger
        self._launchers = launchers
        self._events = events
        self._noted: str | None = None
        self._not_before: dict[str, float] = {}
        """Launcher to when it is asked again after a fault."""

    def look(self, schedule: "Schedule") -> None:
        """Ask the launchers, and note what has changed. A launcher that can't be used is the matter of its slots."""
        queues: dict[str, set[str | None]] = {}
        for item in schedule.items:
            if item.spec.enabled:
                named = queues.setdefault(item.spec.launcher, set())
                named |= {item.spec.queue, item.spec.fan_out_queue or item.spec.queue}
        found: list[LateHeartbeat] = []
        for name in sorted(queues):
            if self._ledger.clock.monotonic() < self._not_before.get(name, 0.0):
                continue
            try:
                found += self._launchers(name).late_heartbeats(schedule.spec.lease_seconds, queues[name])
            except (Exception, SystemExit):  # noqa: BLE001 - a plugin's fault is that of its slots alone
                self._not_before[name] = self._ledger.clock.monotonic() + AGAIN_SECONDS
        self._note(found)

    def _note(self, found: list[LateHeartbeat]) -> None:
        text = json.dumps(found)
        if self._noted is None:
            rows = self._ledger.read("SELECT value FROM meta WHERE name=?", (WATCHED,))
            self._noted = rows[0][0] if rows else "[]"
        if text == self._noted:
            return
        known = {each[0] + each[1] for each in json.loads(self._noted)}
        with self._ledger.transaction("note heartbeats"):
            note_fact(self._ledger.db, WATCHED, text)
        self._noted = text
        for each in found:
            if each.code + each.text not in known:
                self._events.warning(each.code, each.text)
