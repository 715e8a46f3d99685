"""Items that follow several others, in success or in whatever way they end, on a clock that obeys the test."""

import datetime as dt
import os
import tempfile
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aetherflow.scheduler.audit.audit import audit
from aetherflow.scheduler.audit.needs import needs_of
from aetherflow.scheduler.audit.status import status_of
from aetherflow.scheduler.cli import main
from aetherflow.scheduler.ledger.truth import truth_of
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


@st.composite
def nights(draw: st.DrawFn) -> list[tuple[dict[str, Any], int, float]]:
    """Items, of which each may follow some of those before it, with the exit code and the duration of their runs."""
    found: list[tuple[dict[str, Any], int, float]] = []
    for number in range(draw(st.integers(2, 7))):
        before = [item["id"] for item, _, _ in found]
        after = draw(st.lists(st.sampled_from(before), max_size=3, unique=True)) if before else []
        item: dict[str, Any] = {
            "id": f"i{number}",
            "after": after,
            "after_status": draw(st.sampled_from(["success", "any"])),
        }
        if not after or draw(st.booleans()):
            item["cron"] = "1 12 * * *"
        found.append((item, draw(st.sampled_from([0, 0, 1])), draw(st.sampled_from([1, 3, 9]))))
    return found


@settings(max_examples=15 if os.environ.get("AETHERFLOW_TORTURE_TIER", "T0") == "T0" else 500, deadline=None)
@given(nights(), st.randoms(use_true_random=False))
def test_a_night_ends_as_looking_at_one_item_after_the_other_says(
    night: list[tuple[dict[str, Any], int, float]], order: Random
) -> None:
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None) as folder:
        bench = Bench(Path(folder))
        items = [item for item, _, _ in night]
        order.shuffle(items)
        bench.schedule_of(*items, max_running=10)
        bench.launcher.codes = {item["id"]: [code] for item, code, _ in night if code}
        bench.launcher.seconds = {item["id"]: seconds for item, _, seconds in night}
        bench.minutes(3)
        wanted: dict[str, str] = {}
        ends: dict[str, float] = {}
        starts = {
            run_id.partition("-")[0]: dt.datetime.fromisoformat(at) for run_id, at in bench.launcher.lines("start")
        }
        for item, code, seconds in night:
            name, others = item["id"], item["after"]
            held = item["after_status"] == "success" and any(wanted[each] != "SUCCESS" for each in others)
            wanted[name] = "SKIPPED" if held else "FAILED" if code else "SUCCESS"
            assert (name in starts) == (not held)
            begin = max((ends[each] for each in others), default=0.0)
            if name in starts:
                assert starts[name].timestamp() >= begin
                begin = starts[name].timestamp() + seconds
            ends[name] = begin
        assert bench.slots() == {f"{name} 12:01": status for name, status in wanted.items()}
