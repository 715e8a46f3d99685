"""The commands that run slots, look at the ledger, and change it by hand."""

import csv
import datetime as dt
import json
import sqlite3
import zoneinfo
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest

from aetherflow.scheduler.cli.shown import local_text
from scheduler_bench import Bench, day


def slot(before: int) -> str:
    return f"{day(before)}T00:00:00Z"


def sh(bench: "Bench", name: str, script: str) -> None:
    head = f"EFFECTS={bench.folder}/effects; RUN=$AETHERFLOW_RUN_ID; "
    bench.flow(["sh", "-c", head + script], name)


def effects(bench: "Bench") -> list[str]:
    path = bench.folder / "effects"
    return path.read_text().splitlines() if path.exists() else []


def answer(bench: "Bench", *arguments: str, code: int = 0) -> Any:
    found = json.loads(bench.command(*arguments, "--json", code=code))
    assert found["schema"] == 1
    return found


def statuses(bench: "Bench") -> list[str]:
    return [row[0] for row in bench.rows("SELECT status FROM slots ORDER BY item, slot")]


@pytest.fixture
def daily(bench: "Bench") -> "Bench":
    sh(bench, "flow", "echo $RUN >> $EFFECTS")
    bench.schedule_of({"id": "daily", "cron": "0 0 * * *"})
    return bench


# run-item


def test_run_item_runs_the_slot_whose_time_came_last(daily: "Bench") -> None:
    out = daily.command("run-item", "scheduler.yaml", "daily")
    assert out == f"daily {slot(0)}: ended with SUCCESS\n"
    assert daily.rows("SELECT trigger, run_id FROM slots") == [("manual", f"daily-{day(0).replace('-', '')}T000000Z")]
    assert "ended before with SUCCESS" in daily.command("run-item", "scheduler.yaml", "daily")
    assert len(effects(daily)) == 1
    found = answer(daily, "run-item", "scheduler.yaml", "daily", "--slot", slot(2))
    assert (found["ran"], found["status"], found["slot"]) == (True, "SUCCESS", slot(2))


def test_a_failed_slot_is_resumed_by_its_name_only(bench: "Bench") -> None:
    sh(bench, "flow", "echo $RUN >> $EFFECTS; [ $(wc -l < $EFFECTS) -gt 1 ]")
    bench.schedule_of({"id": "daily", "cron": "0 0 * * *"})
    bench.command("run-item", "scheduler.yaml", "daily", code=1)
    bench.command("run-item", "scheduler.yaml", "daily", code=1)
    assert len(effects(bench)) == 1
    bench.command("run-item", "scheduler.yaml", "daily", "--slot", slot(0), "--reason", "fixed the disk")
    assert len(set(effects(bench))) == 1
    assert len(effects(bench)) == 2
    rows = bench.rows("SELECT event, detail FROM journal WHERE event='manual' ORDER BY seq")
    assert json.loads(rows[-1][1])["reason"] == "fixed the disk"


def test_triggers_of_cron_account_for_what_was_missed(daily: "Bench") -> None:
    daily.schedule_of({"id": "daily", "cron": "0 0 * * *", "since": day(3), "misfire": "last"})
    daily.command("run-item", "scheduler.yaml", "daily", "--trigger", "cron")
    assert statuses(daily) == ["MISSED"] * 3 + ["SUCCESS"]
    assert "no gap in 4 expected slots" in daily.command("audit", "scheduler.yaml")
    daily.command("run-item", "scheduler.yaml", "daily", "--trigger", "cron")
    assert len(effects(daily)) == 1


def test_triggers_of_cron_take_over_what_a_dead_one_left(bench: "Bench", until: Callable[..., Any]) -> None:
    sh(bench, "flow", "echo $RUN >> $EFFECTS; [ $(wc -l < $EFFECTS) -gt 1 ] || exec sleep 600")
    bench.schedule_of({"id": "daily", "cron": "0 0 * * *", "misfire": "last"})
    cron = ("run-item", "scheduler.yaml", "daily", "--trigger", "cron")
    process = bench.start(*cron)
    until(lambda: effects(bench))
    process.terminate()
    assert process.wait(60) == 143
    assert bench.rows("SELECT status, reason FROM slots") == [("INTERRUPTED", "stopped with the scheduler")]
    bench.command(*cron)
    assert statuses(bench) == ["SUCCESS"]
    assert len(set(effects(bench))) == 1


def test_the_first_trigger_of_cron_is_the_first_expected_slot(daily: "Bench") -> None:
    daily.schedule_of({"id": "daily", "cron": "0 0 * * *", "misfire": "last"})
    daily.command("run-item", "scheduler.yaml", "daily", "--trigger", "systemd")
    assert answer(daily, "audit", "scheduler.yaml")["counts"] == {"SUCCESS": 1}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["daily", "--slot", f"{day(0)}T00:00:01Z"], ["is no slot of daily", "the slots next to it"]),
        (["daily", "--slot", "2199-01-01"], ["lies ahead"]),
        (["daily", "--slot", "soon"], ["--slot", "write 2026-12-24"]),
        (["dayly"], ["has no item 'dayly'", "did you mean 'daily'?"]),
        (["daily", "--trigger", "me"], ["--trigger 'me' is not known"]),
        (["off"], ["is not enabled", "--slot"]),
    ],
)
def test_wrong_slots_and_items_are_named(bench: "Bench", arguments: list[str], words: list[str]) -> None:
    sh(bench, "flow", ":")
    off = {"id": "off", "cron": "0 0 * * *", "enabled": False}
    bench.schedule_of({"id": "daily", "cron": "0 0 * * *"}, off)
    bench.command("run-item", "scheduler.yaml", *arguments, code=2)
    assert all(word in bench.errors for word in words), bench.errors


def test_a_slot_that_runs_elsewhere_is_busy(bench: "Bench", until: Callable[..., Any]) -> None:
    sh(bench, "flow", "echo $RUN >> $EFFECTS; sleep 5")
    bench.schedule_of({"id": "daily", "cron": "0 0 * * *"})
    process = bench.start("run-item", "scheduler.yaml", "daily")
    until(lambda: effects(bench))
    bench.command("run-item", "scheduler.yaml", "daily", code=3)
    assert f"is RUNNING (run-item, pid {process.pid} on" in bench.errors
    process.terminate()
    assert process.wait(60) == 143
    assert statuses(bench) == ["INTERRUPTED"]


def test_a_wish_that_waits_is_given_up_with_ctrl_c(bench: "Bench", until: Callable[..., Any]) -> None:
    go = bench.folder / "go"
    sh(bench, "flow", f"echo $RUN >> $EFFECTS; while ! test -e {go}; do sleep 0.05; done")
    bench.schedule_of({"id": "a", "cron": "0 0 * * *"}, {"id": "b", "cron": "0 0 * * *"}, max_running=1)
    first = bench.start("run-item", "scheduler.yaml", "a")
    until(lambda: effects(bench))
    second = bench.start("run-item", "scheduler.yaml", "b")
    until(lambda: statuses(bench) == ["RUNNING", "WAITING"])
    second.send_signal(2)
    assert second.wait(60) == 130
    assert statuses(bench)[1] == "MISSED"
    go.touch()
    assert first.wait(60) == 0
    assert len(effects(bench)) == 1


# pause, resume, status


def test_pause_and_resume(daily: "Bench") -> None:
    daily.schedule_of({"id": "daily", "cron": "0 0 * * *", "since": day(1), "misfire": "last"})
    out = daily.command("pause", "scheduler.yaml", "daily", "--reason", "migration", "--until", "2199-01-01")
    assert out == "daily is paused until 2199-01-01T00:00:00Z: migration\n"
    daily.command("tick", "scheduler.yaml")
    assert statuses(daily) == ["SKIPPED"] * 2
    found = answer(daily, "status", "scheduler.yaml")["items"][0]
    assert (found["state"], found["paused"]["reason"]) == ("paused", "migration")
    assert "paused: migration" in daily.command("status", "scheduler.yaml")
    assert daily.command("resume", "scheduler.yaml", "daily") == "daily goes on\n"
    assert daily.command("resume", "scheduler.yaml", "daily") == "daily was not paused\n"
    daily.command("backfill", "scheduler.yaml", "daily", "--from", day(1), "--to", "2199-01-01")
    assert statuses(daily) == ["SUCCESS"] * 2
    assert "is over already" in (
        daily.command("pause", "scheduler.yaml", "daily", "--reason", "x", "--until", "2020-01-01", code=2)
        or daily.errors
    )
    events = [row[0] for row in daily.rows("SELECT event FROM journal ORDER BY seq")]
    assert [event for event in events if event in ("pause", "resume")] == ["pause", "resume"]


def test_looking_creates_no_ledger(daily: "Bench") -> None:
    assert "not seen yet" in daily.command("status", "scheduler.yaml")
    assert daily.command("audit", "scheduler.yaml") == "no gap in 0 expected slots\n"
    daily.command("backfill", "scheduler.yaml", "daily", "--from", day(2), "--to", day(0), "--dry-run")
    assert list(daily.folder.glob("ledger*")) == []


# audit


def test_a_gap_is_found(daily: "Bench") -> None:
    daily.schedule_of({"id": "daily", "cron": "0 0 * * *", "since": day(4), "misfire": "last"})
    daily.command("tick", "scheduler.yaml")
    with closing(sqlite3.connect(daily.folder / "ledger.sqlite")) as db, db:
        db.execute("DELETE FROM slots WHERE slot=(SELECT min(slot) FROM slots)")
    out = daily.command("audit", "scheduler.yaml", code=1)
    assert slot(4) in out
    assert "1 gaps in 5 expected slots" in out
    found = answer(daily, "audit", "scheduler.yaml", code=1)
    assert [gap["slot"] for gap in found["gaps"]] == [slot(4)]
    assert "no gap in 2" in daily.command("audit", "scheduler.yaml", "--from", day(3), "--to", day(1))


def test_a_slot_whose_process_died_is_a_gap_until_somebody_takes_it_over(
    bench: "Bench", until: Callable[..., Any]
) -> None:
    sh(bench, "flow", f"echo $RUN >> $EFFECTS; while [ ! -e {bench.folder}/go ]; do sleep 0.1; done")
    bench.schedule_of({"id": "daily", "cron": "0 0 * * *", "since": day(0), "misfire": "last"})
    process = bench.start("tick", "scheduler.yaml")
    until(lambda: effects(bench))
    assert "no gap" in bench.command("audit", "scheduler.yaml")
    process.kill()
    process.wait()
    assert "the process that had it has ended" in bench.command("audit", "scheduler.yaml", code=1)
    (bench.folder / "go").touch()
    bench.command("tick", "scheduler.yaml")
    assert len(effects(bench)) == 1
    assert "no gap" in bench.command("audit", "scheduler.yaml")


# backfill


def test_backfill_of_missed_and_failed_slots(bench: "Bench") -> None:
    sh(bench, "flow", f"echo $RUN >> $EFFECTS; [ -e {bench.folder}/fixed ]")
    bench.schedule_of({"id": "daily", "cron": "0 0 * * *", "since": day(3), "misfire": "last"})
    bench.command("tick", "scheduler.yaml", code=1)
    assert statuses(bench) == ["MISSED"] * 3 + ["FAILED"]
    span = ("--from", day(9), "--to", "2199-01-01")
    out = bench.command("backfill", "scheduler.yaml", "daily", *span, "--dry-run")
    assert out.count("MISSED") == 3
    assert "9 slots of daily would run" in out
    assert (
        bench.command("backfill", "scheduler.yaml", "daily", *span, "--include", "failed", "--dry-run").count("FAILED")
        == 1
    )
    (bench.folder / "fixed").touch()
    found = answer(bench, "backfill", "scheduler.yaml", "daily", *span, "--include", "failed")
    assert [each["status"] for each in found["slots"]] == ["SUCCESS"]
    found = answer(bench, "backfill", "scheduler.yaml", "daily", "--from", day(3), "--to", "2199-01-01")
    assert [each["slot"] for each in found["slots"]] == [slot(3), slot(2), slot(1)]
    assert statuses(bench) == ["SUCCESS"] * 4
    assert len(set(effects(bench))) == 4
    bench.command("backfill", "scheduler.yaml", "daily", *span, "--include", "all", code=2)
    assert '--reason "TEXT"' in bench.errors


def test_ctrl_c_leaves_the_rest_as_it_was(bench: "Bench", until: Callable[..., Any]) -> None:
    sh(bench, "flow", "echo $RUN >> $EFFECTS; exec sleep 600")
    bench.schedule_of({"id": "daily", "cron": "0 0 * * *"})
    process = bench.start("backfill", "scheduler.yaml", "daily", "--from", day(3), "--to", day(0))
    until(lambda: effects(bench))
    process.send_signal(2)
    assert process.wait(60) == 130
    assert statuses(bench) == ["INTERRUPTED"]


LOAD = """
version: 1
flow: {id: load}
resources: {db: {kind: db, driver: sqlite3, config: {path: DATABASE}}}
jobs:
  - id: job
    steps:
      - id: load
        type: db_load
        inputs: {resource: db, table: facts, path: "INPUT/{{run.date.iso}}.csv", mode: append}
"""


def test_fourteen_slots_run_again_double_no_row(bench: "Bench") -> None:
    database = bench.folder / "facts.sqlite"
    with closing(sqlite3.connect(database)) as db, db:
        db.execute("CREATE TABLE facts (day TEXT, n INTEGER)")
    flow = LOAD.replace("DATABASE", str(database)).replace("INPUT", str(bench.folder / "input"))
    bench.write(flow, "flow.yaml")
    for before in range(15):
        path = bench.folder / "input" / f"{day(before)}.csv"
        path.parent.mkdir(exist_ok=True)
        with path.open("w", newline="") as file:
            csv.writer(file).writerows([["day", "n"], *([day(before), n] for n in range(50))])
    bench.schedule_of({"id": "daily", "cron": "0 0 * * *", "since": day(13), "misfire": "all", "max_catch_up": 20})
    bench.command("tick", "scheduler.yaml")
    assert statuses(bench) == ["SUCCESS"] * 14
    count = "SELECT count(*), count(DISTINCT day || n), count(DISTINCT day) FROM facts"
    with closing(sqlite3.connect(database)) as db:
        assert db.execute(count).fetchone() == (700, 700, 14)
    again = ("backfill", "scheduler.yaml", "daily", "--from", day(13), "--to", "2199-01-01", "--include", "all")
    found = answer(bench, *again, "--reason", "the source was corrected")
    assert [each["status"] for each in found["slots"]] == ["SUCCESS"] * 14
    assert all(each["run_id"].endswith("-b2") for each in found["slots"])
    with closing(sqlite3.connect(database)) as db:
        assert db.execute(count).fetchone() == (700, 700, 14)
    assert bench.rows("SELECT count(*) FROM attempts WHERE status='SUCCESS'") == [(28,)]
    found = answer(bench, *again, "--reason", "once more", "--dry-run")
    assert {each["run_id"][-3:] for each in found["slots"]} == {"-b3"}


# examples


def test_the_seed_example(bench: "Bench") -> None:
    bench.flow(["bash", "-lc", "echo hello from aetherflow"])
    bench.write('timezone: Europe/Berlin\n\nitems:\n  - id: nightly\n    cron: "0 2 * * *"\n    flow_yaml: flow.yaml\n')
    assert "ended with SUCCESS" in bench.command("run-item", "scheduler.yaml", "nightly")
    (ledger,) = bench.folder.glob("state/engine/scheduler/scheduler-????????.sqlite")
    assert ledger.stat().st_mode & 0o077 == 0
    assert bench.command("tick", "scheduler.yaml", "-q") == ""
    found = answer(bench, "status", "scheduler.yaml")
    last = found["items"][0]["last_run"]
    assert last["status"] == "SUCCESS"
    at = dt.datetime.fromisoformat(last["slot"]).astimezone(zoneinfo.ZoneInfo("Europe/Berlin"))
    assert local_text(at) in bench.command("status", "scheduler.yaml"), "the last run is shown in the item's zone"


@pytest.mark.parametrize("flow", [None, "flows/other.yaml"])
def test_an_item_of_a_bundle(bench: "Bench", flow: str | None) -> None:
    manifest = {
        "id": "b",
        "source": {"type": "filesystem", "base_path": "release"},
        "layout": {"profiles_file": "profiles.yaml"},
        "entry_flow": "flows/main.yaml",
    }
    bench.write(json.dumps({"version": 1, "bundle": manifest}), "bundle.yaml")
    for name in ("main", "other"):
        step = {
            "id": "s",
            "type": "external.process",
            "inputs": {"command": ["sh", "-c", f"echo {name} >> {bench.folder}/effects"]},
        }
        body = {"version": 1, "flow": {"id": name}, "jobs": [{"id": "j", "steps": [step]}]}
        bench.write(json.dumps(body), f"release/flows/{name}.yaml")
    bench.write("dev: {config: {}}\n", "release/profiles.yaml")
    item = {"id": "daily", "cron": "0 0 * * *", "bundle_manifest": "bundle.yaml"}
    bench.write(json.dumps({"timezone": "UTC", "items": [item | ({"flow": flow} if flow else {})]}))
    found = answer(bench, "run-item", "scheduler.yaml", "daily")
    assert found["status"] == "SUCCESS"
    assert effects(bench) == ["other" if flow else "main"]


def test_the_history_knows_what_asked(daily: "Bench") -> None:
    daily.schedule_of({"id": "daily", "cron": "0 0 * * *", "misfire": "last", "since": day(0)})
    daily.command("tick", "scheduler.yaml")
    (state,) = daily.folder.glob("state/flow.sqlite")
    with closing(sqlite3.connect(state)) as db:
        assert db.execute("SELECT trigger, slot FROM runs").fetchall() == [("tick", slot(0))]
