"""The file of the ledger: its versions, its tables on the page, who may write."""

import contextlib
import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from aetherflow.core.base import durable
from aetherflow.core.base.errors import StateError
from aetherflow.core.runtime.sending import ledgers
from aetherflow.scheduler.ledger import schema
from aetherflow.scheduler.ledger.leader import Leadership
from aetherflow.scheduler.ledger.slots import Slots
from aetherflow.scheduler.ledger.store import DeposedError, Ledger
from aetherflow.scheduler.reasons import SlotReason, said
from aetherflow.scheduler.runs.adoption import adopt
from aetherflow.scheduler.runs.start_decisions import StartDecisions
from aetherflow.scheduler.schedule.policy import Status, Verdict
from aetherflow.scheduler.time.clock import Clock, from_ms, to_ms

if TYPE_CHECKING:
    from scheduler_bench import Bench


def test_the_page_shows_the_tables(bench: "Bench", root: Path) -> None:
    page = (root / "docs/reference/scheduler-running.md").read_text()
    block = re.search(r"<!-- ledger tables -->\n```text\n(.*?)```", page, re.DOTALL)
    assert block is not None
    shown = re.sub(r"\s+", " ", block[1]).strip()
    with bench.ledger() as ledger:
        tables = [
            row[0] for row in ledger.db.execute("SELECT name FROM sqlite_master WHERE type='table' ORDER BY rowid")
        ]
        lines = []
        for table in tables:
            columns = [row[1] for row in ledger.db.execute(f"PRAGMA table_info({table})")]
            lines.append(f"{table}({', '.join(columns)})")
    assert shown == " ".join(lines)


def test_the_slot_of_a_run_is_found_by_an_index(bench: "Bench") -> None:
    """Also in a ledger of before there was one, once it is opened for writing; its schema keeps its number."""
    path = bench.folder / "ledger.sqlite"

    def plan() -> str:
        with closing(sqlite3.connect(path)) as db:
            return " ".join(str(row[3]) for row in db.execute(f"EXPLAIN QUERY PLAN {ledgers._SLOT}", ("r",)))

    def version() -> object:
        with closing(sqlite3.connect(path)) as db:
            return db.execute("PRAGMA user_version").fetchone()

    with bench.ledger():
        pass
    assert "slots_of_run (run_id=?)" in plan()
    before = version()
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("DROP INDEX slots_of_run")
        db.execute("DELETE FROM meta WHERE name='slots_of_run'")
    Ledger(path, Clock(), read_only=True).close()
    assert "SCAN slots" in plan()
    with bench.ledger():
        pass
    assert ("slots_of_run (run_id=?)" in plan(), version()) == (True, before)


def test_the_page_names_every_reason(root: Path) -> None:
    page = (root / "docs/reference/scheduler-running.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \| (.*) \|$", page.partition("<!-- reasons -->")[2], re.MULTILINE)
    assert rows[: len(SlotReason)] == sorted((str(code), code.words) for code in SlotReason)


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("PRAGMA user_version=99", "has schema 99"),
        ("CREATE TABLE t (x)", "is no ledger of a scheduler"),
    ],
)
def test_a_foreign_file_is_refused(bench: "Bench", statement: str, words: str) -> None:
    with closing(sqlite3.connect(bench.folder / "ledger.sqlite")) as db:
        db.execute(statement)
    with pytest.raises(StateError, match=words) as caught:
        Ledger(bench.folder / "ledger.sqlite", Clock())
    assert ("state:" if "ledger" in words else "install.py") in caught.value.fix
    assert caught.value.exit_code == 4


def test_an_older_file_is_migrated_after_a_backup(bench: "Bench", monkeypatch: pytest.MonkeyPatch) -> None:
    path = bench.folder / "ledger.sqlite"
    Ledger(path, Clock()).close()
    newer = schema.SCHEMA_VERSION + 1
    monkeypatch.setattr(schema, "SCHEMA_VERSION", newer)
    monkeypatch.setitem(schema._MIGRATIONS, newer - 1, "ALTER TABLE slots ADD COLUMN note TEXT")
    ledger = Ledger(path, Clock())
    assert ledger.db.execute("PRAGMA user_version").fetchone() == (newer,)
    assert "note" in [row[1] for row in ledger.db.execute("PRAGMA table_info(slots)")]
    ledger.close()
    with closing(sqlite3.connect(bench.folder / f"ledger.sqlite.v{newer - 1}.bak")) as copy:
        assert copy.execute("PRAGMA user_version").fetchone() == (newer - 1,)


def test_a_slot_is_claimed_once(bench: "Bench") -> None:
    with bench.ledger() as one, bench.ledger() as other:
        with one.transaction("test"):
            assert Slots(one).claim("a", [Verdict(60_000, Status.WAITING)], trigger="t")
        with other.transaction("test"):
            assert (
                Slots(other).claim("a", [Verdict(60_000, Status.MISSED, said(SlotReason.COALESCED))], trigger="t") == []
            )
        row = Slots(other).find("a", 60_000)
        assert row is not None
        assert row.status == Status.WAITING
        one.enter("one")
        other.enter("other")
        with one.transaction("test"):
            assert Slots(one).begin(row, "t", "log") is not None
        with other.transaction("test"):
            assert Slots(other).begin(row, "t", "log") is None
        one.leave()
        other.leave()


def test_the_active_slots_are_those_of_now(bench: "Bench") -> None:
    def active(ledger: Ledger) -> list[int]:
        return [row.slot for row in Slots(ledger).active()]

    waiting = [[Verdict(number * 60_000, Status.WAITING)] for number in range(1, 4)]
    with bench.ledger() as one, bench.ledger() as other:
        assert active(one) == []
        with other.transaction("test"):
            Slots(other).claim("a", waiting[0], trigger="t")
        assert active(one) == [60_000]
        with one.transaction("test"):
            Slots(one).claim("a", waiting[1], trigger="t")
            assert active(one) == [60_000, 120_000]
        assert active(one) == [60_000, 120_000]
        with contextlib.suppress(ZeroDivisionError), one.transaction("undone"):
            Slots(one).claim("a", waiting[2], trigger="t")
            assert active(one) == [60_000, 120_000, 180_000]
            raise ZeroDivisionError
        assert active(one) == [60_000, 120_000]


def test_slots_that_wait_are_not_asked_for_in_pairs(bench: "Bench") -> None:
    bench.schedule_of({"id": "a", "cron": "* * * * *", "overlap": "queue"})
    told: list[str] = []
    with bench.ledger() as ledger:
        with ledger.transaction("test"):
            slots = [Verdict(number * 60_000, Status.WAITING) for number in range(1, 31)]
            Slots(ledger).claim("a", slots, trigger="t")
        decisions, rows = StartDecisions(ledger, bench.load()), Slots(ledger).active()
        assert isinstance(ledger.db, durable.SqliteDatabase)
        ledger.db.set_trace_callback(told.append)
        found = [decisions.judge(row, rows, decisions.room()).action for row in rows]
        ledger.db.set_trace_callback(None)
    assert found == ["start"] + ["wait"] * 29
    assert len(told) <= 5 * len(rows)


def test_the_fence_refuses_a_leader_that_was_replaced(bench: "Bench") -> None:
    path = bench.folder / "ledger.sqlite"
    one, other = Ledger(path, Clock()), Ledger(path, Clock())
    one.enter("scheduler")
    other.enter("scheduler")
    first, second = Leadership(one, 60), Leadership(other, 60)
    assert first.take()
    assert not second.take()
    with one.transaction("test"):
        Slots(one).claim("a", [Verdict(60_000, Status.WAITING)], trigger="t")
    # the lease is taken from it, as after a long stop
    first._store.break_lock("leader", reason="test")
    assert second.take()
    with pytest.raises(DeposedError), one.transaction("test"):
        Slots(one).claim("a", [Verdict(120_000, Status.WAITING)], trigger="t")
    assert Slots(other).find("a", 120_000) is None
    first.close()
    second.close()
    one.leave()
    other.leave()
    one.close()
    other.close()


def test_a_lost_lease_is_taken_again_if_nobody_led_meanwhile(bench: "Bench") -> None:
    path = bench.folder / "ledger.sqlite"
    one, other = Ledger(path, Clock()), Ledger(path, Clock())
    first, second = Leadership(one, 60), Leadership(other, 60)
    assert first.take()
    before = one.token
    first._store.break_lock("leader", reason="test")
    assert first.retake()
    assert one.token == one.fence() != before
    first._store.break_lock("leader", reason="test")
    assert second.take()
    assert not first.retake()
    second.give_up()
    assert not first.retake(), "the other one has led, if only for a moment"
    for each in (first, second):
        each.close()
    one.close()
    other.close()


def test_what_a_deposed_leader_kept_is_for_the_new_one(bench: "Bench") -> None:
    path = bench.folder / "ledger.sqlite"
    one, other = Ledger(path, Clock()), Ledger(path, Clock())
    one.enter("scheduler")
    other.enter("scheduler")
    with one.transaction("test"):
        Slots(one).claim("a", [Verdict(60_000, Status.WAITING)], trigger="t", owner=one.me)
    adopt(other, bench.events(), leading=False)
    row = Slots(other).find("a", 60_000)
    assert row is not None
    assert row.owner == one.me, "it lives, and nobody has deposed it"
    adopt(other, bench.events(), leading=True)
    row = Slots(other).find("a", 60_000)
    assert row is not None
    assert row.owner is None
    for ledger in (one, other):
        ledger.leave()
        ledger.close()


def test_milliseconds_and_instants() -> None:
    for number in (0, 1, -1, 1772452860000, 253_402_300_799_999):
        assert to_ms(from_ms(number)) == number
