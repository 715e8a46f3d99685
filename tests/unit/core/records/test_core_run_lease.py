"""The lease of a run: who has it, and what its holder does no more once it has ended."""

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from aetherflow.core.base.errors import LostOwnershipError, RunBusyError
from aetherflow.core.kernel.state.ownership import RunLock
from aetherflow.core.kernel.state.records import Intervention
from aetherflow.core.kernel.state.run_state import RunState
from aetherflow.core.kernel.state.store import StateStore
from aetherflow.core.kernel.state.transitions import Status
from aetherflow.core.records import run_lease
from aetherflow.core.records.history import list_runs
from aetherflow.core.records.run_lock import lease_of, run_lock
from aetherflow.core.testing import RegistrySuite, StateBackendSuite
from aetherflow.core.testing.state_base import FACTS, FLOW, FROZEN, RUN_ID
from file_as_server import use_file


class TestStateInAServer(StateBackendSuite):
    """Without PostgreSQL: its rows, and what is in files beside a state file, through the same interface."""

    def open_store(self, place: Path) -> StateStore:
        return StateStore(use_file(place))

    def open_run(self, store: StateStore, flow_id: str, run_id: str) -> RunState:
        return RunState(store, flow_id, run_id)


class TestRegistryInAServer(RegistrySuite):
    """The same for the registry."""

    def root(self, place: Path) -> Path:
        return use_file(place)

    def open_store(self, place: Path) -> StateStore:
        return StateStore(use_file(place))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[StateStore]:
    with closing(StateStore(use_file(tmp_path))) as store:
        yield store


def begun(store: StateStore, lock: RunLock) -> RunState:
    run, lease = RunState(store, FLOW, RUN_ID), lease_of(lock)
    assert lease is not None
    run.unit.parts = (lease,)
    run.load()
    run.begin(FACTS, FROZEN, {}, Intervention())
    return run


def test_a_holder_whose_process_is_gone_is_followed_at_once(store: StateStore) -> None:
    killed = run_lock(store.path, FLOW, RUN_ID)
    killed.acquire(RUN_ID)
    begun(store, killed)
    RunLock.release(killed)  # as the kernel does when a process is killed: the row of its lease stays
    lock = run_lock(store.path, FLOW, RUN_ID)
    lock.acquire(RUN_ID)
    assert begun(store, lock).generation == 2
    lock.release()
    killed.release()
    assert store.connection.execute("SELECT * FROM owners").fetchall() == []


def test_another_host_waits_for_the_lease(store: StateStore, monkeypatch: pytest.MonkeyPatch) -> None:
    lock = run_lock(store.path, FLOW, RUN_ID)
    lock.acquire(RUN_ID)
    RunLock.release(lock)
    monkeypatch.setattr(run_lease, "boot_id", lambda: "of another host")
    other = run_lock(store.path, FLOW, RUN_ID)
    with pytest.raises(RunBusyError, match=r"run run is being executed by pid \d+ on "):
        other.acquire(RUN_ID)
    store.connection.execute("UPDATE owners SET expires_at = expires_at - 60000")
    other.acquire(RUN_ID)
    other.release()
    lock.release()


def test_a_forked_copy_does_not_end_the_lease(store: StateStore, monkeypatch: pytest.MonkeyPatch) -> None:
    lock = run_lock(store.path, FLOW, RUN_ID)
    lock.acquire(RUN_ID)
    with monkeypatch.context() as forked:
        forked.setattr(lock, "_process", 0)
        lock.release()
    assert store.connection.execute("SELECT count(*) FROM owners").fetchone() == (1,)
    lock.release()
    assert store.connection.execute("SELECT count(*) FROM owners").fetchone() == (0,)


def test_nothing_is_written_after_the_time_to_stop(store: StateStore, monkeypatch: pytest.MonkeyPatch) -> None:
    lock = run_lock(store.path, FLOW, RUN_ID)
    lock.acquire(RUN_ID)
    run = begun(store, lock)
    changes: list[Callable[[], object]] = [lambda: run.start_job("job", ""), lambda: run.finish(Status.SUCCESS)]
    with monkeypatch.context() as later:
        later.setattr(lock, "_renewed", -run_lease.HOLD_SECONDS)
        for change in changes:
            with pytest.raises(LostOwnershipError, match="the lease of run run in //sqlite:here has ended"):
                change()
    assert [found.status for found in list_runs(store.path)] == ["RUNNING"]
    run.finish(Status.SUCCESS)
    lock.release()
