"""Helpers shared by the unit and the system tests of test_scheduler_meeting.py."""

import contextlib
import datetime as dt
from collections.abc import Iterator
from typing import TYPE_CHECKING

from aetherflow.scheduler.ledger.records import SlotRow
from aetherflow.scheduler.ledger.slots import Slots
from aetherflow.scheduler.ledger.store import Ledger
from aetherflow.scheduler.schedule.policy import Status, Verdict
from aetherflow.scheduler.time.clock import Clock

if TYPE_CHECKING:
    from scheduler_bench import Bench


def midnight(days_ago: int = 0) -> dt.datetime:
    now = dt.datetime.now(dt.UTC)
    return now.replace(hour=0, minute=0, second=0, microsecond=0) - dt.timedelta(days=days_ago)


def ms(instant: dt.datetime) -> int:
    return int(instant.timestamp() * 1000)


@contextlib.contextmanager
def somebody(bench: "Bench", kind: str = "run-item") -> Iterator[Slots]:
    """Enter the ledger as a second owner; to other processes it looks like another process."""
    with contextlib.closing(Ledger(bench.folder / "ledger.sqlite", Clock())) as ledger:
        ledger.enter(kind)
        yield Slots(ledger)
        ledger.leave()


def enter_slot(slots: Slots, slot: int, *statuses: Status, trigger: str = "cron") -> SlotRow | None:
    """Enter a slot and take it through `statuses`; returns its row."""
    ledger = slots.ledger
    with ledger.transaction("test"):
        slots.claim("daily", [Verdict(slot, Status.WAITING)], trigger=trigger, owner=ledger.me)
        for status in statuses:
            row = slots.find("daily", slot)
            assert row is not None
            if status == Status.RUNNING:
                slots.begin(row, trigger, "log")
            else:
                slots.end(row, status, None, 0, {})
        return slots.find("daily", slot)
