"""The tables of the page about scheduler.yaml: five zones, both changes of the clock, twelve expressions."""

import datetime as dt
from zoneinfo import ZoneInfo

import pytest

from aetherflow.scheduler.time.cron import Cron
from aetherflow.scheduler.time.zones import changes, last_change, offset_at, span
from docs_schedule import EXPRESSIONS, YEAR, ZONES, span_of, two_changes
from torture_cron import changes_of, fires, zones


@pytest.mark.parametrize("text", EXPRESSIONS)
@pytest.mark.parametrize("name", ZONES)
def test_the_tables_are_what_debians_cron_does(name: str, text: str) -> None:
    zone = ZoneInfo(name)
    for change in two_changes(zone):
        start, end = span_of(change)
        assert list(Cron.parse(text).between(start, end, zone)) == fires(text, zone, start, end)


def test_the_tables_are_as_large_as_promised() -> None:
    assert (len(ZONES), len(set(EXPRESSIONS))) == (5, 12)
    kinds = {Cron.parse(text).wildcard for text in EXPRESSIONS}
    assert kinds == {True, False}
    jumps = [abs(change.after - change.before) for name in ZONES for change in two_changes(ZoneInfo(name))]
    assert set(jumps) == {dt.timedelta(hours=1), dt.timedelta(minutes=30)}


@pytest.mark.parametrize("name", [*ZONES, "Africa/Casablanca", "America/Sao_Paulo", "Asia/Beirut", "UTC"])
@pytest.mark.parametrize("year", [2017, YEAR, 2030])
def test_changes_are_found_to_the_minute(name: str, year: int) -> None:
    zone = ZoneInfo(name)
    found = changes(zone, year)
    assert [change.at.replace(tzinfo=dt.UTC) for change in found] == changes_of(zone, year)
    for change in found:
        before, after = (change.at - dt.timedelta(seconds=1), change.at)
        assert (offset_at(zone, before), offset_at(zone, after)) == (change.before, change.after)
        assert span(zone, before) == (change.at, change.before)
        assert last_change(zone, after) == change


def test_a_day_that_was_left_out() -> None:
    # Samoa left out the 30th of December 2011: its clocks went from the 29th to the 31st
    zone, text = ZoneInfo("Pacific/Apia"), "0 12 * * *"
    start = dt.datetime(2011, 12, 29, tzinfo=dt.UTC)
    found = [at.astimezone(zone) for at in Cron.parse(text).between(start, start + dt.timedelta(days=4), zone)]
    assert [f"{at:%d %H:%M}" for at in found] == ["29 12:00", "31 00:00", "31 12:00", "01 12:00", "02 12:00"]


def test_every_zone_of_the_system_has_slots() -> None:
    noon = dt.datetime(2026, 6, 1, 12, tzinfo=dt.UTC)
    for name in zones():
        found = Cron.parse("30 2 * * *").after(noon, ZoneInfo(name))
        assert found is not None
        assert found - noon < dt.timedelta(hours=26)
