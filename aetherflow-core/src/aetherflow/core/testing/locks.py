"""The suite for the contract of a lock store."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from aetherflow.core.base.errors import LeaseLostError, LockBusyError, StepCancelledError, UsageError
from aetherflow.core.kernel.locks.records import Owner

A, B, C = Owner("load", "a"), Owner("load", "b"), Owner("other", "c", 2)


def wait_for(condition: Callable[[], object], seconds: float = 20.0) -> None:
    """Wait until a condition is true; AssertionError after `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


class LockSuite:
    """Tests the contract of a lock store: `acquire`, `holders`, `waiters`, `break_lock`, `close`.

    **Provisional**: no other store can be plugged in yet, and what is tested may change with any minor version.

    Override `open` and `stop_renewing`. Two stores at the same place share their locks.
    """

    def open(self, place: Path) -> Any:
        """Open a lock store at this place, an empty folder at first."""
        raise NotImplementedError

    def stop_renewing(self, store: Any) -> None:
        """Stop the renewals of a store, as if its process were paused."""
        raise NotImplementedError

    @pytest.fixture
    def stores(self, tmp_path: Path) -> Iterator[tuple[Any, Any]]:
        """Two stores at one place, as in two processes."""
        with ExitStack() as stack:
            yield stack.enter_context(self.open(tmp_path)), stack.enter_context(self.open(tmp_path))

    # Taking and giving back

    def test_one_at_a_time_and_tokens_grow(self, stores: tuple[Any, Any]) -> None:
        """A second owner gets an error that names the holder; tokens grow; other keys are free."""
        store, other = stores
        with store.acquire("k", A) as lease:
            assert (lease.key, lease.owner, lease.lost) == ("k", A, False)
            lease.check()
            held = rf"Lock not acquired: k; held by run a of flow load, pid {os.getpid()} on \S+ since \d{{4}}-\S+Z\Z"
            with pytest.raises(LockBusyError, match=held) as caught:
                other.acquire("k", B)
            assert (caught.value.code, "wait_seconds" in caught.value.fix) == ("AF5301", True)
            other.acquire("another", B)
        tokens = [lease.token]
        for _ in range(3):
            with other.acquire("k", B) as later:
                tokens.append(later.token)
        assert tokens == sorted(set(tokens))

    def test_the_same_owner_shares_its_lock(self, stores: tuple[Any, Any]) -> None:
        """A lock is re-entrant for its owner in one store, and free after the last release."""
        store, other = stores
        outer, inner = store.acquire("k", A), store.acquire("k", A)
        assert inner.token == outer.token
        assert inner.release()
        with pytest.raises(LockBusyError):
            other.acquire("k", B)
        assert outer.release()
        assert outer.release()
        assert other.acquire("k", B).token > outer.token

    def test_a_resumed_run_is_another_owner(self, stores: tuple[Any, Any]) -> None:
        """The generation is part of the owner."""
        store, other = stores
        store.acquire("k", Owner("f", "r", 1))
        with pytest.raises(LockBusyError):
            other.acquire("k", Owner("f", "r", 2))

    def test_closing_gives_everything_back(self, stores: tuple[Any, Any]) -> None:
        """`close` releases all locks of the store."""
        store, other = stores
        store.acquire("k", A)
        store.acquire("l", A)
        assert [holder.key for holder in other.holders()] == ["k", "l"]
        store.close()
        assert other.holders() == []

    @pytest.mark.parametrize(("key", "ttl"), [("", 1.0), ("x" * 513, 1.0), ("k", 0.0), ("k", -1.0)])
    def test_what_no_lock_can_be(self, stores: tuple[Any, Any], key: str, ttl: float) -> None:
        """A key has 1 to 512 characters, and a time to live is greater than 0."""
        with pytest.raises(UsageError):
            stores[0].acquire(key, A, ttl_seconds=ttl)

    @pytest.mark.parametrize("key", ["ü \U0001f600", "a/b", "%", "K", "'"])
    def test_keys_are_taken_as_they_are(self, stores: tuple[Any, Any], key: str) -> None:
        """Any text is a key, and distinct from every other text."""
        store, other = stores
        store.acquire(key, A)
        other.acquire("k", B)
        with pytest.raises(LockBusyError):
            other.acquire(key, B)

    def test_many_threads_one_effective_holder(self, stores: tuple[Any, Any]) -> None:
        """In 40 acquisitions by 8 owners there are never two holders at once, and no token is used twice."""
        tokens: list[int] = []
        inside: list[Owner] = []
        failures: list[BaseException] = []

        def work(number: int) -> None:
            owner = Owner("f", f"r{number}")
            try:
                for _ in range(5):
                    with stores[number % 2].acquire("k", owner, wait_seconds=60) as lease:
                        inside.append(owner)
                        tokens.append(lease.token)
                        time.sleep(0.001)
                        assert inside == [owner]
                        inside.clear()
            except BaseException as error:  # noqa: BLE001 reported below
                failures.append(error)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []
        assert tokens == sorted(set(tokens))
        assert len(tokens) == 40

    # Waiting

    def test_waiting_ends_when_the_lock_is_free(self, stores: tuple[Any, Any]) -> None:
        """A waiter gets the lock soon after its release."""
        store, other = stores
        threading.Timer(0.2, store.acquire("k", A).release).start()
        started = time.monotonic()
        other.acquire("k", B, wait_seconds=10)
        assert 0.15 < time.monotonic() - started < 2
        assert other.waiters() == []

    def test_first_come_first_served(self, stores: tuple[Any, Any]) -> None:
        """Waiters get the lock in the order of their arrival."""
        store, other = stores
        lease = store.acquire("k", A)
        served: list[str] = []

        def wait(name: str) -> None:
            with other.acquire("k", Owner("f", name), wait_seconds=30):
                served.append(name)

        threads = []
        for number in range(4):
            threads.append(threading.Thread(target=wait, args=(f"r{number}",)))
            threads[-1].start()
            wait_for(lambda: len(store.waiters()) == len(threads))
        assert [waiter.owner.run_id for waiter in store.waiters()] == ["r0", "r1", "r2", "r3"]
        lease.release()
        for thread in threads:
            thread.join()
        assert served == ["r0", "r1", "r2", "r3"]

    def test_waiting_in_vain_names_the_holder(self, stores: tuple[Any, Any]) -> None:
        """The error after the wait names the holder, and the waiter leaves the queue."""
        store, other = stores
        store.acquire("k", A)
        with pytest.raises(LockBusyError, match=r"\ALock not acquired: k after 0\.1 s; held by run a of flow load"):
            other.acquire("k", B, wait_seconds=0.1)
        assert other.waiters() == []

    def test_waiting_can_be_cancelled(self, stores: tuple[Any, Any]) -> None:
        """`check` is called while waiting; what it raises ends the wait."""
        store, other = stores
        store.acquire("k", A)
        until = time.monotonic() + 0.2

        def check() -> None:
            if time.monotonic() > until:
                raise StepCancelledError("stop")

        with pytest.raises(StepCancelledError):
            other.acquire("k", B, wait_seconds=60, check=check)
        assert time.monotonic() < until + 1
        assert other.waiters() == []

    def test_two_threads_of_one_owner_share_what_the_first_gets(self, stores: tuple[Any, Any]) -> None:
        """Two waiting threads of one owner get the same lock."""
        store, other = stores
        lease = store.acquire("k", A)
        got: list[Any] = []
        threads = [
            threading.Thread(target=lambda: got.append(other.acquire("k", B, wait_seconds=10))) for _ in range(2)
        ]
        for thread in threads:
            thread.start()
        wait_for(lambda: len(store.waiters()) == 2)
        lease.release()
        for thread in threads:
            thread.join()
        assert got[0].token == got[1].token > lease.token
        assert store.waiters() == []

    # Time

    def test_a_lease_is_renewed_beyond_its_time_to_live(self, stores: tuple[Any, Any]) -> None:
        """A lease does not expire while its holder runs."""
        store, other = stores
        lease = store.acquire("k", A, ttl_seconds=0.3)
        with pytest.raises(LockBusyError):
            other.acquire("k", B, wait_seconds=0.9)
        assert not lease.lost

    def test_a_lease_that_is_not_renewed_ends(self, stores: tuple[Any, Any]) -> None:
        """It expires after its time to live; then another owner gets the key, and the first lease reports its loss."""
        store, other = stores
        lease = store.acquire("k", A, ttl_seconds=1)
        started = time.monotonic()
        self.stop_renewing(store)
        later = other.acquire("k", B, wait_seconds=20)
        assert 0.5 < time.monotonic() - started < 5
        assert later.token > lease.token
        assert lease.lost
        with pytest.raises(LeaseLostError, match=r"the lock k was lost"):
            lease.check()
        assert not lease.release()
        assert [holder.token for holder in other.holders()] == [later.token], "the late release took nothing"

    def test_a_loss_is_told_once(self, stores: tuple[Any, Any]) -> None:
        """When a lock is broken its holder is notified soon, once, with the reason."""
        store, other = stores
        told: list[Any] = []
        lease = store.acquire("k", A, ttl_seconds=0.3, on_lost=told.append)
        broken = other.break_lock("k", reason="the host is gone", actor="ann")
        assert (broken.owner, broken.token) == (A, lease.token)
        assert other.break_lock("k", reason="again") is None
        wait_for(lambda: told, 2)
        time.sleep(0.3)
        assert told == [lease]
        with pytest.raises(LeaseLostError, match="it was released by ann: the host is gone"):
            lease.check()
        assert other.acquire("k", B).token > lease.token
