"""Items whose definition, or first instant, changes; and definitions of a clock that was ahead."""

import datetime as dt
import json
from typing import TYPE_CHECKING

import pytest
from scheduler_redefined import MINUTELY, OTHERWISE, gaps

if TYPE_CHECKING:
    from scheduler_bench import Bench


@pytest.mark.parametrize(
    ("misfire", "statuses"),
    [("last", ["MISSED"] * 3 + ["SUCCESS"]), ("all", ["MISSED", "SUCCESS", "MISSED", "SUCCESS"])],
)
def test_policies_decide_about_slots_that_both_definitions_have(
    bench: "Bench", misfire: str, statuses: list[str]
) -> None:
    bench.schedule_of({**MINUTELY, "misfire": misfire, "overlap": "queue"})
    bench.minutes(1)
    bench.clock.pass_time(4 * 60)
    bench.schedule_of({"id": "a", "cron": "*/2 * * * *", "misfire": misfire, "overlap": "queue"})
    bench.minutes(0.3)
    assert [bench.slots("a")[f"12:0{n}"] for n in (3, 2, 5, 4)] == statuses
    assert bench.reasons("a")["12:03"] == "the schedule of the item was changed"
    assert gaps(bench) == []


def test_what_is_due_while_the_file_is_read_again_runs(bench: "Bench", monkeypatch: pytest.MonkeyPatch) -> None:
    bench.schedule_of({"id": "a", "cron": "*/5 * * * *"})
    changed = [bench.load()]
    bench.schedule_of(MINUTELY)
    made = bench.scheduler()
    # it is read in the very pass in which the slot of 12:01 comes due
    monkeypatch.setattr(
        made._reloading, "look", lambda: changed.pop() if changed and bench.clock.now().minute else None
    )
    bench.clock.until = bench.clock.mono + 130
    bench.clock.at_end = made.stop.stop
    assert made.run() == 0
    assert bench.slots("a") == {"12:01": "SUCCESS"}
    assert json.loads(bench.rows("SELECT definition FROM epochs WHERE until IS NULL")[0][0])["cron"] == "*/5 * * * *"


def test_a_later_since_of_a_known_item_has_effect(bench: "Bench") -> None:
    bench.schedule_of(MINUTELY)
    bench.minutes(1)
    bench.schedule_of({**MINUTELY, "since": "2026-03-02T12:04:00Z"})
    bench.minutes(4)
    assert bench.slots("a") == {"12:01": "SUCCESS", "12:04": "SUCCESS", "12:05": "SUCCESS"}
    assert gaps(bench) == []


@pytest.mark.parametrize("since", ["2026-03-02T12:03:00Z", None])
def test_a_since_that_lay_ahead_is_taken_back(bench: "Bench", since: str | None) -> None:
    bench.schedule_of({**MINUTELY, "since": "2026-04-01"})
    bench.minutes(1)
    bench.schedule_of({**MINUTELY, **({"since": since} if since else {})})
    bench.minutes(3)
    assert bench.slots("a") == {f"12:0{n}": "SUCCESS" for n in ((3, 4) if since else (2, 3, 4))}
    assert gaps(bench) == []


def test_an_earlier_since_of_a_known_item_has_effect(bench: "Bench") -> None:
    bench.schedule_of(MINUTELY)
    bench.minutes(1)
    bench.schedule_of({**MINUTELY, "since": "2026-03-02T11:58:00Z"})
    bench.minutes(1)
    bench.minutes(1)
    missed = {"11:58": "MISSED", "11:59": "MISSED", "12:00": "MISSED"}
    assert bench.slots("a") == missed | {f"12:0{n}": "SUCCESS" for n in (1, 2, 3)}
    assert bench.reasons("a")["11:58"] == "since was set to an earlier time"
    assert bench.told.getvalue().count("are expected now, and were missed") == 1
    assert gaps(bench) == []
    assert len(bench.rows("SELECT 1 FROM epochs")) == 2


def test_an_earlier_since_leaves_out_what_the_calendar_does(bench: "Bench") -> None:
    daily = {"id": "a", "cron": "0 6 * * *", "calendar": {"business_days": True}}
    bench.schedule_of(daily)
    bench.minutes(1)
    bench.schedule_of({**daily, "since": "2026-02-27"})
    bench.minutes(1)
    found = [status for (status,) in bench.rows("SELECT status FROM slots ORDER BY slot")]
    assert found == ["MISSED", "SKIPPED", "SKIPPED", "MISSED"]  # from Friday to Monday
    assert gaps(bench) == []


# A clock that was ahead


@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize("live", [False, True])
def test_items_that_were_seen_by_a_clock_that_was_ahead(bench: "Bench", known: bool, live: bool) -> None:
    if known:
        bench.schedule_of(OTHERWISE)
        bench.minutes(1)
    bench.schedule_of(MINUTELY)
    bench.clock.wall += 86_400_000

    def back() -> None:
        bench.clock.wall -= 86_400_000

    if live:
        bench.clock.at(dt.timedelta(seconds=20), back)
        bench.minutes(2)
    else:
        bench.minutes(0.3)
        back()
    bench.minutes(2)
    query = "SELECT status FROM slots WHERE slot BETWEEN ? AND ? ORDER BY slot"
    ran = [status for (status,) in bench.rows(query, bench.clock.wall - 119_000, bench.clock.wall)]
    assert ran == ["SUCCESS"] * 2
    assert gaps(bench) == []
    assert bench.rows("SELECT count(*) FROM epochs WHERE since>? OR until>?", *[bench.clock.wall] * 2) == [(0,)]


@pytest.mark.parametrize("change", ["removed", "disabled"])
def test_an_item_that_went_while_the_clock_was_ahead(bench: "Bench", change: str) -> None:
    other = {"id": "b", "cron": "* * * * *"}
    bench.schedule_of(MINUTELY, other)
    bench.minutes(1)
    bench.clock.wall += 86_400_000
    bench.schedule_of(other, *([{**MINUTELY, "enabled": False}] if change == "disabled" else []))
    bench.minutes(0.3)
    bench.clock.wall -= 86_400_000
    bench.minutes(1)
    bench.clock.pass_time(1200)
    assert gaps(bench) == []  # nothing is expected of it for the day that did not come
    assert bench.rows("SELECT count(*) FROM epochs WHERE until>?", bench.clock.wall) == [(0,)]
