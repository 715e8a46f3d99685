"""Locks in a server that several hosts share: another boot, another monotonic clock, no common files."""

import threading
import time
from contextlib import closing
from pathlib import Path

import pytest

from aetherflow.core.base.errors import LockBusyError
from aetherflow.core.kernel.locks.clock import Clock
from aetherflow.core.kernel.locks.records import Owner
from aetherflow.core.kernel.locks.store import LockStore
from aetherflow.core.testing.locks import wait_for
from aetherflow_builtins_db.stores.server import ServerDatabase
from server_stores import SERVERS, ServerPlace, new_place

A, B, C = Owner("f", "a"), Owner("f", "b"), Owner("f", "c")


class HostClock(Clock):
    """The clock of another host, whose monotonic one began at another time."""

    def __init__(self, name: str, began: int, server: ServerPlace) -> None:
        super().__init__(lambda: _server_ms(server))
        self.boot = f"boot of {name}"
        self._began = began

    def mono_ms(self) -> int:
        return super().mono_ms() + self._began


def _server_ms(server: ServerPlace) -> int:
    return int(server.ask(f"SELECT {server.kind.clock}")[0][0])


@pytest.fixture(params=SERVERS)
def server(request: pytest.FixtureRequest) -> ServerPlace:
    return new_place(request, "shared_locks")


def on_host(name: str, began: int, server: ServerPlace, folder: Path) -> LockStore:
    return LockStore(server.use(folder / name), clock=HostClock(name, began, server))


def test_one_host_holds_and_the_other_one_waits(server: ServerPlace, tmp_path: Path) -> None:
    with on_host("one", 0, server, tmp_path) as one, on_host("two", 10**9, server, tmp_path) as two:
        lease = one.acquire("k", A, ttl_seconds=30)
        with pytest.raises(LockBusyError, match="held by run a of flow f"):
            two.acquire("k", B)
        served: list[str] = []

        def wait(store: LockStore, owner: Owner) -> None:
            with store.acquire("k", owner, wait_seconds=60):
                served.append(owner.run_id)

        threads = []
        for store, owner in ((two, B), (one, C)):
            threads.append(threading.Thread(target=wait, args=(store, owner)))
            threads[-1].start()
            wait_for(lambda: len(one.waiters()) == len(threads))
        assert [waiter.alive for waiter in one.waiters()] == [True, True]
        assert [waiter.alive for waiter in two.waiters()] == [True, True]
        lease.release()
        for thread in threads:
            thread.join()
        assert served == ["b", "c"], "first come, first served, whatever the host"
        assert two.acquire("k", B).token == 4


def test_a_host_that_is_gone_is_waited_for_as_long_as_its_lease(server: ServerPlace, tmp_path: Path) -> None:
    one = on_host("one", 10**9, server, tmp_path)
    lease = one.acquire("k", A, ttl_seconds=1)
    for hold in one._renewal.all():
        one._renewal.remove(hold)
    with on_host("two", 0, server, tmp_path) as two:
        began = time.monotonic()
        taken = two.acquire("k", B, wait_seconds=60)
        assert time.monotonic() - began > 0.3
        assert taken.token == lease.token + 1
        assert lease.lost
        assert not lease.release()
        assert [holder.token for holder in two.holders()] == [taken.token]
    one.close()


def test_a_run_that_goes_on_at_another_host_is_not_behind_those_that_wait_for_it(
    server: ServerPlace, tmp_path: Path
) -> None:
    before, after = Owner("f", "a", 1), Owner("f", "a", 2)
    with on_host("one", 0, server, tmp_path) as one, on_host("two", 10**9, server, tmp_path) as two:
        lost = one.acquire("k", before, ttl_seconds=3000)
        served = threading.Event()

        def wait() -> None:
            with two.acquire("k", B, wait_seconds=600):
                served.set()

        thread = threading.Thread(target=wait)
        thread.start()
        wait_for(two.waiters)
        with two.acquire("k", after) as lease:
            assert lease.token == lost.token + 1
            assert not served.is_set()
        thread.join()
        assert served.is_set()
        assert not lost.release()


def test_a_waiter_that_shows_no_life_is_passed_over(server: ServerPlace, tmp_path: Path) -> None:
    with closing(on_host("one", 0, server, tmp_path)) as one, on_host("two", 5, server, tmp_path) as two:
        lease = two.acquire("k", A)
        one._enqueue("k", B)  # its host is switched off now
        lease.release()
        with pytest.raises(LockBusyError, match="run b of flow f"):
            two.acquire("k", C)
        server.ask(f"UPDATE {server.schema('locks')}.waiters SET beat_at = beat_at - 60000")
        assert [waiter.alive for waiter in two.waiters()] == [False]
        two.acquire("k", C)
        assert two.waiters() == []


def test_who_lost_the_race_of_an_undone_transaction_waits_like_all(
    server: ServerPlace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A deadlock or a lost connection undoes what was read, and another one takes the lock before it is read again."""
    with on_host("one", 0, server, tmp_path) as one, on_host("two", 0, server, tmp_path) as two:
        drop_dead_waiters = one._table._drop_dead_waiters

        def undone(key: str) -> None:
            monkeypatch.undo()
            assert isinstance(one._db, ServerDatabase)
            ((session,),) = one._db._connection.ask(server.number_of_session)[0].rows
            server.ask(server.end_session.format(session))
            two.acquire("k", B)
            drop_dead_waiters(key)

        monkeypatch.setattr(one._table, "_drop_dead_waiters", undone)
        with pytest.raises(LockBusyError, match="held by run b of flow f"):
            one.acquire("k", A)
