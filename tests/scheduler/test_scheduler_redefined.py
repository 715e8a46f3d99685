"""Items whose definition, or first instant, changes; and definitions of a clock that was ahead."""

import datetime as dt
import json
from typing import TYPE_CHECKING

import pytest

from aetherflow.scheduler.audit import audit
from aetherflow.scheduler.clock import Clock, from_ms
from aetherflow.scheduler.ledger.records import SlotRow
from aetherflow.scheduler.single import Single, run_item

if TYPE_CHECKING:
    from tests.scheduler.conftest import Bench

MINUTELY = {"id": "a", "cron": "* * * * *"}
OTHERWISE = {"id": "a", "cron": "0-59 * * * *"}
"""The same instants, but another definition."""


class Standing(Clock):
    """Waits for real processes, while the hands stand as those of the bench."""

    def __init__(self, bench: "Bench") -> None:
        super().__init__()
        self._bench = bench

    def now(self) -> dt.datetime:
        return self._bench.clock.now()


def trigger(bench: "Bench") -> Single:
    """What cron does: `run-item` in this process."""
    return run_item(bench.load(), "a", trigger="cron", clock=Standing(bench), events=bench.events())


def row_of(done: Single) -> SlotRow:
    assert done.row is not None
    return done.row


def gaps(bench: "Bench") -> list[str]:
    with bench.ledger() as ledger:
        found = audit(bench.load(), ledger, None, from_ms(bench.clock.wall), led=False)
    return [f"{from_ms(gap.slot):%H:%M}" for gap in found.gaps]


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


@pytest.mark.parametrize(
    ("misfire", "statuses"), [("last", ["MISSED"] * 3 + ["SUCCESS"]), ("all", ["MISSED", "SUCCESS", "MISSED", "SUCCESS"])]
)
def test_policies_decide_about_slots_that_both_definitions_have(
    bench: "Bench", misfire: str, statuses: list[str]
) -> None:
    bench.schedule_of({**MINUTELY, "misfire": misfire, "overlap": "queue"})
    bench.minutes(1)
    bench.clock.pass_time(4 * 60)
    bench.schedule_of({"id": "a", "cron": "*/2 * * * *", "misfire": misfire, "overlap": "queue"})
    bench.minutes(0.3)
    assert [bench.slots("a")[f"12:0{n}"] for n in (3, 2, 5, 4)] == [statuses[0], statuses[1], statuses[2], statuses[3]]
    assert bench.reasons("a")["12:03"] == "the schedule of the item was changed"
    assert gaps(bench) == []


def test_what_is_due_while_the_file_is_read_again_runs(bench: "Bench", monkeypatch: pytest.MonkeyPatch) -> None:
    bench.schedule_of({"id": "a", "cron": "*/5 * * * *"})
    changed = [bench.load()]
    bench.schedule_of(MINUTELY)
    made = bench.scheduler()
    # it is read in the very pass in which the slot of 12:01 comes due
    monkeypatch.setattr(made._reloading, "look", lambda: changed.pop() if changed and bench.clock.now().minute else None)
    bench.clock.until = bench.clock.mono + 130
    bench.clock.at_end = made.stop.stop
    assert made.run() == 0
    assert bench.slots("a") == {"12:01": "SUCCESS"}
    assert json.loads(bench.rows("SELECT definition FROM epochs WHERE until IS NULL")[0][0])["cron"] == "*/5 * * * *"
