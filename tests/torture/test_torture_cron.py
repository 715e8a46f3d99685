"""P13: the scheduler's slots are those of Debian's cron: of its main loop minute by minute, of cronsim, of itself."""

import datetime as dt
import random
import re
from collections.abc import Iterator
from zoneinfo import ZoneInfo

import pytest
from cronsim import CronSim

from aetherflow.scheduler.time.cron import Cron
from torture_cron import changes_of, expression, fires, summer_zones, zones
from torture_real_cron import need_real_cron, real_fires
from torture_tier import SEED, full, sized, suite

DAY = dt.timedelta(days=1)


def windows(zone: ZoneInfo, rng: random.Random) -> Iterator[tuple[str, dt.datetime, dt.datetime]]:
    """The weeks of both changes of a year, and a random month."""
    year = rng.choice(range(2025, 2036))
    for change in changes_of(zone, year)[:2]:
        yield "change", change - 3 * DAY, change + 4 * DAY
    month = dt.datetime(year, rng.randint(1, 12), 1, rng.randint(0, 23), rng.randint(0, 59), tzinfo=dt.UTC)
    yield "month", month, month + 30 * DAY


def cronsim_is_right(text: str, zone: ZoneInfo, start: dt.datetime, end: dt.datetime, *, wildcard: bool) -> bool:
    """cronsim takes `5-5/2` for `5/2`, a change for one of whole hours, and a midnight for one that exists."""
    if re.search(r"\b(\d+)-\1/", text):
        return False
    if not wildcard:
        return True
    for change in (each for year in {start.year, end.year} for each in changes_of(zone, year)):
        before, after = (at.astimezone(zone) for at in (change - dt.timedelta(minutes=1), change))
        jump = (after.utcoffset() or dt.timedelta()) - (before.utcoffset() or dt.timedelta())
        if start - DAY <= change <= end and (jump % dt.timedelta(hours=1) or before.date() != after.date()):
            return False
    return True


def by_cronsim(text: str, zone: ZoneInfo, start: dt.datetime, end: dt.datetime) -> list[dt.datetime]:
    found: set[dt.datetime] = set()
    for at in CronSim(text, (start - 2 * DAY).astimezone(zone)):
        if (instant := at.astimezone(dt.UTC)) >= end:
            break
        found.add(instant)
    return sorted(at for at in found if at >= start)


def show(found: list[dt.datetime], expected: list[dt.datetime]) -> str:
    more, less = sorted(set(found) - set(expected)), sorted(set(expected) - set(found))
    return f"too many: {[str(at) for at in more[:5]]}, missing: {[str(at) for at in less[:5]]}"


PARTS = sized(1, 10)


@pytest.mark.slow
@pytest.mark.parametrize("part", range(PARTS))
def test_slots_are_those_of_debians_cron(part: int) -> None:
    rng = random.Random(f"{SEED}-P13-{part}")
    every, changing = zones(), summer_zones()
    with suite(f"P13 slots {part}", 12) as counted:
        for number in range(sized(20, 2_000) // PARTS):
            text, zone = expression(rng), ZoneInfo(rng.choice(changing if rng.random() < 0.7 else every))
            cron = Cron.parse(text)
            for what, start, end in windows(zone, rng):
                with counted.case(f"{number} {text!r} {zone.key} {what} {start}"):
                    found = list(cron.between(start, end, zone))
                    assert found == (expected := fires(text, zone, start, end)), show(found, expected)
                    if cronsim_is_right(text, zone, start, end, wildcard=cron.wildcard):
                        assert found == (expected := by_cronsim(text, zone, start, end)), show(found, expected)


NIGHTLY = ["30 2 * * *", "0 3 * * *", "0 * * * *", "*/15 1-3 * * *", "15 2 * * 0", "45 1,2 * * *", "*/20 2 * * *"]
CHANGES = {
    "spring": (dt.datetime(2026, 3, 29, 0, 50, tzinfo=dt.UTC), 28),
    "autumn": (dt.datetime(2026, 10, 24, 23, 50, tzinfo=dt.UTC), 142),
}
NEAR = dt.timedelta(minutes=3)
"""How far from its minute the log's line may be read on a busy machine; the lines are a quarter of an hour apart."""


@pytest.mark.slow
@pytest.mark.parametrize("change", CHANGES if full() else ["spring"])
def test_the_real_cron_does_the_same(change: str) -> None:
    need_real_cron()
    zone = ZoneInfo("Europe/Berlin")
    start, minutes = CHANGES[change]
    with suite(f"P13 cron {change}", 12) as counted:
        real = real_fires(NIGHTLY, zone, start, minutes)
        for text in NIGHTLY:
            with counted.case(f"{change} {text}"):
                expected = list(Cron.parse(text).between(start, start + dt.timedelta(minutes=minutes), zone))
                assert len(real[text]) == len(expected), f"cron {real[text]}, we {expected}"
                for ours, theirs in zip(expected, real[text], strict=True):
                    assert abs(ours - theirs) <= NEAR, f"cron {theirs}, we {ours}"
