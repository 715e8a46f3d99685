"""The file of the ledger: its versions, its tables on the page, who may write."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from aetherflow.scheduler.ledger import schema
from aetherflow.scheduler.ledger.store import Ledger
from aetherflow.scheduler.time.clock import Clock

if TYPE_CHECKING:
    from scheduler_bench import Bench


def test_a_damaged_file_is_named(bench: "Bench") -> None:
    (bench.folder / "ledger.sqlite").write_bytes(b"no database" * 100)
    bench.schedule_of({"id": "a", "cron": "0 0 * * *"})
    bench.command("tick", "scheduler.yaml", code=4)
    assert "file is not a database" in bench.errors
    assert str(bench.folder / "ledger.sqlite") in bench.errors


# Two documents


def other_document(bench: "Bench", *ids: str) -> None:
    items = [{"id": name, "cron": "* * * * *", "flow": "flow.yaml"} for name in ids]
    bench.write(json.dumps({"timezone": "UTC", "state": "ledger.sqlite", "items": items}), "other.yaml")


def test_a_document_takes_the_place_of_another(bench: "Bench") -> None:
    bench.flow(["true"])
    bench.schedule_of({"id": "a", "cron": "0 0 1 1 *"})
    bench.command("tick", "scheduler.yaml")
    other_document(bench, "b")
    bench.command("tick", "other.yaml", "--take-over", "-q")
    assert bench.rows("SELECT item, until IS NULL FROM epochs ORDER BY item") == [("a", 0), ("b", 1)]
    assert bench.rows("SELECT file FROM items WHERE item='b'") == [(str(bench.folder / "other.yaml"),)]
    bench.command("tick", "scheduler.yaml", code=4)  # and not back unasked
    (bench.folder / "other.yaml").rename(bench.folder / "moved.yaml")
    bench.command("tick", "moved.yaml", "-q")  # what was moved needs no word
    assert bench.rows("SELECT file FROM items WHERE item='b'") == [(str(bench.folder / "moved.yaml"),)]
    assert bench.rows("SELECT event FROM journal WHERE event='document'") == [("document",)]


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
        for (trigger,) in db.execute("SELECT name FROM sqlite_master WHERE type='trigger'").fetchall():
            db.execute(f"DROP TRIGGER {trigger}")
        for table in ("acts", "outbox", "meta"):
            db.execute(f"DROP TABLE {table}")
        db.execute("DROP INDEX unwell_slots")
        db.execute("DROP INDEX held_slots")
        slots = "reason_code told_by flow_id state_path"
        later = {"items": "file pruned", "slots": slots, "attempts": "reason_code", "journal": "chain"}
        for table, names in later.items():
            for name in names.split():
                db.execute(f"ALTER TABLE {table} DROP COLUMN {name}")
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
