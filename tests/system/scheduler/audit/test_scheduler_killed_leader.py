"""A leader that was killed is late by its own lease: a look deletes nothing of it."""

import os
import signal
import time
from typing import TYPE_CHECKING

import pytest

from aetherflow.scheduler.audit.late import LATE_LEASES, late_heartbeats
from aetherflow.scheduler.ledger.leader import Leadership
from aetherflow.scheduler.ledger.store import Ledger

if TYPE_CHECKING:
    from scheduler_bench import Bench


def codes(bench: "Bench") -> list[str | None]:
    with bench.ledger() as ledger:
        return [late.reason.code for late in late_heartbeats(ledger, bench.file)]


@pytest.mark.parametrize("lease", [2.0, 60.0])
def test_a_killed_leader_is_late_by_its_own_lease_however_often_somebody_looks(bench: "Bench", lease: float) -> None:
    bench.clock.wall = time.time_ns() // 1_000_000  # that of the lock store
    child = os.fork()
    if child == 0:  # pragma: no cover
        ledger = Ledger(bench.folder / "ledger.sqlite", bench.clock)
        ledger.enter("scheduler")
        Leadership(ledger, lease).take()
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    bench.clock.pass_time(1)
    assert codes(bench) == codes(bench) == []
    bench.clock.pass_time(LATE_LEASES * lease - 3)
    assert codes(bench) == []
    bench.clock.pass_time(4)
    assert codes(bench) == codes(bench) == ["leader_late"]
