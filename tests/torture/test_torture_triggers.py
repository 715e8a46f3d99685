"""N1: whoever starts a run, whatever comes of it, and wherever the starter or a sender is killed: it is told once."""

import time

import pytest

from aetherflow.core.cli import main
from torture_bench import HANG_SECONDS
from torture_night import Night, telling
from torture_tier import full, sample, sized, suite
from torture_triggers import ALSO, CELLS, ENDS_SENDERS, FLOW_OF, IMPOSSIBLE, ITEMS, STARTS, has_ended, prepare

pytestmark = pytest.mark.slow

SMALL = {
    "cron": ("FAILED", "UNKNOWN"),
    "CI": ("INTERRUPTED", "RECOVERED"),
    "systemd": ("FAILED", "LATE"),
    "run-item": ("REFUSED", "UNKNOWN"),
    "tick": ("RECOVERED", "MISSED"),
    "scheduler": ("FAILED", "LATE"),
}
"""At T0, of each trigger: the transition at which the starter is killed, and that at which a sender is."""


def test_every_cell_is_tried_or_cannot_be() -> None:
    assert not set(CELLS) & IMPOSSIBLE.keys()
    assert set(CELLS) | IMPOSSIBLE.keys() == {(trigger, event) for trigger in STARTS for event in FLOW_OF}
    assert len(CELLS) == 38


@pytest.mark.parametrize("trigger", STARTS)
def test_whoever_starts_it(night: Night, trigger: str) -> None:
    """Killed anywhere after its start, and started again: it is told once by true senders, whoever starts them."""
    begin = STARTS[trigger]
    with suite(f"N1 trigger {trigger}", 15) as counted:
        for event in _events(trigger, SMALL[trigger][0]):
            prepare(night, trigger, event)
            names = night.points(lambda point: begin(night, point, "r"))
            with counted.case(f"{event}: nothing is killed"):
                tell(night, event, twice=trigger in ENDS_SENDERS)
            numbers = [number for number, name in enumerate(names, 1) if full() or "run" in name or "slot" in name]
            for number in sample(numbers, sized(1, 12), f"N1-{trigger}-{event}"):
                prepare(night, trigger, event)
                with counted.case(f"{event}: killed at {number}, {names[number - 1]}"):
                    begin(night, f"{number}:kill", "r")
                    end = time.monotonic() + HANG_SECONDS
                    begin(night, "", "r")
                    while trigger in ITEMS and not has_ended(night):
                        assert time.monotonic() < end, f"the slot never ends: {night.slots()}"
                        begin(night, "", "r")
                    tell(night, event, twice=trigger in ENDS_SENDERS)


@pytest.mark.parametrize("trigger", STARTS)
def test_the_sender_of_whoever_started_it_is_killed(night: Night, trigger: str) -> None:
    """At each of its failpoints: the next sender tells what is left, and nothing else."""
    with suite(f"N1 sender of {trigger}", 15) as counted:
        for event in _events(trigger, SMALL[trigger][1]):
            prepare(night, trigger, event)
            with night.hush():
                STARTS[trigger](night, "", "r")
            night.kill_senders(counted, event, f"N1-sender-{trigger}-{event}", also=ALSO.get(event, frozenset()))


def _events(trigger: str, small: str) -> list[str]:
    return [event for one, event in CELLS if one == trigger and (full() or event == small)]


def tell(night: Night, event: str, *, twice: bool = False) -> None:
    """What the senders have left over is told by whoever comes next; then it was told once."""
    night.settle()
    night.fork(lambda: telling(main, "status", "--notify"))
    night.check(event, twice=twice, also=ALSO.get(event, frozenset()) | {"INTERRUPTED"})
