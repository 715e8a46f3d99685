"""Days that a calendar chooses, `roll` and `nth`, against a model that looks at one day after the other."""

import datetime as dt
import os
from bisect import bisect_left
from collections.abc import Iterator
from zoneinfo import ZoneInfo

from hypothesis import example, given, settings
from hypothesis import strategies as st

from aetherflow.scheduler.schedule.calendars import LAST, Days, Roll, cron_of, rolled_from
from aetherflow.scheduler.time.cron import Cron

EFFORT = settings(max_examples=20 if os.environ.get("AETHERFLOW_TORTURE_TIER", "T0") == "T0" else 2_000, deadline=None)
DAY = dt.timedelta(days=1)
FIRST, LAST_DAY = dt.date(2027, 1, 1), dt.date(2028, 12, 31)
FAR = 200
"""Days around the span, in which there is always one on which slots run."""
CRONS = (
    "0 6 * * *",
    "30 2 * * *",
    "0 6,18 1 * *",
    "15 23 31 * *",
    "0 0 1,15 * *",
    "0 6 * * sat",
    "*/20 9 28-31 1 *",
)
ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Africa/Cairo", "Pacific/Apia")
ROLLS = st.sampled_from(["before", "after", "nearest"])
days_of_span = st.dates(FIRST - 90 * DAY, LAST_DAY + 90 * DAY)
long_holidays = st.builds(lambda day, most: {day + n * DAY for n in range(most)}, days_of_span, st.integers(1, 45))
holidays = st.tuples(st.sets(days_of_span, max_size=40), st.lists(long_holidays, max_size=3)).map(
    lambda each: frozenset(each[0].union(*each[1]))
)


def runs(day: dt.date, business_days: bool, free: frozenset[dt.date]) -> bool:
    return day not in free and not (business_days and day.isoweekday() in (6, 7))


def rolled(day: dt.date, roll: Roll, business_days: bool, free: frozenset[dt.date]) -> dt.date:
    """Where a day goes, by looking at the days around it, the nearest first; of two that are as near the later one."""
    for distance in range(FAR):
        for other in (day + distance * DAY, day - distance * DAY):
            right = {"before": other <= day, "after": other >= day, "nearest": True}[roll]
            if right and runs(other, business_days, free):
                return other
    raise AssertionError("there is no such day")


def slots(cron: Cron, zone: ZoneInfo) -> list[dt.datetime]:
    start = dt.datetime.combine(FIRST, dt.time(), zone).astimezone(dt.UTC)
    end = dt.datetime.combine(LAST_DAY + DAY, dt.time(), zone).astimezone(dt.UTC)
    return list(cron.between(start, end, zone))


def all_days(margin: int = 0) -> Iterator[dt.date]:
    day = FIRST - margin * DAY
    while day <= LAST_DAY + margin * DAY:
        yield day
        day += DAY


def of_days(text: str, zone: ZoneInfo, wanted: set[dt.date]) -> list[dt.datetime]:
    """The slots that the expression has when its times come every day, of some days."""
    every_day = Cron.parse(f"{' '.join(text.split()[:2])} * * *")
    return [at for at in slots(every_day, zone) if at.astimezone(zone).date() in wanted]


@EFFORT
@given(text=st.sampled_from(CRONS), roll=ROLLS, business_days=st.booleans(), free=holidays)
@example(
    text="0 6 * * *", roll="nearest", business_days=True, free=frozenset({dt.date(2026, 12, 25), dt.date(2027, 1, 1)})
)
def test_a_slot_rolls_to_the_day_that_is_looked_for(
    text: str, roll: Roll, business_days: bool, free: frozenset[dt.date]
) -> None:
    plain, zone = Cron.parse(text), ZoneInfo("UTC")
    cron = Days(business_days, free, roll).applied(plain)
    wanted: dict[dt.date, list[dt.date]] = {}
    for day in all_days(FAR):
        if plain.has_day(day):
            wanted.setdefault(rolled(day, roll, business_days, free), []).append(day)
    assert slots(cron, zone) == of_days(text, zone, set(wanted))
    for day in (day for day in wanted if FIRST <= day <= LAST_DAY):
        assert rolled_from(cron, day) == ([] if day in wanted[day] else wanted[day])


@EFFORT
@given(
    st.sampled_from(["0 6 * * *", "30 2 * 1,4,10 *", "0,30 22 * * *"]),
    st.lists(st.integers(1, 23) | st.just(LAST), min_size=1, max_size=3),
    st.booleans(),
    holidays,
)
def test_nth_counts_the_days_on_which_slots_run(
    text: str, nth: list[int], business_days: bool, free: frozenset[dt.date]
) -> None:
    zone = ZoneInfo("UTC")
    months: dict[tuple[int, int], list[dt.date]] = {}
    for day in all_days():
        if Cron.parse(text).has_day(day) and runs(day, business_days, free):
            months.setdefault((day.year, day.month), []).append(day)
    wanted = {
        days[len(days) - 1 if number == LAST else number - 1]
        for days in months.values()
        for number in nth
        if number <= len(days)
    }
    cron = Days(business_days, free, nth=tuple(nth)).applied(Cron.parse(text))
    assert slots(cron, zone) == of_days(text, zone, wanted)


@EFFORT
@given(st.sampled_from(CRONS), st.sampled_from(ZONES), ROLLS, holidays)
def test_in_any_zone_times_are_those_of_the_expression(
    text: str, name: str, roll: Roll, free: frozenset[dt.date]
) -> None:
    zone, plain = ZoneInfo(name), Cron.parse(text)
    cron = Days(True, free, roll).applied(plain)
    days = {rolled(day, roll, True, free) for day in all_days(FAR) if plain.has_day(day)}
    assert slots(cron, zone) == of_days(text, zone, days)


@EFFORT
@given(
    st.sampled_from(CRONS),
    st.sampled_from(ZONES),
    ROLLS,
    holidays,
    st.integers(0, 700),
)
def test_the_slot_before_an_instant_is_the_last_of_those_up_to_it(
    text: str, name: str, roll: Roll, free: frozenset[dt.date], hours: int
) -> None:
    zone, at = ZoneInfo(name), dt.datetime(2027, 3, 1, tzinfo=dt.UTC) + dt.timedelta(hours=20 * hours)
    cron = Days(True, free, roll).applied(Cron.parse(text))
    found = slots(cron, zone)
    index = bisect_left(found, at + dt.timedelta(microseconds=1))
    if 0 < index < len(found):
        assert (cron.before(at, zone), cron.after(at, zone)) == (found[index - 1], found[index])


@EFFORT
@given(st.sampled_from(CRONS), st.sampled_from([None, "before", "after", "nearest"]), st.booleans(), holidays)
def test_the_ledger_knows_the_days_by_what_it_stores(
    text: str, roll: Roll | None, business_days: bool, free: frozenset[dt.date]
) -> None:
    made = Days(business_days, free, roll).applied(Cron.parse(text))
    stored = {"cron": made.normal} | ({} if made.chosen is None else {"calendar": made.chosen.definition})
    found, zone = cron_of(stored), ZoneInfo("Europe/Berlin")
    assert slots(found, zone) == slots(made, zone)


def test_a_calendar_that_ends_with_time_ends() -> None:
    """A holiday at either end of Python's calendar has no day to roll to."""
    free = frozenset({dt.date.max, dt.date.min})
    for roll in ("before", "after", "nearest"):
        cron = Days(holidays=free, roll=roll).applied(Cron.parse("0 6 * * *"))
        assert cron.after(dt.datetime(9999, 12, 31, tzinfo=dt.UTC), ZoneInfo("UTC")) is None
        first = cron.after(dt.datetime(1, 1, 1, tzinfo=dt.UTC), ZoneInfo("UTC"))
        assert first == dt.datetime(1, 1, 2, 6, tzinfo=dt.UTC)
