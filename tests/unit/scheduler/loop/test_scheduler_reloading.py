"""A document is read again when it or a file of its holidays has changed, and is stable."""

import datetime as dt
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from aetherflow.scheduler.document.reading import load_schedule
from aetherflow.scheduler.loop.reloading import QUIET_SECONDS, Reloading
from scheduler_bench import FakeClock

if TYPE_CHECKING:
    from aetherflow.scheduler.schedule.schedule import Schedule
    from scheduler_bench import Bench

CALENDAR = """\
timezone: UTC
state: ledger.sqlite
items: [{id: a, cron: "0 6 * * *", command: [make], calendar: {business_days: true, holidays: days.yaml}}]
"""
MONDAY = dt.date(2027, 1, 4)


class Read:
    """A scheduler's way to a changed schedule, without its loop."""

    def __init__(self, bench: "Bench") -> None:
        self.document, self.days = bench.folder / "scheduler.yaml", bench.folder / "days.yaml"
        self.document.write_text(CALENDAR)
        self.days.write_text("- 2027-01-01\n")
        self._clock, self._time = FakeClock(), 1_800_000_000
        self._reloading = Reloading(load_schedule(self.document), load_schedule, self._clock, bench.events())

    def change(self, file: Path, text: str) -> None:
        self._time += 1
        file.write_text(text)
        os.utime(file, (self._time, self._time))

    def found(self) -> "Schedule | None":
        """What is read after some time without a change."""
        assert self._reloading.look() is None
        self._clock.pass_time(QUIET_SECONDS)
        assert self._reloading.look() is None
        if (thread := self._reloading._thread) is not None:
            thread.join()
        return self._reloading.look()


@pytest.fixture
def read(bench: "Bench") -> Read:
    return Read(bench)


def test_a_holiday_that_is_added_counts(read: Read) -> None:
    assert read.found() is None
    read.change(read.days, "- 2027-01-01\n- 2027-01-04\n")
    found = read.found()
    assert found is not None
    assert not found.items[0].days.runs(MONDAY)
    assert read.found() is None, "it is read once"


def test_of_a_wrong_or_missing_file_the_correction_is_noticed(read: Read) -> None:
    read.change(read.days, "- soon\n")
    assert read.found() is None
    read.days.unlink()
    assert read.found() is None
    read.change(read.days, "- 2027-01-04\n")
    found = read.found()
    assert found is not None
    assert not found.items[0].days.runs(MONDAY)


def test_the_files_are_those_of_the_newest_document(read: Read) -> None:
    other = read.days.with_name("other.yaml")
    other.write_text("[]\n")
    read.change(read.document, CALENDAR.replace("days.yaml", "other.yaml"))
    assert read.found() is not None
    read.change(read.days, "- 2027-01-04\n")
    assert read.found() is None
    read.change(other, "- 2027-01-04\n")
    found = read.found()
    assert found is not None
    assert not found.items[0].days.runs(MONDAY)
