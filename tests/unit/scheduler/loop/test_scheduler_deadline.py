"""`deadline`: a time of day by which a slot has to have ended."""

import datetime as dt
from typing import TYPE_CHECKING
from unittest.mock import Mock
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aetherflow.scheduler.schedule.slots import late_at
from aetherflow.scheduler.time.clock import from_ms, to_ms
from aetherflow.scheduler.time.parsing import read_time

if TYPE_CHECKING:
    from scheduler_bench import Bench


def test_it_is_late_from_then_on_and_told_once(bench: "Bench") -> None:
    bench.schedule_of({"id": "a", "cron": "1 12 * * *", "deadline": "12:02"}, {"id": "b", "after": "a"})
    bench.launcher.seconds = {"a": 100}
    seen: list[list[tuple[int]]] = []
    for seconds in (80, 95):  # it is 12:01:50, 12:02:05
        bench.clock.at(dt.timedelta(seconds=seconds), lambda: seen.append(bench.rows("SELECT late FROM slots")))
    bench.minutes(3)
    assert seen == [[(0,), (0,)], [(1,), (0,)]]
    assert bench.rows("SELECT item, status, late FROM slots") == [("a", "SUCCESS", 1), ("b", "SUCCESS", 0)]
    assert bench.told.getvalue().count("a 2026-03-02T12:01:00Z: has not ended by its deadline, 12:02") == 1


@pytest.mark.parametrize("own", [{"deadline": "12:03"}, {"late_after_seconds": 120}])
@pytest.mark.parametrize("default", [{"deadline": "12:02"}, {"late_after_seconds": 10}])
def test_one_of_its_own_takes_the_place_of_the_other(
    bench: "Bench", own: dict[str, object], default: dict[str, object]
) -> None:
    bench.schedule_of({"id": "a", "cron": "1 12 * * *", **own}, defaults=default)
    found = late_at(bench.load().items[0], to_ms(dt.datetime(2026, 3, 2, 12, 1, tzinfo=dt.UTC)))
    assert found is not None
    assert from_ms(found[0]) == dt.datetime(2026, 3, 2, 12, 3, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("slot", "deadline", "late"),
    [
        ("2026-01-15T02:30", "06:00", "2026-01-15T06:00"),
        ("2026-01-15T22:00", "6:00", "2026-01-16T06:00"),
        ("2026-01-15T06:00", "06:00", "2026-01-16T06:00"),  # it may need its time
        ("2026-03-28T23:00", "02:30", "2026-03-29T03:00"),  # that time does not exist
        ("2026-10-24T23:00", "02:30", "2026-10-25T02:30+02:00"),  # it comes twice
        ("2026-10-24T23:00", "06:00", "2026-10-25T06:00"),  # an hour later than on other nights
    ],
)
def test_it_is_the_next_such_time_in_the_zone_of_the_item(bench: "Bench", slot: str, deadline: str, late: str) -> None:
    zone = ZoneInfo("Europe/Berlin")
    bench.schedule_of({"id": "a", "cron": "0 0 * * *", "deadline": deadline, "timezone": zone.key})
    at = dt.datetime.fromisoformat(slot).replace(tzinfo=zone)
    found = late_at(bench.load().items[0], to_ms(at))
    wanted = dt.datetime.fromisoformat(late)
    assert found is not None
    assert from_ms(found[0]) == (wanted if wanted.tzinfo else wanted.replace(tzinfo=zone))


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(["Europe/Berlin", "Africa/Cairo", "Australia/Lord_Howe"]), st.integers(0, 1439), st.integers())
def test_it_is_the_first_minute_after_the_slot_that_shows_the_time(name: str, minute: int, number: int) -> None:
    """By looking at each minute; where the clock jumps over it, the first one after the jump."""
    zone, text = ZoneInfo(name), f"{minute // 60:02}:{minute % 60:02}"
    slot = dt.datetime(2026, 1, 1, tzinfo=dt.UTC) + dt.timedelta(minutes=number % (365 * 1440))
    item = Mock(spec=["spec", "deadline", "zone"], deadline=read_time(text), zone=zone)
    found = late_at(item, to_ms(slot))
    assert found is not None
    before, at = slot.astimezone(zone).replace(tzinfo=None), slot
    while True:
        at += dt.timedelta(minutes=1)
        local = at.astimezone(zone).replace(tzinfo=None)
        wanted = dt.datetime.combine(local.date(), dt.time(*divmod(minute, 60)))
        again = at.astimezone(zone).fold == 1  # of a time that comes twice the first one counts
        if before < wanted <= local and not again:
            break
        before = local
    assert from_ms(found[0]) == at
