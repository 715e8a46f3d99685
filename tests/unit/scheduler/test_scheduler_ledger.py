"""The file of the ledger: its versions, its tables on the page, who may write."""

import json
import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from aetherflow.core.errors import StateError
from aetherflow.scheduler.adoption import adopt
from aetherflow.scheduler.clock import Clock, from_ms, to_ms
from aetherflow.scheduler.leader import Leadership
from aetherflow.scheduler.ledger import schema
from aetherflow.scheduler.ledger.slots import Slots
from aetherflow.scheduler.ledger.store import DeposedError, Ledger
from aetherflow.scheduler.policy import Status, Verdict

if TYPE_CHECKING:
    from tests.scheduler.conftest import Bench


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
    assert "state:" in caught.value.fix
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


def test_a_ledger_of_the_first_version_goes_on(bench: "Bench") -> None:
    bench.schedule_of({"id": "a", "cron": "* * * * *"})
    bench.minutes(2)
    as_first_version(bench)
    bench.command("status", "scheduler.yaml", code=4)
    assert "has schema 1" in bench.errors
    assert "`tick`" in bench.errors
    bench.minutes(1)
    assert bench.slots("a") == {f"12:0{n}": "SUCCESS" for n in (1, 2, 3)}
    assert bench.rows("SELECT file FROM items") == [(str(bench.file),)]
    assert (bench.folder / "ledger.sqlite.v1.bak").exists()
    bench.command("status", "scheduler.yaml")


def as_first_version(bench: "Bench") -> Path:
    path = bench.folder / "ledger.sqlite"
    with closing(sqlite3.connect(path)) as db:
        db.execute("ALTER TABLE items DROP COLUMN file")
        db.execute("ALTER TABLE items DROP COLUMN pruned")
        db.execute("PRAGMA user_version=1")
    return path


def version(path: Path) -> int:
    with closing(sqlite3.connect(path)) as db:
        return int(db.execute("PRAGMA user_version").fetchone()[0])


def test_the_backup_of_a_migration_is_not_replaced(bench: "Bench", monkeypatch: pytest.MonkeyPatch) -> None:
    bench.schedule_of({"id": "a", "cron": "* * * * *"})
    bench.minutes(2)
    path = as_first_version(bench)
    migrate = schema._migrate
    others: list[int] = []

    def after_another_one(*arguments: Any) -> None:
        if not others:  # a second process begins between the look at the version and the migration
            others.append(1)
            bench.command("prune", "scheduler.yaml", "--before", "2026-01-01")
        migrate(*arguments)

    monkeypatch.setattr(schema, "_migrate", after_another_one)
    Ledger(path, Clock()).close()
    assert [each.name for each in bench.folder.glob("*.bak")] == ["ledger.sqlite.v1.bak"]
    assert (version(path), version(bench.folder / "ledger.sqlite.v1.bak")) == (schema.SCHEMA_VERSION, 1)
    as_first_version(bench)  # as if it had been brought back, and used since
    Ledger(path, Clock()).close()
    assert version(bench.folder / "ledger.sqlite.v1-2.bak") == 1
    assert len(list(bench.folder.glob("*.bak"))) == 2


@pytest.mark.parametrize(
    ("table", "change", "words"),
    [
        ("slots", "params='{'", "params are no JSON"),
        ("slots", "params='[1]'", "params are no JSON object"),
        ("slots", "status='ODD'", "'ODD' is not a valid Status"),
        ("epochs", "definition='{'", "a definition of a cannot be read"),
        ("epochs", "definition=json_set(definition, '$.timezone', 'No/Where')", "No/Where"),
        ("epochs", "definition='{}'", "'cron'"),
    ],
)
def test_a_row_that_cannot_be_read_is_named(bench: "Bench", table: str, change: str, words: str) -> None:
    bench.schedule_of({"id": "a", "cron": "* * * * *"})
    bench.minutes(1)
    with closing(sqlite3.connect(bench.folder / "ledger.sqlite")) as db:
        db.execute(f"UPDATE {table} SET {change}")
        db.commit()
    bench.command("audit", "scheduler.yaml", code=4)
    assert words in bench.errors
    assert str(bench.folder / "ledger.sqlite") in bench.errors
    assert "sqlite3" in bench.errors


# Two documents


def other_document(bench: "Bench", *ids: str) -> None:
    items = [{"id": name, "cron": "* * * * *", "flow": "flow.yaml"} for name in ids]
    bench.write(json.dumps({"timezone": "UTC", "state": "ledger.sqlite", "items": items}), "other.yaml")


@pytest.mark.parametrize(
    "options", [["run"], ["tick"], ["tick", "--item", "b"], ["run-item", "c", "--trigger", "cron"]]
)
def test_another_document_does_not_end_the_items_of_the_first(bench: "Bench", options: list[str]) -> None:
    bench.schedule_of({"id": "a", "cron": "* * * * *"}, {"id": "b", "cron": "* * * * *"})
    bench.minutes(1)
    other_document(bench, "b", "c")
    before = bench.rows("SELECT item, until FROM epochs")
    bench.command(options[0], "other.yaml", *options[1:], code=4)
    assert f"has items of {bench.file}, which {bench.folder / 'other.yaml'} would end: a" in bench.errors
    assert "--take-over" in bench.errors
    assert bench.rows("SELECT item, until FROM epochs") == before == [("a", None), ("b", None)]


def test_a_slot_is_claimed_once(bench: "Bench") -> None:
    with bench.ledger() as one, bench.ledger() as other:
        with one.transaction("test"):
            assert Slots(one).claim("a", [Verdict(60_000, Status.WAITING)], trigger="t")
        with other.transaction("test"):
            assert Slots(other).claim("a", [Verdict(60_000, Status.MISSED, "x")], trigger="t") == []
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
