"""Forgetting old slots: what goes, what stays, and that nothing is told of what nobody knows any more."""

import datetime as dt
from typing import TYPE_CHECKING

import pytest

from aetherflow.core.embedding import durable
from aetherflow.scheduler.audit.audit import audit
from aetherflow.scheduler.ledger.pruning import find_old, prune
from aetherflow.scheduler.time.clock import from_ms

if TYPE_CHECKING:
    from aetherflow.scheduler.ledger.store import Ledger
    from scheduler_bench import Bench

HOUR = 3_600_000
MINUTELY = {"id": "a", "cron": "* * * * *"}


@pytest.fixture
def known(bench: "Bench") -> "Bench":
    """Slots of half an hour of March: `a` every minute, `b` once, then never again."""
    bench.schedule_of(MINUTELY, {"id": "b", "cron": "2 12 2 3 *"})
    bench.minutes(30)
    return bench


def test_what_is_not_over_stays(known: "Bench") -> None:
    known.clock.pass_time(2 * 86400)
    with known.ledger() as ledger:
        with ledger.transaction("test"):
            for minute, status in enumerate(("WAITING", "RUNNING", "INTERRUPTED"), 3):
                slot = int(dt.datetime(2026, 3, 2, 12, minute, tzinfo=dt.UTC).timestamp()) * 1000
                ledger.db.execute("UPDATE slots SET status=? WHERE item='a' AND slot=?", (status, slot))
            # an old slot that was run anew after that time
            ledger.db.execute(
                "UPDATE slots SET finished_at=finished_at+2*86400000 WHERE item='a' AND slot=?", (slot + 60000,)
            )
        before = int(dt.datetime(2026, 3, 2, 12, 20, tzinfo=dt.UTC).timestamp()) * 1000
        assert [each.slots for each in find_old(ledger, before)] == [15]
        prune(ledger, before)
    assert sorted(known.slots("a"))[:5] == ["12:03", "12:04", "12:05", "12:06", "12:20"]


def test_a_time_beyond_what_is_there_forgets_nothing_to_come(known: "Bench") -> None:
    known.clock.wall += 26 * HOUR  # by mistake
    known.minutes(1)
    with known.ledger() as ledger:
        prune(ledger, known.clock.wall - 25 * HOUR)
    known.clock.wall -= 26 * HOUR
    started = len(known.launcher.started())
    known.minutes(5)
    assert len(known.launcher.started()) == started + 5
    with known.ledger() as ledger:
        found = audit(known.load(), ledger, None, from_ms(known.clock.wall), led=False)
    assert (found.gaps, found.counts) == ([], {"MISSED": 1, "SUCCESS": 6})


def instructions(ledger: "Ledger", item: str, failed: int) -> int:
    """How many thousand instructions SQLite takes to prune that many failed slots, each with a row in the outbox."""
    minute = from_ms(ledger.clock.now_ms()) - dt.timedelta(days=30)
    slots = [round((minute + dt.timedelta(minutes=number)).timestamp()) * 1000 for number in range(failed + 1)]
    with ledger.transaction("test"):
        ledger.db.executemany(
            "INSERT INTO slots (item, slot, status, run_id, trigger, host, claimed_at, finished_at)"
            " VALUES (?, ?, 'FAILED', '', '', '', ?, ?)",
            [(item, slot, slot, slot) for slot in slots],
        )
        ledger.db.executemany(
            "INSERT INTO outbox (id, item, slot, run_id, event, detail, at) VALUES (?, ?, ?, '', 'failed', '{}', ?)",
            [(f"{item}{slot}", item, slot, slot) for slot in slots],
        )
    counted = [0]

    def count() -> None:
        counted[0] += 1

    assert isinstance(ledger.db, durable.SqliteDatabase)
    ledger.db.set_progress_handler(count, 1000)
    found = prune(ledger, slots[-1] + 1)
    ledger.db.set_progress_handler(None, 0)
    assert {each.item: each.slots for each in found} == {item: failed}
    assert ledger.read("SELECT count(*) FROM outbox WHERE item=?", [item]) == [(1,)]
    return counted[0]


def test_it_takes_a_time_that_grows_with_the_slots_and_no_more(bench: "Bench") -> None:
    with bench.ledger() as ledger:
        few, many = instructions(ledger, "few", 500), instructions(ledger, "many", 4 * 500)
    assert many < 8 * few
