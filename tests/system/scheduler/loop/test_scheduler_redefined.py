"""Items whose definition, or first instant, changes; and definitions of a clock that was ahead."""

import datetime as dt
import json
import shutil
import signal
from typing import TYPE_CHECKING

from scheduler_redefined import MINUTELY, OTHERWISE, gaps

from aetherflow.scheduler.ledger.records import SlotRow
from aetherflow.scheduler.loop.single import SingleResult, run_item
from aetherflow.scheduler.time.clock import Clock

if TYPE_CHECKING:
    from scheduler_bench import Bench


class Standing(Clock):
    """Waits for real processes, while the hands stand as those of the bench."""

    def __init__(self, bench: "Bench") -> None:
        super().__init__()
        self._bench = bench

    def now(self) -> dt.datetime:
        return self._bench.clock.now()


def trigger(bench: "Bench") -> SingleResult:
    """What cron does: `run-item` in this process."""
    return run_item(bench.load(), "a", trigger="cron", clock=Standing(bench), events=bench.events())


# since


def test_a_trigger_before_since_does_nothing(bench: "Bench") -> None:
    bench.flow(["true"])
    bench.schedule_of({**MINUTELY, "since": "2199-01-01"})
    out = bench.command("run-item", "scheduler.yaml", "a", "--trigger", "cron")
    assert out == "a: nothing to do, slots are expected since 2199-01-01T00:00:00Z\n"
    found = json.loads(bench.command("run-item", "scheduler.yaml", "a", "--trigger", "systemd", "--json"))
    assert (found["ran"], found["slot"], found["exit_code"]) == (False, None, 0)
    assert bench.slots("a") == {}
    bench.command("run-item", "scheduler.yaml", "a")  # a person's wish
    assert list(bench.slots("a").values()) == ["SUCCESS"]


def test_years_that_an_earlier_since_adds_are_entered_in_steps(bench: "Bench") -> None:
    """A kill between two steps leaves no gap, and the next start makes up for it."""
    bench.flow(["true"])
    daily = {"id": "a", "cron": "*/20 * * * *"}
    bench.schedule_of(daily)
    bench.command("tick", "scheduler.yaml")
    begin = dt.datetime.now(dt.UTC) - dt.timedelta(days=180)
    bench.schedule_of({**daily, "since": f"{begin:%Y-%m-%dT00:00:00Z}"})
    names = bench.folder / "points"
    copy = bench.folder / "copy.sqlite"
    shutil.copy(bench.folder / "ledger.sqlite", copy)
    bench.command("tick", "scheduler.yaml", AETHERFLOW_TESTS_FAILPOINT=f"log:{names}")
    points = names.read_text().splitlines()
    steps = [number for number, name in enumerate(points, 1) if name == "commit extend"]
    assert len(steps) == 3  # of 5,000 slots
    for left in bench.folder.glob("ledger.sqlite-*"):
        left.unlink()
    shutil.copy(copy, bench.folder / "ledger.sqlite")
    code = -signal.SIGKILL
    bench.command("tick", "scheduler.yaml", code=code, AETHERFLOW_TESTS_FAILPOINT=str(steps[1]))
    bench.command("audit", "scheduler.yaml", "--fail-on", "none")
    bench.command("tick", "scheduler.yaml", "-q")
    found = json.loads(bench.command("audit", "scheduler.yaml", "--fail-on", "none", "--json"))
    assert found["gaps"] == []
    assert found["expected"] >= 180 * 72


def row_of(done: SingleResult) -> SlotRow:
    assert done.row is not None
    return done.row


def test_the_slot_that_triggers_survives_a_change_of_the_cron(bench: "Bench") -> None:
    bench.flow(["true"])
    bench.schedule_of(MINUTELY)
    assert row_of(trigger(bench)).status == "SUCCESS"
    bench.clock.pass_time(60)
    bench.schedule_of(OTHERWISE)
    done = trigger(bench)
    assert (done.ran, row_of(done).status, row_of(done).trigger) == (True, "SUCCESS", "cron")
    assert bench.slots("a") == {"12:00": "SUCCESS", "12:01": "SUCCESS"}
    assert gaps(bench) == []
