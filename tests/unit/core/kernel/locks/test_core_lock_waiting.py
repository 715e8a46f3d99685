"""Waiting for a lock step by step: how long each look waits, who is told what, and what is left of it."""

import getpass
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace

import pytest

from aetherflow.core.base import durable
from aetherflow.core.base.errors import LockBusyError
from aetherflow.core.kernel.locks.clock import Clock
from aetherflow.core.kernel.locks.records import Owner
from aetherflow.core.kernel.locks.store import LockStore
from aetherflow.core.kernel.locks.table import WAITER_STALE_MS, Busy, LockTable

A, B, C = Owner("load", "a"), Owner("load", "b"), Owner("other", "c", 2)


class HandClock(Clock):
    """Moves only when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.mono = 5_000_000

    def mono_ms(self) -> int:
        return self.mono


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def stores(tmp_path: Path, clock: HandClock) -> Iterator[Callable[[], LockStore]]:
    with ExitStack() as opened:
        yield lambda: opened.enter_context(LockStore(tmp_path / "locks.sqlite", clock=clock))


@pytest.fixture
def sleeps(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long was slept; nobody does, but time goes on as if."""
    told: list[float] = []
    now = time.monotonic()

    def sleep(seconds: float) -> None:
        told.append(seconds)

    # not those of `time` itself: threads of other tests' connectors may sleep meanwhile
    hand = SimpleNamespace(sleep=sleep, monotonic=lambda: now + sum(told))
    monkeypatch.setattr("aetherflow.core.kernel.locks.store.time", hand)
    return told


def test_without_limits_it_fails_at_once_and_holds_for_ten_minutes(
    stores: Callable[[], LockStore], clock: HandClock, sleeps: list[float]
) -> None:
    store = stores()
    lease = store.acquire("k", A)
    assert lease.hold.ttl_ms == 600_000
    assert lease.hold.expires_mono == clock.mono + 600_000
    assert lease.hold.renew_mono == clock.mono + 200_000
    with pytest.raises(LockBusyError) as busy:
        stores().acquire("k", B)
    assert sleeps == []
    assert busy.value.fix == "wait for it, or set wait_seconds"


@pytest.mark.parametrize(("ahead", "pause"), [(0, 0.02), (1, 0.04), (2, 0.06), (8, 0.18), (9, 0.2), (14, 0.2)])
def test_the_further_back_in_the_queue_the_less_often_it_looks(
    stores: Callable[[], LockStore], sleeps: list[float], ahead: int, pause: float
) -> None:
    holder, first, me = stores(), stores(), stores()
    holder.acquire("k", A)
    for number in range(ahead):
        first._enqueue("k", Owner("load", f"w{number}"))
    with pytest.raises(LockBusyError) as busy:
        me.acquire("k", B, wait_seconds=1.9)
    assert sleeps[0] == pause, "its own ticket comes after those of all others"
    assert sum(sleeps) == pytest.approx(1.9)
    assert set(sleeps[:-1]) == {pause}
    assert " after 1.9 s; " in str(busy.value)
    assert busy.value.fix == "wait for it"
    assert [str(each.owner) for each in me.waiters()] == [f"load/w{number}/1" for number in range(ahead)]


def test_a_waiter_beats_so_that_it_keeps_its_place(
    stores: Callable[[], LockStore], clock: HandClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    holder, me, seen = stores(), stores(), []

    def sleep(_: float) -> None:
        seen.append([each.alive for each in holder.waiters()])
        clock.mono += WAITER_STALE_MS - 1
        if len(seen) == 4:
            raise KeyboardInterrupt

    holder.acquire("k", A)
    hand = SimpleNamespace(sleep=sleep, monotonic=time.monotonic)
    monkeypatch.setattr("aetherflow.core.kernel.locks.store.time", hand)
    with pytest.raises(KeyboardInterrupt):
        me.acquire("k", B, wait_seconds=60)
    assert seen == [[True]] * 4
    assert holder.waiters() == []


def test_what_the_check_raises_ends_the_wait(stores: Callable[[], LockStore], sleeps: list[float]) -> None:
    holder, me = stores(), stores()
    holder.acquire("k", A)

    def check() -> None:
        if len(sleeps) == 3:
            raise TimeoutError("the run is being stopped")

    with pytest.raises(TimeoutError):
        me.acquire("k", B, wait_seconds=60, check=check)
    assert sleeps == [0.02] * 3
    assert me.waiters() == []


def test_a_lock_that_is_taken_between_the_look_and_the_take_is_busy(
    stores: Callable[[], LockStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    holder, me = stores(), stores()
    holder.acquire("k", A)
    original, looks = LockTable.busy, []

    def busy(table: LockTable, key: str, owner: Owner, ticket: int | None) -> Busy | None:
        looks.append(key)
        return None if len(looks) == 1 else original(table, key, owner, ticket)

    monkeypatch.setattr(LockTable, "busy", busy)
    with pytest.raises(LockBusyError, match="held by run a of flow load"):
        me.acquire("k", B)
    assert len(looks) == 2


def test_a_waiter_that_comes_between_the_look_and_the_take_is_named(
    stores: Callable[[], LockStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, me = stores(), stores()
    first._enqueue("k", A)
    original, looks = LockTable.busy, []

    def busy(table: LockTable, key: str, owner: Owner, ticket: int | None) -> Busy | None:
        looks.append(key)
        return None if len(looks) == 1 else original(table, key, owner, ticket)

    monkeypatch.setattr(LockTable, "busy", busy)
    with pytest.raises(LockBusyError, match=r"k; run a of flow load, .* waits for it"):
        me.acquire("k", B)


def test_the_error_names_the_holder_of_this_key(stores: Callable[[], LockStore]) -> None:
    holder, me = stores(), stores()
    for key, owner in (("a", A), ("k", B), ("z", A)):
        holder.acquire(key, owner)
    with pytest.raises(LockBusyError, match=r"^Lock not acquired: k; held by run b of flow load, "):
        me.acquire("k", C)


def test_the_end_of_a_broken_lock_says_who_broke_it(
    stores: Callable[[], LockStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    def nameless() -> str:
        raise KeyError("no such account")

    monkeypatch.setattr(getpass, "getuser", nameless)
    holder, other = stores(), stores()
    lease = holder.acquire("k", A)
    kept = holder.acquire("kept", A)
    assert other.break_lock("k", reason="it hangs") is not None
    assert not lease.release()
    assert str(lease.why_lost) == f"it was released by {os.getuid()}: it hangs"
    assert kept.release()


def test_a_release_that_cannot_be_written_counts_until_the_lease_is_over(
    stores: Callable[[], LockStore], clock: HandClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(5, "Input/output error")

    store = stores()
    early, late = store.acquire("early", A, ttl_seconds=10), store.acquire("late", A, ttl_seconds=10)
    with monkeypatch.context() as broken:
        broken.setattr(durable, "write", fail)
        broken.setattr(durable, "transaction", fail)  # else the thread that renews may take the clock for its turn
        clock.mono += 9_999
        assert early.release()
        clock.mono += 1
        assert not late.release()


def test_closing_gives_all_back_and_ends_the_thread(tmp_path: Path) -> None:
    store = LockStore(tmp_path / "locks.sqlite")
    lease = store.acquire("k", A)
    thread = next(each for each in threading.enumerate() if each.name == "locks")
    store.close()
    assert not thread.is_alive()
    store.close()
    assert lease.release(), "it was given back already"
    with LockStore(tmp_path / "locks.sqlite") as other:
        assert other.holders() == []


def replace(path: Path) -> None:
    """Put a copy in the place of a store, as a backup that is copied back does."""
    copy = path.with_name("copy")
    with sqlite3.connect(path) as db, sqlite3.connect(copy) as other:
        db.backup(other)
    db.close()
    other.close()
    copy.replace(path)


def test_a_lock_whose_store_is_replaced_is_lost_and_free_for_others(tmp_path: Path) -> None:
    path = tmp_path / "locks.sqlite"
    store = LockStore(path)
    early, late = store.acquire("early", A), store.acquire("late", A)
    replace(path)
    assert early.lost
    assert not late.release()
    assert "was replaced by another file" in str(late.why_lost)
    store.close()
    with LockStore(path) as other:
        assert other.acquire("early", B).token == 2, "its row is in the copy, and its holder is known to be gone"


def test_who_waits_on_a_store_that_is_replaced_is_told(tmp_path: Path, sleeps: list[float]) -> None:
    path = tmp_path / "locks.sqlite"
    with LockStore(path) as holder, LockStore(path) as me:
        holder.acquire("k", A)

        def check() -> None:
            if len(sleeps) == 2:
                replace(path)

        with pytest.raises(durable.ReplacedFileError):
            me.acquire("k", B, wait_seconds=60, check=check)
        assert len(sleeps) == 2
