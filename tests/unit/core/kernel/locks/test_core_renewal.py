"""The thread that renews leases sleeps until the next one is due: it neither spins nor comes late."""

import queue
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import NoReturn

import pytest

from aetherflow.core.base import durable
from aetherflow.core.kernel.locks.clock import Clock
from aetherflow.core.kernel.locks.lease import Hold
from aetherflow.core.kernel.locks.records import Owner
from aetherflow.core.kernel.locks.renewal import Renewal
from aetherflow.core.kernel.locks.store import LockStore
from aetherflow.core.kernel.locks.table import LockTable

PATIENCE_SECONDS = 60


class StandingClock(Clock):
    def __init__(self) -> None:
        super().__init__()
        self.mono = 1_000_000

    def mono_ms(self) -> int:
        return self.mono


class ToldCondition(threading.Condition):
    """Tells how long each wait is to last."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: queue.Queue[float | None] = queue.Queue()

    def wait(self, timeout: float | None = None) -> bool:
        self.waits.put(timeout)
        return super().wait(timeout)


def hold(key: str, renew_mono: int) -> Hold:
    return Hold(key, Owner("load", "a"), 1, 600_000, renew_mono + 400_000, renew_mono)


def no_table() -> NoReturn:
    raise AssertionError("nothing is due")


@pytest.fixture
def told() -> ToldCondition:
    return ToldCondition()


@pytest.fixture
def renewal(told: ToldCondition) -> Iterator[Renewal]:
    with closing(durable.memory_database()) as db:
        made = Renewal(db, no_table, StandingClock())
        made._changed = told
        yield made


def test_it_waits_until_the_first_lease_is_due(renewal: Renewal, told: ToldCondition) -> None:
    renewal.add(hold("late", 1_200_000))
    assert told.waits.get(timeout=PATIENCE_SECONDS) == 200
    renewal.add(hold("early", 1_030_500))
    assert told.waits.get(timeout=PATIENCE_SECONDS) == 30.5
    renewal.close()
    assert told.waits.empty(), "one wait per change"


def test_without_leases_it_waits_for_the_next_one(renewal: Renewal, told: ToldCondition) -> None:
    only = hold("k", 1_200_000)
    renewal.add(only)
    assert told.waits.get(timeout=PATIENCE_SECONDS) == 200
    renewal.remove(only)
    with told:
        told.notify()
    assert told.waits.get(timeout=PATIENCE_SECONDS) is None
    renewal.close()
    assert renewal._thread is not None
    assert not renewal._thread.is_alive()


def test_what_is_due_is_renewed_without_waiting(told: ToldCondition) -> None:
    asked = threading.Event()

    def unreachable() -> tuple[durable.Database, LockTable]:
        asked.set()
        raise sqlite3.OperationalError("no such place")

    clock = StandingClock()
    with closing(durable.memory_database()) as db:
        renewal = Renewal(db, unreachable, clock)
        renewal._changed = told
        renewal.add(hold("k", clock.mono))
        assert asked.wait(PATIENCE_SECONDS)
        assert told.waits.get(timeout=PATIENCE_SECONDS) == 1, "tried again after a second, not at once"
        renewal.close()


def test_a_lease_is_renewed_three_times_per_time_to_live(tmp_path: Path, told: ToldCondition) -> None:
    clock = StandingClock()
    with LockStore(tmp_path / "locks.sqlite", clock=clock) as store:
        store._renewal._changed = told
        lease = store.acquire("k", Owner("load", "a"), ttl_seconds=600)
        for number in range(3):
            assert told.waits.get(timeout=PATIENCE_SECONDS) == 200
            assert lease.hold.expires_mono == clock.mono + 600_000, f"after {number} renewals"
            with told:
                clock.mono += 200_000
                told.notify()
        assert told.waits.get(timeout=PATIENCE_SECONDS) == 200
        assert not lease.lost
