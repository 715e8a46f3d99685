"""The command `forecast`, what `status` says is usual, and what is told of beforehand."""

import datetime as dt
import json
from collections.abc import Callable
from typing import Any

import pytest

from aetherflow.scheduler.cli.app import main
from aetherflow.scheduler.ledger.records import insert
from aetherflow.scheduler.ledger.run_ids import run_id_of
from aetherflow.scheduler.runs.forewarning import Forewarning
from aetherflow.scheduler.time.clock import Clock, from_ms, to_ms
from scheduler_bench import Bench

DAY = dt.timedelta(days=1)
MINUTE = 60_000
EVENING = dt.datetime(2026, 3, 2, 22, tzinfo=dt.UTC)


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> Callable[[dt.datetime], None]:
    """Set the clock of commands."""

    def setting(now: dt.datetime) -> None:
        monkeypatch.setattr(Clock, "now", lambda _: now)

    setting(EVENING)
    return setting


def took(bench: Bench, item: str, hour: int, minutes: int, nights: int = 30) -> None:
    """Let an item have run in the nights before, up to a minute longer."""
    with bench.ledger() as ledger, ledger.transaction("nights"):
        for back in range(1, nights + 1):
            slot = to_ms(EVENING.replace(hour=hour) - back * DAY)
            values: dict[str, Any] = {"item": item, "slot": slot, "status": "SUCCESS", "run_id": run_id_of(item, slot)}
            values |= {"trigger": "scheduler", "host": "h", "claimed_at": slot, "attempts": 1, "started_at": slot}
            end = slot + minutes * MINUTE + back % 5 * 15_000
            insert(ledger.db, "slots", {**values, "finished_at": end})


@pytest.fixture
def night(bench: Bench, monkeypatch: pytest.MonkeyPatch, at: Any) -> Bench:
    """An hour of loading after an hour of fetching, and a report that has to be there at one."""
    bench.enter(monkeypatch)
    bench.flow(["true"])
    bench.schedule_of(
        {"id": "fetch", "cron": "0 23 * * *"},
        {"id": "load", "after": "fetch"},
        {"id": "report", "after": "load", "deadline": "01:00"},
        {"id": "other", "cron": "30 23 * * *"},
        {"id": "new", "cron": "45 23 * * *"},
    )
    bench.clock.wall = to_ms(EVENING)
    for item, minutes in (("fetch", 60), ("load", 60), ("report", 5)):
        took(bench, item, 23, minutes)
    took(bench, "other", 23, 1, nights=3)
    return bench


def told(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> str:
    assert main(list(arguments)) == code
    return capsys.readouterr().out


def test_no_end_is_told_where_nothing_has_run(bench: Bench, at: Any, capsys: pytest.CaptureFixture[str]) -> None:
    bench.flow(["true"])
    bench.schedule_of({"id": "new", "cron": "0 23 * * *"})
    out = told(capsys, "forecast", str(bench.file), "--until", "06:00")
    assert "when all is done is not known: the ledger has no run of them" in out
    assert "all is done at" not in out


def test_the_evening(night: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    out = told(capsys, "forecast", "scheduler.yaml", "--until", "06:00", code=1)
    lines = out.splitlines()
    assert lines[0] == (
        "5 slots until Tue 2026-03-03 06:00 +00:00; "
        "all is done at 01:06, in nine nights of ten by 01:08 or later: 1 item never ran"
    )
    assert lines[1].split() == ["ITEM", "SLOT", "STARTS", "ENDS", "LATEST", "RUNS", "NOTE"]
    assert lines[3].split(None, 6) == ["load", "23:00", "00:00", "01:01", "01:02", "30", "waits for fetch: after"]
    assert "LATE: after 01:00 in every night" in out
    assert lines[-2] == "critical path: fetch 23:00-00:00 → load 00:00-01:01 (after) → report 01:01-01:06 (after)"
    assert lines[-1] == (
        "late: report will end at about 01:06, after its deadline, 01:00; it waits for fetch, which ends at about 00:00"
    )


def test_for_machines(night: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads(told(capsys, "forecast", "scheduler.yaml", "--until", "2026-03-03T06:00", "--json", code=1))
    assert (found["schema"], found["ok"], found["until"]) == (1, False, "2026-03-03T06:00:00Z")
    assert [each["item"] for each in found["critical_path"]] == ["fetch", "load", "report"]
    assert found["late"] == [{"item": "report", "slot": "2026-03-02T23:00:00Z"}]
    by_item = {each["item"]: each for each in found["slots"]}
    assert by_item["new"]["runs"] == 0
    assert by_item["new"]["end"]["p90"] == "2026-03-02T23:45:00Z"
    assert by_item["load"]["waits_for"] == {"item": "fetch", "slot": "2026-03-02T23:00:00Z", "reason": "after"}
    assert by_item["report"]["late_share"] == 1
    assert by_item["report"]["late_at"] == "2026-03-03T01:00:00Z"


def test_what_does_not_run_is_left_out(night: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    hold = ["--next", "--reason", "no file"]
    told(capsys, "hold", "scheduler.yaml", "fetch", *hold)
    told(capsys, "skip", "scheduler.yaml", "other", *hold)
    out = told(capsys, "forecast", "scheduler.yaml", "--until", "06:00")
    assert [line.split(",")[0] for line in out.splitlines() if line.startswith("left out")] == [
        f"left out: {item} 2026-03-02T23:{minute}:00Z"
        for item, minute in (("fetch", "00"), ("load", "00"), ("report", "00"), ("other", "30"))
    ]
    assert "left out: load 2026-03-02T23:00:00Z, after fetch: held by" in out


def test_a_run_that_goes_on(night: Bench, capsys: pytest.CaptureFixture[str], at: Any) -> None:
    slot = to_ms(EVENING.replace(hour=23))
    with night.ledger() as ledger, ledger.transaction("running"):
        values = {"item": "fetch", "slot": slot, "status": "RUNNING", "run_id": run_id_of("fetch", slot)}
        values |= {"trigger": "scheduler", "host": "h", "claimed_at": slot, "started_at": slot, "attempts": 1}
        insert(ledger.db, "slots", values)
    at(EVENING.replace(hour=23, minute=50))
    found = json.loads(told(capsys, "forecast", "scheduler.yaml", "--json", code=1))["slots"][0]
    assert (found["item"], found["status"], found["start"]["p50"]) == ("fetch", "RUNNING", "2026-03-02T23:00:00Z")
    assert found["end"]["p50"].startswith("2026-03-03T00:00")
    at(EVENING + dt.timedelta(hours=4))
    late = json.loads(told(capsys, "forecast", "scheduler.yaml", "--json", code=1))["slots"][0]
    assert late["end"]["p50"] > "2026-03-03T02:30", "longer than ever: it is not over at once"


def test_nothing_is_known_yet(bench: Bench, monkeypatch: Any, at: Any, capsys: Any) -> None:
    bench.enter(monkeypatch)
    bench.flow(["true"])
    bench.schedule_of({"id": "a", "cron": "0 4 1 1 *"})
    assert told(capsys, "forecast", "scheduler.yaml") == "0 slots until Tue 2026-03-03 22:00 +00:00\n"
    assert not (bench.folder / "ledger.sqlite").exists()


def test_status_says_what_is_usual(night: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    rows = {line.split()[0]: line for line in told(capsys, "status", "scheduler.yaml").splitlines()[2:]}
    assert "usually 60-61 min" in rows["fetch"]
    assert "usually" not in rows["other"], "three runs are too few"
    items = {each["id"]: each for each in json.loads(told(capsys, "status", "scheduler.yaml", "--json"))["items"]}
    usual = items["fetch"]["usual"]
    assert {name: round(value) for name, value in usual.items()} == {
        "least_seconds": 3599,
        "most_seconds": 3661,
        "runs": 30,
    }
    assert items["new"]["usual"] is None


def outbox(bench: Bench) -> list[tuple[str, dt.datetime, str, str]]:
    rows = bench.rows("SELECT item, slot, event, json_extract(detail, '$.message') FROM outbox ORDER BY seq")
    return [(item, from_ms(slot), event, message) for item, slot, event, message in rows]


def test_who_will_be_late_is_told_of_once(night: Bench) -> None:
    with night.ledger() as ledger:
        look = Forewarning(ledger)
        for _ in range(3):
            look.look(night.load(), night.events())
            night.clock.pass_time(900)
    (found,) = outbox(night)
    assert found[:3] == ("report", EVENING.replace(hour=23), "late")
    assert found[3].startswith("will end at about 2026-03-03T01:06:")
    assert night.told.getvalue().count("report 2026-03-02T23:00:00Z: will end") == 1


def test_the_scheduler_and_a_pass_look_by_themselves(night: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    night.minutes(0.1)
    assert [row[0] for row in outbox(night)] == ["report"]
    told(capsys, "tick", "scheduler.yaml")
    assert [row[0] for row in outbox(night)] == ["report"]


def test_without_deadlines_nothing_is_looked_at(night: Bench) -> None:
    night.schedule_of({"id": "fetch", "cron": "0 23 * * *"})
    with night.ledger() as ledger:
        before = ledger.read("SELECT * FROM meta")
        Forewarning(ledger).look(night.load(), night.events())
        assert ledger.read("SELECT * FROM meta") == before
