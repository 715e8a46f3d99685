"""Slots of a calendar that rolls, from the document to the ledger and back to `audit`."""

import datetime as dt
import re
from typing import TYPE_CHECKING

import pytest

from aetherflow.scheduler.cli import main
from aetherflow.scheduler.time.clock import to_ms

if TYPE_CHECKING:
    from scheduler_bench import Bench

HOLIDAYS = ["2026-03-03", "2026-03-06"]


def shown(capsys: pytest.CaptureFixture[str], bench: "Bench", *arguments: str) -> list[str]:
    assert main(["next", str(bench.file), "--from", "2026-03-02", "--until", "2026-05-01", *arguments]) == 0
    rows = [re.split(" {2,}", line, maxsplit=3) for line in capsys.readouterr().out.splitlines()[1:]]
    return [": ".join([local, *note]) for local, _, _, *note in rows]


def noon(bench: "Bench", day: int) -> None:
    """Let a scheduler run around noon of a day."""
    bench.clock.wall = to_ms(dt.datetime(2026, 3, day, 12, 1, 30, tzinfo=dt.UTC))
    bench.minutes(1)


def test_next_names_the_day_that_a_slot_stands_for(bench: "Bench", capsys: pytest.CaptureFixture[str]) -> None:
    calendar = {"business_days": True, "holidays": HOLIDAYS, "roll": "after"}
    bench.schedule_of({"id": "a", "cron": "0 6 1,6 * *", "calendar": calendar})
    assert shown(capsys, bench) == [
        "Mon 2026-03-02 06:00 +00:00: in place of 2026-03-01",
        "Mon 2026-03-09 06:00 +00:00: in place of 2026-03-06",
        "Wed 2026-04-01 06:00 +00:00",
        "Mon 2026-04-06 06:00 +00:00",
    ]


def test_the_last_and_the_third_business_day(bench: "Bench", capsys: pytest.CaptureFixture[str]) -> None:
    calendar = {"business_days": True, "holidays": HOLIDAYS, "nth": [3, "last"]}
    bench.schedule_of({"id": "a", "cron": "0 6 * * *", "calendar": calendar})
    assert shown(capsys, bench) == [
        "Thu 2026-03-05 06:00 +00:00",
        "Tue 2026-03-31 06:00 +00:00",
        "Fri 2026-04-03 06:00 +00:00",
        "Thu 2026-04-30 06:00 +00:00",
    ]


def test_what_follows_it_has_its_slots(bench: "Bench", capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever the calendar of `defaults` says, which is that of both."""
    calendar = {"business_days": True, "holidays": HOLIDAYS, "roll": "before"}
    bench.schedule_of(
        {"id": "b", "cron": "0 6 3 3 *"}, {"id": "a", "after": "b"}, defaults={"calendar": calendar}, timezone="UTC"
    )
    assert shown(capsys, bench, "a") == ["Mon 2026-03-02 06:00 +00:00: in place of 2026-03-03"]


def test_the_ledger_expects_what_the_calendar_said_then(bench: "Bench", capsys: pytest.CaptureFixture[str]) -> None:
    """A holiday that is added later changes the slots to come, and nothing of what was."""
    free = ["2026-03-03"]
    item = {"id": "a", "cron": "2 12 2-6 * *", "calendar": {"holidays": free, "roll": "before"}}
    bench.schedule_of(item)
    bench.minutes(2)
    for day in (3, 4):
        noon(bench, day)
    free.append("2026-03-06")
    bench.schedule_of(item)
    for day in (5, 6, 7):
        noon(bench, day)
    days = bench.rows("SELECT strftime('%d', slot / 1000, 'unixepoch'), status FROM slots ORDER BY slot")
    assert days == [("02", "SUCCESS"), ("04", "SUCCESS"), ("05", "SUCCESS")]
    assert bench.rows("SELECT count(*) FROM epochs") == [(2,)]
    assert main(["audit", str(bench.file), "--to", "2026-03-08"]) == 0
    assert "no gap in 3 expected slots: 3 SUCCESS" in capsys.readouterr().out
    with bench.ledger() as ledger, ledger.transaction("lost"):
        ledger.db.execute("DELETE FROM slots WHERE strftime('%d', slot / 1000, 'unixepoch')='04'")
    assert main(["audit", str(bench.file), "--to", "2026-03-08"]) == 1
    assert "a     2026-03-04T12:02:00Z" in capsys.readouterr().out


def test_the_order_of_holidays_is_no_change(bench: "Bench") -> None:
    for free in (HOLIDAYS, HOLIDAYS[::-1]):
        bench.schedule_of({"id": "a", "cron": "2 12 * * *", "calendar": {"holidays": free, "roll": "before"}})
        bench.minutes(1)
    assert bench.rows("SELECT count(*) FROM epochs") == [(1,)]
