"""Items that follow several others, in success or in whatever way they end, on a clock that obeys the test."""

import datetime as dt
from typing import TYPE_CHECKING, Any

import pytest

from aetherflow.scheduler.audit.audit import audit
from aetherflow.scheduler.audit.needs import needs_of
from aetherflow.scheduler.audit.status import status_of
from aetherflow.scheduler.cli import main
from aetherflow.scheduler.ledger.truth import truth_of

if TYPE_CHECKING:
    from scheduler_bench import Bench

A = {"id": "a", "cron": "1 12 * * *"}
B = {"id": "b", "cron": "1 12 * * *"}


def night(bench: "Bench", codes: dict[str, list[int]], seconds: dict[str, float], **more: Any) -> None:
    bench.schedule_of(A, B, {"id": "c", "after": ["a", "b"], **more})
    bench.launcher.codes, bench.launcher.seconds = codes, seconds


def test_it_starts_when_the_last_of_them_has_ended(bench: "Bench") -> None:
    night(bench, {}, {"a": 5, "b": 30})
    bench.minutes(2)
    assert set(bench.slots().values()) == {"SUCCESS"}
    ends, starts = dict(bench.launcher.lines("done")), dict(bench.launcher.lines("start"))
    assert starts["c-20260302T120100Z"] >= max(ends["a-20260302T120100Z"], ends["b-20260302T120100Z"])


def test_the_ledger_and_status_say_what_it_waits_for(bench: "Bench") -> None:
    night(bench, {"a": [1]}, {"a": 2, "b": 600})
    bench.clock.at(dt.timedelta(minutes=1), lambda: None)
    told: list[str | None] = []

    def look() -> None:
        told.append(bench.reasons("c")["12:01"])
        with bench.ledger() as ledger:
            (row,) = next(each.active for each in status_of(bench.load(), ledger).items if each.item.id == "c")
            told.append(f"{row.status}, {row.reason}")
            found = audit(bench.load(), ledger, None, bench.clock.now(), led=True)
        told.extend(row.reason for row in found.waiting)

    bench.clock.at(dt.timedelta(seconds=50), look)
    bench.minutes(1.5)
    why = "after a: FAILED, b: RUNNING"
    assert told == [why, f"WAITING, {why}", why]


@pytest.mark.parametrize(
    ("codes", "status", "reason"),
    [
        ({"a": [1]}, "SKIPPED", "after a: FAILED"),
        ({"b": [1]}, "SKIPPED", "after b: FAILED"),
        ({"a": [1], "b": [1]}, "SKIPPED", "after a: FAILED, b: FAILED"),
        ({}, "SUCCESS", None),
    ],
)
def test_one_that_fails_is_enough(bench: "Bench", codes: Any, status: str, reason: str | None) -> None:
    night(bench, codes, {})
    bench.minutes(2)
    assert (bench.slots("c"), bench.reasons("c")) == ({"12:01": status}, {"12:01": reason})


@pytest.mark.parametrize("after", ["a", ["a"], ["a", "b"]])
def test_any_end_is_enough_if_that_is_wanted(bench: "Bench", after: Any) -> None:
    bench.schedule_of(A, B, {"id": "c", "after": after, "after_status": "any"})
    bench.launcher.codes, bench.launcher.seconds = {"a": [1]}, {"a": 20, "b": 30}
    bench.minutes(2)
    assert (bench.slots("a"), bench.slots("c")) == ({"12:01": "FAILED"}, {"12:01": "SUCCESS"})
    ends = [at for run_id, at in bench.launcher.lines("done") if run_id.startswith("b-")] if "b" in after else [""]
    assert dict(bench.launcher.lines("start"))["c-20260302T120100Z"] >= max([*ends, "2026-03-02T12:01:20"])
    with bench.ledger() as ledger:
        needs = needs_of(ledger, truth_of(bench.load()), bench.file)
    assert [(need.row.item, need.holds_up) for need in needs] == [("a", ())]


def test_other_times_follow_the_latest_slot_of_each(bench: "Bench") -> None:
    """As with one: the slots that count are the last ones up to its own."""
    hourly, daily = {"id": "a", "cron": "*/2 * * * *"}, {"id": "b", "cron": "1 12 * * *"}
    bench.schedule_of(hourly, daily, {"id": "c", "cron": "3 12 * * *", "after": ["a", "b"]})
    bench.launcher.seconds = {"b": 200}
    bench.minutes(6)
    assert bench.slots("c") == {"12:03": "SUCCESS"}
    starts, ends = dict(bench.launcher.lines("start")), dict(bench.launcher.lines("done"))
    assert starts["c-20260302T120300Z"] >= ends["b-20260302T120100Z"]


def heal(bench: "Bench", *items: str) -> None:
    """A person resumes runs, and the scheduler sees it."""
    for name in items:
        bench.launcher.codes.pop(name, None)
        with bench.ledger() as ledger, ledger.transaction("as run-item leaves it"):
            ledger.db.execute("UPDATE slots SET status='WAITING', finished_at=NULL WHERE item=?", (name,))
    bench.minutes(0.5)


def test_both_have_to_be_healed(bench: "Bench") -> None:
    night(bench, {"a": [1], "b": [1]}, {})
    bench.minutes(1.5)
    assert bench.slots("c") == {"12:01": "SKIPPED"}
    heal(bench, "a")
    assert bench.rows("SELECT status, reason_code FROM slots WHERE item='c'") == [("SKIPPED", "after")]
    heal(bench, "b")
    assert bench.slots("c") == {"12:01": "SUCCESS"}


def test_what_may_run_again_is_told_when_all_are_well(bench: "Bench", capsys: pytest.CaptureFixture[str]) -> None:
    """Also by a ledger in which nobody has written that down: `status` looks at the runs of both."""
    night(bench, {"a": [1], "b": [1]}, {}, misfire_grace_time=10)
    bench.minutes(1.5)
    main(["status", str(bench.file)])
    assert capsys.readouterr().out.count("holds up c") == 2
    heal(bench, "a", "b")
    assert bench.rows("SELECT status, reason_code FROM slots WHERE item='c'") == [("SKIPPED", "after_healed")]
    main(["audit", str(bench.file), "--to", "2026-03-02T13:00Z"])
    assert "after b, which has succeeded since" in capsys.readouterr().out


def test_changing_what_follows_begins_a_new_epoch_and_misses_nothing(bench: "Bench") -> None:
    bench.schedule_of(A, B, {"id": "c", "after": "a"})
    bench.minutes(1)
    bench.schedule_of(A, B, {"id": "c", "after": ["a", "b"], "after_status": "any"})
    bench.minutes(1)
    stored = [row[0] for row in bench.rows("SELECT definition FROM epochs WHERE item='c' ORDER BY id")]
    assert stored == [
        '{"after": "a", "cron": "1 12 * * *", "timezone": "UTC"}',
        '{"after": ["a", "b"], "after_status": "any", "cron": "1 12 * * *", "timezone": "UTC"}',
    ]
    assert bench.slots("c") == {"12:01": "SUCCESS"}
