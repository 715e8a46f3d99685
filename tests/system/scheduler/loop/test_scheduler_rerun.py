"""Many slots that failed, or that follow one, run again by one command."""

import json
import shlex
import signal
import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from scheduler_bench import day

if TYPE_CHECKING:
    from scheduler_bench import Bench

SCRIPT = (
    "test ! -e bad || exit 1; case {{run.id}} in *report*) while test -e wait; do sleep 0.05; done;; esac; "
    "echo {{run.id}} >> effects"
)
SPAN = ("--from", day(1), "--to", day(0))
SLOT = f"{day(1)}T01:00:00Z"


def run_id(item: str, batch: int = 1) -> str:
    hour = "02" if item == "late" else "01"
    return f"{item}-{day(1).replace('-', '')}T{hour}0000Z" + (f"-b{batch}" if batch > 1 else "")


@pytest.fixture
def night(bench: "Bench") -> "Bench":
    """Loads, a report that follows one, a sum that follows the report, and one that follows it later."""
    bench.flow(["sh", "-c", f"cd {bench.folder} && {SCRIPT}"])
    bench.schedule_of(
        {"id": "sum", "after": "report"},
        {"id": "report", "after": "load"},
        {"id": "late", "cron": "0 2 * * *", "after": "report"},
        {"id": "load", "cron": "0 1 * * *"},
        {"id": "other", "cron": "0 1 * * *"},
        {"id": "off", "cron": "0 1 * * *", "enabled": False},
    )
    return bench


def effects(bench: "Bench") -> list[str]:
    path = bench.folder / "effects"
    return path.read_text().split() if path.exists() else []


def report_of(bench: "Bench", *arguments: str, code: int = 0) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(bench.command(*arguments, "--json", code=code))
    return found


def test_a_bad_night_is_run_again_by_one_command(night: "Bench") -> None:
    (night.folder / "bad").touch()
    backfill = ("backfill", "scheduler.yaml", "--all", *SPAN)
    first = report_of(night, *backfill, code=1)
    assert first["item"] is None
    assert {each["item"]: each["status"] for each in first["slots"]} == {"load": "FAILED", "other": "FAILED"}
    assert {each["item"] for each in first["not_done"]} == {"load", "other", "report", "sum", "late"}
    assert f"report {SLOT}: left out, after load: it did not succeed" in night.errors
    (night.folder / "bad").unlink()
    again = (*backfill, "--include", "failed", "--with-successors")
    planned = report_of(night, *again, "--dry-run")
    ids = [run_id(item) for item in ("load", "other", "report", "sum", "late")]
    assert sorted(each["run_id"] for each in planned["slots"]) == sorted(ids)
    assert report_of(night, *again)["not_done"] == []
    ran = effects(night)
    assert sorted(ran) == sorted(ids)
    assert ran.index(run_id("load")) < ran.index(run_id("report")) < ran.index(run_id("sum"))
    assert ran[-1] == run_id("late")
    assert night.command(*again) == "0 of 0 slots have run, 0 of them failed\n"
    assert len(effects(night)) == len(ids)


def test_several_items_are_named(night: "Bench") -> None:
    told = night.command("backfill", "scheduler.yaml", "load", "other", *SPAN, "--dry-run")
    assert told.endswith("2 slots of load, other would run\n")
    report_of(night, "backfill", "scheduler.yaml", "load", "other", *SPAN)
    assert sorted(effects(night)) == [run_id("load"), run_id("other")]


@pytest.mark.parametrize("arguments", [[], ["load", "--all"]])
def test_items_are_named_or_all(night: "Bench", arguments: list[str]) -> None:
    night.command("backfill", "scheduler.yaml", *arguments, *SPAN, code=2)
    assert "fix: name items, or write --all for all that are enabled" in night.errors


def test_a_slot_runs_again_with_all_that_follow_it(night: "Bench") -> None:
    night.command("backfill", "scheduler.yaml", "--all", *SPAN, "-q")
    before = effects(night)
    rerun = ("rerun", "scheduler.yaml", "load", SLOT, "--with-successors", "--reason", "late prices")
    told = night.command(*rerun, "--dry-run")
    assert told.endswith("4 slots of 4 items would run\n")
    assert effects(night) == before
    night.command("rerun", "scheduler.yaml", "load", SLOT, "--with-successors", code=2)  # without a reason
    found = report_of(night, *rerun)
    assert [each["run_id"] for each in found["slots"]] == [
        run_id(each, 2) for each in ("load", "report", "sum", "late")
    ]
    assert effects(night)[len(before) :] == [run_id(each, 2) for each in ("load", "report", "sum", "late")]
    night.command("rerun", "scheduler.yaml", "other", SLOT, "--reason", "alone", "-q")
    assert effects(night)[-1] == run_id("other", 2)
    night.command("rerun", "scheduler.yaml", "load", f"{day(1)}T01:30Z", "--reason", "no slot", code=2)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_rerun_that_was_stopped_continues(night: "Bench", until: Callable[..., Any], number: signal.Signals) -> None:
    night.command("backfill", "scheduler.yaml", "--all", *SPAN, "-q")
    before, wait = len(effects(night)), night.folder / "wait"
    wait.touch()
    rerun = ("rerun", "scheduler.yaml", "load", SLOT, "--with-successors", "--reason", "late prices")
    process = night.start(*rerun, "-q")
    until(lambda: night.slots("report") == {"01:00": "RUNNING"})
    until(lambda: night.rows("SELECT 1 FROM slots WHERE item='report' AND pid IS NOT NULL"))
    process.send_signal(number)
    assert process.wait(60) == (130 if number == signal.SIGINT else -9)
    assert effects(night)[before:] == [run_id("load", 2)]
    assert night.slots("sum") == {"01:00": "SUCCESS"}  # as it was
    wait.unlink()
    night.command(*rerun, "-q")
    assert effects(night)[before:] == [run_id(each, 2) for each in ("load", "report", "sum", "late")]
    assert {each for (each,) in night.rows("SELECT status FROM slots")} == {"SUCCESS"}


def test_a_rerun_whose_slot_fails_leaves_out_what_follows_and_continues_with_it(night: "Bench") -> None:
    night.command("backfill", "scheduler.yaml", "--all", *SPAN, "-q")
    before = len(effects(night))
    rerun = ("rerun", "scheduler.yaml", "load", SLOT, "--with-successors", "--reason", "late prices")
    (night.folder / "bad").touch()
    found = report_of(night, *rerun, code=1)
    assert [each["run_id"] for each in found["slots"]] == [run_id("load", 2)]
    (night.folder / "bad").unlink()
    found = report_of(night, *rerun)
    assert effects(night)[before:] == [run_id(each, 2) for each in ("load", "report", "sum", "late")]
    assert found["not_done"] == []


def test_status_shows_one_command_for_slots_of_many_items_that_were_missed(bench: "Bench") -> None:
    bench.flow(["true"])
    names = [f"i{number}" for number in range(5)]
    items = [{"id": name, "cron": "0 1 * * *", "since": day(3)} for name in names]
    bench.schedule_of(*items, {"id": "last", "cron": "0 2 * * *", "since": day(3), "misfire": "last"})
    bench.command("tick", "scheduler.yaml", "-q")
    found = json.loads(bench.command("status", "scheduler.yaml", "--json", code=1))
    commands = {command for need in found["needs_person"] for command in need["commands"]}
    (command,) = commands  # what `last` has coalesced needs nobody, and is not run
    words = shlex.split(command)
    assert words[3:8] == names
    assert bench.command(*words[1:], "-q") == ""
    assert json.loads(bench.command("status", "scheduler.yaml", "--json"))["needs_person"] == []
    assert {status for _, status in bench.rows("SELECT item, status FROM slots WHERE item<>'last'")} == {"SUCCESS"}
    assert "MISSED" in {status for _, status in bench.rows("SELECT item, status FROM slots WHERE item='last'")}


def test_a_rerun_over_a_state_that_cannot_be_read_says_so_and_runs_nothing(night: "Bench") -> None:
    """With the words and the command of the other commands that look a run up."""
    night.command("backfill", "scheduler.yaml", "load", *SPAN, "-q")
    before = effects(night)
    ((state,),) = night.rows("SELECT DISTINCT state_path FROM slots WHERE item='load'")
    with closing(sqlite3.connect(state)) as db:
        db.execute("PRAGMA user_version=99")
    rerun = ("rerun", "scheduler.yaml", "load", SLOT, "--reason", "late prices")
    for words in (rerun, (*rerun, "--dry-run")):
        night.command(*words, code=4)
        assert f"AF4001 state file {state} has schema 99, this engine knows up to 3" in night.errors
        assert f"fix: install the release that wrote it: python3 install.py --to {sys.prefix}" in night.errors
    with closing(sqlite3.connect(state)) as db:
        db.execute("PRAGMA user_version=3")
    Path(state).write_text("no database " * 500)
    night.command(*rerun, code=4)
    assert f"fix: restore a backup of it: aetherflow state restore {state} --from FILE" in night.errors
    assert (effects(night), night.slots("load")) == (before, {"01:00": "SUCCESS"})
    Path(state).unlink()
    night.command(*rerun, "-q")  # a new one: the next run makes it
    assert effects(night) == [*before, run_id("load", 2)]
