"""What an audit must not overlook, the instants of options, and backfills that were not done."""

import json
import os
import signal
import sqlite3
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest

from scheduler_bench import Bench, day


@pytest.fixture
def daily(bench: "Bench") -> "Bench":
    bench.flow(["true"])
    bench.schedule_of({"id": "daily", "cron": "0 0 * * *"})
    return bench


def test_items_that_were_never_seen(daily: "Bench") -> None:
    since = {"cron": "0 0 * * *", "since": day(3)}
    new = {"id": "new", "cron": "0 0 * * *"}
    off = {"id": "off", **since, "enabled": False}
    daily.schedule_of({"id": "old", **since}, new, off)
    found = json.loads(daily.command("audit", "scheduler.yaml", "--to", day(0), "--json", code=1))
    assert (found["ok"], found["never_seen"]) == (False, ["new"])
    assert [(gap["item"], gap["slot"][:10]) for gap in found["gaps"]] == [("old", day(n)) for n in (3, 2, 1)]
    assert f"note: there is no ledger yet: {daily.folder}/ledger.sqlite" in daily.errors
    assert "note: never seen, so no slot is expected yet: new" in daily.errors
    out = daily.command("audit", "scheduler.yaml", "--from", day(9), "--to", day(2), code=1)
    assert "1 gaps in 1 expected slots" in out
    daily.schedule_of(new)
    daily.command("backfill", "scheduler.yaml", "new", "--from", day(1), "--to", day(0))
    assert daily.command("audit", "scheduler.yaml") == "no gap in 0 expected slots\n"
    assert "note: never seen, so no slot is expected yet: new" in daily.errors
    assert "no ledger" not in daily.errors


def test_slots_of_an_item_never_seen_count_if_somebody_ran_them(daily: "Bench") -> None:
    daily.schedule_of({"id": "daily", "cron": "0 0 * * *", "since": day(2)})
    daily.command("backfill", "scheduler.yaml", "daily", "--from", day(2), "--to", day(1), "-q")
    found = json.loads(daily.command("audit", "scheduler.yaml", "--to", day(0), "--json", code=1))
    assert (found["counts"], [gap["slot"][:10] for gap in found["gaps"]]) == ({"SUCCESS": 1}, [day(1)])


@pytest.mark.parametrize(
    "arguments",
    [
        ["audit", "--from", "2026-02-02", "--to", "2026-02-02"],
        ["audit", "--from", "2198-01-01"],
        ["backfill", "daily", "--from", "2026-02-03", "--to", "2026-02-02"],
    ],
)
def test_a_span_without_an_instant_is_refused(daily: "Bench", arguments: list[str]) -> None:
    command, *rest = arguments
    daily.command(command, "scheduler.yaml", *rest, code=2)
    assert "is not before" in daily.errors


@pytest.mark.parametrize("command", ["audit", "status", "tick", "pause"])
def test_a_ledger_that_is_damaged_behind_its_first_page_is_named(daily: "Bench", command: str) -> None:
    path = daily.folder / "ledger.sqlite"
    with daily.ledger() as ledger, ledger.transaction("grow"):
        for number in range(200):
            ledger.journal("test", "daily", number, text="x" * 100)
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        db.execute("PRAGMA journal_mode=DELETE")
        size = db.execute("PRAGMA page_size").fetchone()[0]
    data = path.read_bytes()
    path.write_bytes(data[:size] + b"\xa5" * (len(data) - size))
    more = ["daily", "--reason", "x"] if command == "pause" else []
    daily.command(command, "scheduler.yaml", *more, code=4)
    assert str(path) in daily.errors
    assert "AF0001" not in daily.errors


@pytest.mark.parametrize(
    "arguments",
    [
        ["next", "scheduler.yaml", "--from", "0001-01-01"],
        ["next", "scheduler.yaml", "--from", "1899-12-31"],
        ["next", "scheduler.yaml", "--from", "9999-12-31"],
        ["run-item", "scheduler.yaml", "daily", "--slot", "0001-01-01"],
        ["run-item", "scheduler.yaml", "daily", "--slot", "9999-12-31T23:59"],
        ["backfill", "scheduler.yaml", "daily", "--from", "0001-01-01", "--to", "2026-01-01"],
        ["audit", "scheduler.yaml", "--to", "9999-12-31"],
    ],
)
def test_instants_without_room_around_them_are_refused(daily: "Bench", arguments: list[str]) -> None:
    daily.command(*arguments, code=2)
    assert "is too far away" in daily.errors
    assert "write a year from 1900 to 9998" in daily.errors


def _slots(bench: "Bench", *arguments: str) -> list[str]:
    found: dict[str, Any] = json.loads(bench.command(*arguments, "--json"))
    return [each["slot"] for each in found["slots"]]


def test_days_of_options_begin_in_the_zone_of_the_item(daily: "Bench") -> None:
    tokyo = {"id": "tokyo", "cron": "30 0 * * *", "timezone": "Asia/Tokyo"}
    daily.schedule_of({"id": "utc", "cron": "30 0 * * *"}, tokyo)
    span = ("--from", "2026-03-02", "--to", "2026-03-03", "--dry-run")
    assert _slots(daily, "backfill", "scheduler.yaml", "tokyo", *span) == ["2026-03-01T15:30:00Z"]
    assert _slots(daily, "backfill", "scheduler.yaml", "utc", *span) == ["2026-03-02T00:30:00Z"]
    until = ("--from", "2026-03-02", "--until", "2026-03-03")
    assert _slots(daily, "next", "scheduler.yaml", "tokyo", *until) == ["2026-03-01T15:30:00Z"]
    assert _slots(daily, "next", "scheduler.yaml", *until) == ["2026-03-02T00:30:00Z", "2026-03-02T15:30:00Z"]


def test_a_slot_and_the_end_of_a_pause_are_in_the_zone_of_the_item(daily: "Bench") -> None:
    daily.schedule_of({"id": "tokyo", "cron": "30 0 * * *", "timezone": "Asia/Tokyo"})
    done = json.loads(daily.command("run-item", "scheduler.yaml", "tokyo", "--slot", "2026-03-02T00:30", "--json"))
    assert done["slot"] == "2026-03-01T15:30:00Z"
    paused = daily.command("pause", "scheduler.yaml", "tokyo", "--reason", "x", "--until", "2198-01-02")
    assert "until 2198-01-01T15:00:00Z" in paused


def test_a_zone_of_the_defaults_is_that_of_options_too(daily: "Bench") -> None:
    given = [{"id": "daily", "cron": "30 0 * * *", "flow": "flow.yaml"}, {"id": "b", "cron": "5 5 5 5 *", "flow": "x"}]
    daily.write(json.dumps({"defaults": {"timezone": "Asia/Tokyo"}, "state": "ledger.sqlite", "items": given}))
    span = ("--from", "2026-03-02", "--until", "2026-03-03")
    assert _slots(daily, "next", "scheduler.yaml", *span) == ["2026-03-01T15:30:00Z"]


def test_a_backfill_whose_slot_was_interrupted_is_not_done(bench: "Bench", until: Callable[..., Any]) -> None:
    bench.flow(["sh", "-c", f"echo > {bench.folder}/begun; exec sleep 600"])
    bench.schedule_of({"id": "daily", "cron": "0 0 * * *"})
    process = bench.start("backfill", "scheduler.yaml", "daily", "--from", day(1), "--to", day(0))
    until((bench.folder / "begun").exists)
    ((pid,),) = until(lambda: bench.rows("SELECT pid FROM slots WHERE pid IS NOT NULL"))
    os.kill(pid, signal.SIGTERM)
    assert process.wait(60) == 1
    assert "1 of 1 slots have run, 0 of them failed; not done: 1 INTERRUPTED" in bench.told_so_far()


def test_a_skipped_slot_that_a_backfill_does_not_get_to_stays_so(bench: "Bench", until: Callable[..., Any]) -> None:
    bench.flow(["true"])
    bench.schedule_of({"id": "a", "cron": "* * * * *", "blackouts": [{"from": "2026-03-02", "until": "2026-03-03"}]})
    bench.minutes(2)  # 12:01 and 12:02 are SKIPPED
    with bench.ledger() as ledger, ledger.transaction("test"):
        ledger.db.execute("UPDATE slots SET reason='overlap: the slot before still ran', reason_code='overlap'")
    bench.flow(["sh", "-c", f"echo > {bench.folder}/begun; exec sleep 600"])
    span = ("--from", "2026-03-02 12:01", "--to", "2026-03-02 12:03")
    process = bench.start("backfill", "scheduler.yaml", "a", *span, "--json", "-q")
    until((bench.folder / "begun").exists)
    assert bench.stop(process, signal.SIGINT) == 130
    found = json.loads(bench.told_so_far()[bench.told_so_far().index("{\n") :])
    assert (found["left"], found["failed"]) == (1, 0)
    assert [each["status"] for each in found["not_done"]] == ["INTERRUPTED", "SKIPPED"]
    assert bench.slots("a") == {"12:01": "INTERRUPTED", "12:02": "SKIPPED"}
