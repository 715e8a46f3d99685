"""Helpers shared by the unit and the system tests of test_scheduler_redefined.py."""

from typing import TYPE_CHECKING

from aetherflow.scheduler.audit.audit import audit
from aetherflow.scheduler.time.clock import from_ms

if TYPE_CHECKING:
    from scheduler_bench import Bench

from typing import TYPE_CHECKING

MINUTELY = {"id": "a", "cron": "* * * * *"}


OTHERWISE = {"id": "a", "cron": "0-59 * * * *"}
"""An item with the same slots, but a different definition."""


def gaps(bench: "Bench") -> list[str]:
    with bench.ledger() as ledger:
        found = audit(bench.load(), ledger, None, from_ms(bench.clock.wall), led=False)
    return [f"{from_ms(gap.slot):%H:%M}" for gap in found.gaps]
