"""`hold`, `skip` and `release` of one slot, and `ack --until`, on a clock that obeys the test."""

import datetime as dt
import json
from typing import Any

import pytest

from aetherflow.scheduler.cli import main
from aetherflow.scheduler.errors import HeldError
from aetherflow.scheduler.loop.single import run_item
from aetherflow.scheduler.loop.tick import tick
from aetherflow.scheduler.runs.dispatcher import Dispatcher
from aetherflow.scheduler.time import clock as clocks
from scheduler_bench import Bench

SINCE = "2026-03-02T12:01:00Z"
A = {"id": "a", "cron": "*/2 * * * *", "since": SINCE}
B = {"id": "b", "after": "a", "since": SINCE}
FIRST = "2026-03-02T12:02:00Z"


@pytest.fixture(autouse=True)
def _one_clock(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.flow(["true"])
    monkeypatch.setattr(clocks, "Clock", lambda: bench.clock)
    monkeypatch.setenv("AETHERFLOW_STATE_ROOT", str(bench.folder / "state"))
    assert Dispatcher.__init__.__kwdefaults__ is not None
    monkeypatch.setitem(Dispatcher.__init__.__kwdefaults__, "launchers", lambda _: bench.launcher)


@pytest.fixture
def said(bench: Bench, capsys: pytest.CaptureFixture[str]) -> Any:
    """Gives what a command prints; `code` is how it has to end."""

    def command(*words: str, code: int = 0) -> str:
        capsys.readouterr()
        assert main([words[0], str(bench.file), *words[1:]]) == code
        told = capsys.readouterr()
        return told.out if code == 0 else told.out + told.err

    return command


def one_pass(bench: Bench) -> None:
    tick(bench.load(), quiet=True, clock=bench.clock, events=bench.events())


def at(bench: Bench, minute: int, second: int = 5) -> None:
    """Let the clock be 12:minute:second."""
    wanted = dt.datetime(2026, 3, 2, 12, minute, second, tzinfo=dt.UTC)
    bench.clock.pass_time((wanted - bench.clock.now()).total_seconds())


def test_a_held_slot_is_shown_and_not_started_until_it_is_released(bench: Bench, said: Any) -> None:
    bench.schedule_of(A, B)
    assert said("hold", "a", "--next", "--reason", "the bank is late") == f"a {FIRST} is held: the bank is late\n"
    ((item, verb, actor, host, reason, until),) = bench.rows("SELECT item, verb, actor, host, reason, until FROM acts")
    assert (item, verb, reason, until) == ("a", "hold", "the bank is late", None)
    assert actor
    assert host
    why = f"held by {actor}: the bank is late"
    assert why in said("next", "a", "--from", FIRST, "--until", "2026-03-02T12:03")
    assert f"{FIRST} {why}" in said("status")
    bench.minutes(2)  # up to 12:02:30
    assert bench.slots() == {"a 12:02": "WAITING", "b 12:02": "WAITING"}
    assert bench.reasons("a") == {"12:02": why}
    report = json.loads(said("audit", "--json", "--to", "2026-03-02T13:00Z"))
    assert [(each["verb"], each["slot"], each["reason"]) for each in report["acts"]] == [
        ("hold", FIRST, "the bank is late")
    ]
    assert why in said("audit", "--to", "2026-03-02T13:00Z")
    told = said("release", "a", "--next", "--reason", "it is there")
    again = f"aetherflow-scheduler run-item {bench.file} a --slot {FIRST}"
    assert told == (
        f"a {FIRST} is released: it is there\nno scheduler runs: `tick` or the next trigger starts it, or: {again}\n"
    )
    assert bench.reasons("a") == {"12:02": None}
    bench.minutes(0.5)
    assert bench.slots() == {"a 12:02": "SUCCESS", "b 12:02": "SUCCESS"}
    journal = bench.rows("SELECT event, item, json_extract(detail, '$.reason') FROM journal WHERE event<>'epoch'")
    assert [row for row in journal if row[1]] == [("hold", "a", "the bank is late"), ("release", "a", "it is there")]


@pytest.mark.parametrize("misfire", ["skip", "last"])
def test_a_hold_that_ends_lets_it_start_however_late(bench: Bench, said: Any, misfire: str) -> None:
    """Also where nobody was there before its end: how late it is counts from there."""
    bench.schedule_of({**A, "cron": "2 * * * *", "misfire": misfire, "misfire_grace_time": 60})
    said("hold", "a", "--next", "--reason", "r", "--until", "12:30")
    at(bench, 30, 20)
    one_pass(bench)
    assert bench.slots("a") == {"12:02": "SUCCESS"}


def test_one_that_nobody_started_after_its_hold_is_missed(bench: Bench, said: Any) -> None:
    bench.schedule_of({**A, "cron": "2 * * * *", "misfire": "skip", "misfire_grace_time": 60})
    said("hold", "a", "--next", "--reason", "r", "--until", "10m")
    at(bench, 30)
    one_pass(bench)
    assert bench.reasons("a") == {"12:02": "not started in time: 19 min late (misfire: skip)"}


def test_it_waits_while_it_is_held_whatever_the_grace_is(bench: Bench, said: Any) -> None:
    bench.schedule_of({**A, "cron": "2 * * * *", "misfire": "skip", "misfire_grace_time": 60})
    said("hold", "a", "--next", "--reason", "r")
    at(bench, 50)
    one_pass(bench)
    assert bench.slots("a") == {"12:02": "WAITING"}
    assert json.loads(said("audit", "--json", "--to", "2026-03-02T13:00Z"))["gaps"] == []


@pytest.mark.parametrize("overlap", ["skip", "queue", "kill_old", "allow"])
def test_other_slots_do_not_wait_for_one_that_is_held(bench: Bench, said: Any, overlap: str) -> None:
    bench.schedule_of({**A, "overlap": overlap})
    bench.launcher.seconds = {"a": 30}
    said("hold", "a", "--next", "--reason", "r")
    # released while the next one runs, it is not left out for that: it waits, or starts beside it
    late = dt.timedelta(minutes=3, seconds=40)
    bench.clock.at(late, lambda: said("release", "a", "--next", "--reason", "x"))
    bench.minutes(4.9)
    assert bench.slots("a") == {"12:02": "SUCCESS", "12:04": "SUCCESS"}


def test_a_skipped_slot_is_left_out_with_what_follows_it(bench: Bench, said: Any) -> None:
    bench.schedule_of(A, B)
    said("skip", "a", "--slot", FIRST, "--reason", "no deliveries")
    assert json.loads(said("next", "a", "--from", FIRST, "--until", "2026-03-02T12:03", "--json"))["slots"][0][
        "skipped"
    ].endswith(": no deliveries")
    bench.minutes(2)
    assert bench.slots() == {"a 12:02": "SKIPPED", "b 12:02": "SKIPPED"}
    assert bench.rows("SELECT reason_code FROM slots ORDER BY item") == [("skipped",), ("after",)]
    assert "has ended: SKIPPED, skipped by" in said("release", "a", "--slot", FIRST, "--reason", "x", code=2)
    span = ("--from", FIRST, "--to", "2026-03-02T12:03", "--include", "missing", "--dry-run")
    assert said("backfill", "a", *span).endswith("0 slots of a would run\n")
    assert bench.launcher.started() == []
    run_item(bench.load(), "a", slot=dt.datetime.fromisoformat(FIRST), clock=bench.clock, events=bench.events())
    assert bench.slots("a")["12:02"] == "SUCCESS"


def test_one_that_waits_is_skipped_at_once(bench: Bench, said: Any) -> None:
    bench.schedule_of({**A, "cron": "2 * * * *"})
    said("hold", "a", "--next", "--reason", "r")
    at(bench, 2)
    one_pass(bench)
    assert said("skip", "a", "--next", "--reason", "too late") == f"a {FIRST} is skipped: too late\n"
    assert bench.slots("a") == {"12:02": "SKIPPED"}
    assert "no slot of a is held or skipped" in said("release", "a", "--next", "--reason", "x", code=2)


def test_what_was_said_for_a_time_is_over_then(bench: Bench, said: Any) -> None:
    bench.schedule_of({**A, "misfire": "last"})
    said("skip", "a", "--slot", FIRST, "--reason", "r", "--until", "2026-03-02T12:02:30")
    at(bench, 3)
    assert "skipped" not in said("status")
    one_pass(bench)
    assert bench.slots("a") == {"12:02": "SUCCESS"}


def test_next_goes_on_behind_what_is_skipped_already(bench: Bench, said: Any) -> None:
    bench.schedule_of(A)
    assert FIRST in said("skip", "a", "--next", "--reason", "r")
    assert "12:04:00Z" in said("skip", "a", "--next", "--reason", "r")
    assert FIRST in said("hold", "a", "--next", "--reason", "r")
    assert FIRST in said("release", "a", "--next", "--reason", "r")
    assert "12:04:00Z" in said("release", "a", "--next", "--reason", "r")


def test_run_item_by_hand_says_what_to_do(bench: Bench, said: Any) -> None:
    bench.schedule_of(A)
    said("hold", "a", "--next", "--reason", "the bank is late")
    at(bench, 2)
    with pytest.raises(HeldError) as error:
        run_item(bench.load(), "a", clock=bench.clock, events=bench.events())
    assert (error.value.code, error.value.exit_code) == ("AF8015", 3)
    assert f"the slot {FIRST} of a is held by" in str(error.value)
    assert error.value.fix is not None
    assert f"aetherflow-scheduler release {bench.file} a --slot {FIRST} --reason TEXT" in error.value.fix
    assert bench.launcher.started() == []


@pytest.mark.parametrize("trigger", ["cron", "systemd", "kubernetes"])
def test_a_trigger_waits_for_the_end_of_the_hold(bench: Bench, said: Any, trigger: str) -> None:
    bench.schedule_of(A)
    said("hold", "a", "--next", "--reason", "r", "--until", "2026-03-02T12:02:30")
    at(bench, 2)
    done = run_item(bench.load(), "a", trigger=trigger, clock=bench.clock, events=bench.events())
    assert (done.ran, done.exit_code, bench.slots("a")) == (True, 0, {"12:02": "SUCCESS"})
    assert bench.launcher.lines("start")[0][1] >= "2026-03-02T12:02:30"


def test_a_trigger_of_a_skipped_slot_does_nothing(bench: Bench, said: Any) -> None:
    bench.schedule_of(A)
    said("skip", "a", "--next", "--reason", "r")
    bench.clock.pass_time(85)  # 12:01:55, a trigger that is a little early
    done = run_item(bench.load(), "a", trigger="cron", clock=bench.clock, events=bench.events())
    assert (done.ran, done.exit_code, bench.slots("a")) == (False, 0, {"12:02": "SKIPPED"})


@pytest.mark.parametrize(
    ("words", "told", "fix"),
    [
        (("a",), "which slot is meant is not said", "give one of --slot TIME and --next"),
        (("a", "--next", "--slot", FIRST), "which slot is meant is not said", "give one of"),
        (("x", "--next"), "item 'x'", ""),
        (
            ("a", "--slot", "2026-03-02T12:03Z"),
            "2026-03-02T12:03:00Z is no slot of a",
            f"{FIRST} and 2026-03-02T12:04:00Z",
        ),
        (("a", "--slot", "2026-03-02T11:58Z"), "2026-03-02T11:58:00Z of a is over", "aetherflow-scheduler next FILE a"),
        (("off", "--next"), "'off' is not enabled", "enable it"),
        (("a", "--slot", FIRST, "--until", "2026-03-02T12:01"), "it would change nothing", "later time"),
        (("a", "--slot", FIRST, "--until", "soon"), "--until 'soon' is no time", ""),
        (("a", "--slot", FIRST, "--until", "2026-03-02T11:00"), "is over already", "2h, 08:00"),
    ],
)
@pytest.mark.parametrize("verb", ["hold", "skip"])
def test_what_cannot_be_done_is_refused(
    bench: Bench, said: Any, verb: str, words: tuple[str, ...], told: str, fix: str
) -> None:
    bench.schedule_of(A, {"id": "off", "cron": "* * * * *", "enabled": False})
    out = said(verb, *words, "--reason", "r", code=2)
    assert told in out
    assert fix.replace("FILE", str(bench.file)) in out
    assert not (bench.folder / "ledger.sqlite").exists() or bench.rows("SELECT * FROM acts") == []


@pytest.mark.parametrize(
    ("status", "attempts", "told", "fix"),
    [
        ("UNKNOWN", 1, "has started, and is UNKNOWN", "aetherflow resume a-20260302T120200Z"),
        ("INTERRUPTED", 1, "has started, and is INTERRUPTED", "aetherflow resume a-20260302T120200Z"),
        ("WAITING", 1, "has started, and is WAITING", "aetherflow resume a-20260302T120200Z"),
        ("RUNNING", 1, "has started: its run is a-20260302T120200Z", "aetherflow-scheduler status"),
        ("SUCCESS", 1, "has ended: SUCCESS", "aetherflow-scheduler next"),
        ("MISSED", 0, "has ended: MISSED", "aetherflow-scheduler next"),
    ],
)
@pytest.mark.parametrize("verb", ["hold", "skip"])
def test_what_has_started_is_not_touched(
    bench: Bench, said: Any, verb: str, status: str, attempts: int, told: str, fix: str
) -> None:
    """Left out, nobody would look at a `once` step that was cut off."""
    bench.schedule_of(A)
    at(bench, 2)
    one_pass(bench)
    with bench.ledger() as ledger, ledger.transaction("as it may be"):
        ledger.db.execute("UPDATE slots SET status=?, attempts=?", (status, attempts))
    out = said(verb, "a", "--slot", FIRST, "--reason", "r", code=2)
    assert told in out
    assert fix in out
    assert bench.rows("SELECT status FROM slots") == [(status,)]


def test_acknowledged_slots_need_a_person_again_after_a_time(bench: Bench, said: Any) -> None:
    bench.schedule_of({**A, "cron": "2 * * * *", "misfire": "skip", "misfire_grace_time": 60})
    at(bench, 10)
    one_pass(bench)
    assert "1 needs a person" in said("status", code=1)
    told = said("ack", "a", "--slot", FIRST, "--reason", "ticket", "--until", "30m")
    assert told == "1 missed slots of a need nobody until 2026-03-02T12:40:05Z: ticket\n"
    assert "needs a person" not in said("status")
    assert "acknowledged" in said("audit", "--to", "2026-03-02T13:00Z")
    at(bench, 41)
    assert "1 needs a person" in said("status", code=1)
    assert "1 MISSED" in said("audit", "--to", "2026-03-02T13:00Z", code=1)
    said("ack", "a", "--slot", FIRST, "--reason", "for good")
    assert "needs a person" not in said("status")


def test_pruned_slots_take_their_acts_along(bench: Bench, said: Any) -> None:
    bench.schedule_of(A)
    said("hold", "a", "--next", "--reason", "r", "--until", "2026-03-02T12:02:30")
    bench.minutes(6)
    bench.clock.pass_time(3 * 86_400)
    said("prune", "--before", "2026-03-04")
    assert "12:02" not in bench.slots("a")
    assert bench.rows("SELECT * FROM acts") == []
