"""A day of heartbeats and lease renewals: a run that lives for long takes no more than one that has just begun."""

import contextlib
import gc
import os
import sys
from collections.abc import Callable
from itertools import pairwise
from typing import TYPE_CHECKING

from aetherflow.core.base import durable
from aetherflow.core.kernel.locks.clock import Clock
from aetherflow.core.kernel.locks.records import Owner
from aetherflow.core.kernel.locks.store import LockStore
from aetherflow.core.records.heartbeat import INTERVAL_SECONDS, Heartbeat

if TYPE_CHECKING:
    from core_project import Project

DAY_SECONDS = 24 * 60 * 60
TTL_SECONDS = 60
WARM_UP = 200
PARTS = 4
SLACK = 100
"""Blocks of memory that a part of the day may add; a leak of one per act adds more than 1,000."""
WAL_BYTES = 8 * 2**20
"""SQLite starts its log anew from about 4 MiB on."""


class HandClock(Clock):
    """Both clocks move only when they are told to."""

    now = 5_000_000

    def mono_ms(self) -> int:
        return self.now

    def wall_ms(self) -> int:
        return self.now


def leaks(act: Callable[[], None], times: int) -> tuple[int, int]:
    """Blocks of memory that every part of the day adds at least, and descriptors that the whole day adds.

    A cache that fills up late adds to one part; a leak adds to each. Descriptors that earlier tests left
    may be closed meanwhile.
    """

    def used() -> tuple[int, int]:
        gc.collect()
        return sys.getallocatedblocks(), len(os.listdir("/dev/fd"))  # noqa: PTH208 descriptors, not files

    for _ in range(WARM_UP):
        act()
    marks = [used()]
    for _ in range(PARTS):
        for _ in range((times - WARM_UP) // PARTS):
            act()
        marks.append(used())
    memory = min(later[0] - earlier[0] for earlier, later in pairwise(marks))
    return memory, marks[-1][1] - marks[0][1]


def test_a_day_of_heartbeats_leaks_nothing(project: "Project") -> None:
    project.flow("jobs: [{id: a, steps: [{id: s, type: check_items, inputs: {items: [1]}}]}]\n")
    assert project.cli("run", "flow.yaml", "--run-id", "r").code == 0
    ((flow_id, generation),) = project.rows("SELECT flow_id, generation FROM runs")
    with contextlib.closing(durable.connect(project.state, busy_seconds=1)) as db:
        heart = Heartbeat(db, flow_id, "r", generation)
        db.execute("PRAGMA synchronous=OFF")  # a day of syncs takes too long here, and holds no memory

        def beat() -> None:
            assert heart.beat(db)

        memory, descriptors = leaks(beat, round(DAY_SECONDS / INTERVAL_SECONDS))
        wal = project.state.with_name(project.state.name + "-wal").stat().st_size
    assert descriptors <= 0
    assert memory < SLACK
    assert wal < WAL_BYTES


def test_a_day_of_lease_renewals_leaks_nothing(project: "Project") -> None:
    clock = HandClock()
    path = project.folder / "locks.sqlite"
    with LockStore(path, clock=clock) as store, store.acquire("k", Owner("f", "r"), ttl_seconds=TTL_SECONDS) as lease:
        renewal = store._renewal
        renewal._renew(renewal.all())  # opens its connection
        assert renewal._db is not None
        renewal._db.execute("PRAGMA synchronous=OFF")

        def renew() -> None:
            clock.now += TTL_SECONDS * 1000 // 3
            renewal._renew(renewal.all())

        memory, descriptors = leaks(renew, DAY_SECONDS * 3 // TTL_SECONDS)
        assert not lease.lost
        assert path.with_name(path.name + "-wal").stat().st_size < WAL_BYTES
    assert descriptors <= 0
    assert memory < SLACK
