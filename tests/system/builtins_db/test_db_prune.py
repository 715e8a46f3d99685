"""Pruning a state in a server: with messages for many runs at once, and no run that a process of another host has."""

import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from aetherflow.core.kernel.state.chain import add_heads
from aetherflow.core.kernel.state.ownership import RunLock
from aetherflow.core.kernel.state.store import StateStore
from aetherflow.core.records import pruning
from aetherflow.core.records.history import PastRun, list_runs
from aetherflow.core.records.pruning import Freed, doomed_runs, prune
from aetherflow.core.records.run_lock import run_lock
from aetherflow_builtins_db.stores import kept
from aetherflow_builtins_db.stores.kept import OFTEN, KeptConnection
from aetherflow_builtins_db.stores.server import ServerDatabase
from long_history import fill
from server_stores import SERVERS, ServerPlace, new_place

FLOW = "flow7"
FLOWS = 100
"""Of `fill`: each has a hundredth of the runs."""


@pytest.fixture(params=SERVERS)
def server(request: pytest.FixtureRequest) -> ServerPlace:
    return new_place(request, "prune")


@contextmanager
def lock_elsewhere(server: ServerPlace, folder: Path, run_id: str) -> Iterator[tuple[StateStore, RunLock]]:
    """The state as another host has it open, with a folder of its own, and the lock of a run there."""
    with closing(StateStore(server.use(folder / "there"))) as store:
        lock = run_lock(store.path, FLOW, run_id)
        server.use(folder)
        yield store, lock


def pruned(state: Path, *flows: str) -> list[Freed]:
    """Delete all runs of flows but their last one."""

    def pages(flow: str) -> Iterator[list[PastRun]]:
        yield from (runs for runs, _ in doomed_runs(state, flow, 1, None, include_unfinished=True))

    return list(prune(state, ((flow, pages(flow)) for flow in flows or [FLOW])))


@pytest.fixture
def used(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The connections that are used meanwhile, each as often as it is."""
    found = list[Any]()
    take = KeptConnection.take

    def taken(self: KeptConnection, *, reading: bool) -> Any:
        found.append(take(self, reading=reading))
        return found[-1]

    monkeypatch.setattr(KeptConnection, "take", taken)
    return found


def ids(state: Path) -> set[str]:
    return {run.run_id for run in list_runs(state, flow_id=FLOW)}


def test_many_runs_take_few_messages(server: ServerPlace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = server.use(tmp_path)
    fill(server, state, runs=1_000 * FLOWS, steps=1, every=50)
    messages, commits = list[int](), list[int]()
    ask, commit = server.kind.ask, ServerDatabase.commit

    def counted(self: Any, *texts: str) -> Any:
        messages.append(len(texts))
        return ask(self, *texts)

    def committed(self: ServerDatabase) -> None:
        commits.append(1)
        commit(self)

    monkeypatch.setattr(server.kind, "ask", counted)
    monkeypatch.setattr(ServerDatabase, "commit", committed)
    freed = pruned(state)
    assert sum(len(each.runs) for each in freed) == 999
    assert max(len(each.runs) for each in freed) <= 200, "others would wait long for a larger transaction"
    assert len(messages) <= 200
    assert sum(messages) <= 500, "statements"
    assert len(commits) <= 10
    assert [len(list_runs(state, flow_id=flow)) for flow in (FLOW, "flow8")] == [1, 1_000]
    tables = ("job_runs", "step_runs", "journal")
    rows = [server.within("state", f"SELECT count(*) FROM {name} WHERE flow_id='{FLOW}'") for name in tables]
    assert rows == [[(1,)]] * 3
    assert server.within("state", "SELECT count(*) FROM heads WHERE event='pruned'") == [(999,)]
    server.check_free()


def test_many_flows_take_few_connections(server: ServerPlace, tmp_path: Path, used: list[Any]) -> None:
    state = server.use(tmp_path)
    fill(server, state, runs=3 * FLOWS, steps=1, every=50)
    used.clear()
    assert sum(len(each.runs) for each in pruned(state, *(f"flow{number}" for number in range(FLOWS)))) == 2 * FLOWS
    assert len(used) <= FLOWS + OFTEN, "one look for each flow"
    assert len({id(each) for each in used}) <= OFTEN + 4
    server.check_free()


def test_a_connection_that_waited_is_not_used_again(
    server: ServerPlace, tmp_path: Path, used: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A host in between may have forgotten it, and its next question would wait for an answer."""
    state = server.use(tmp_path)
    fill(server, state, runs=FLOWS, steps=1, every=50)
    state = server.use(tmp_path / "another")  # as a process that only looks has it
    used.clear()
    assert len(ids(state)) == len(ids(state)) == 1
    assert used[0] is used[-1]
    monkeypatch.setattr(kept, "SOON_SECONDS", 0.0)
    assert len(ids(state)) == 1
    assert used[-1] is not used[0]
    server.check_free()


def test_a_run_that_another_host_has_stays(server: ServerPlace, tmp_path: Path) -> None:
    state = server.use(tmp_path)
    fill(server, state, runs=5 * FLOWS, steps=1, every=50)
    with lock_elsewhere(server, tmp_path, "run107") as (_, lease):
        lease.acquire("run107")
        freed = pruned(state)
        assert [run.run_id for each in freed for run in each.busy] == ["run107"]
        assert ids(state) == {"run107", "run407"}
        lease.check()  # type: ignore[attr-defined]
        lease.release()
    pruned(state)
    assert ids(state) == {"run407"}
    server.check_free()


def test_a_lease_of_a_process_of_this_host_that_was_killed_keeps_no_run(server: ServerPlace, tmp_path: Path) -> None:
    state = server.use(tmp_path)
    fill(server, state, runs=5 * FLOWS, steps=1, every=50)
    with closing(StateStore(state)) as store:
        killed = run_lock(store.path, FLOW, "run107")
        killed.acquire("run107")
        RunLock.release(killed)  # as the kernel does when a process is killed: the row stays
        assert not any(each.busy for each in pruned(state))
        assert ids(state) == {"run407"}
        killed.release()
    server.check_free()


def test_who_wants_a_run_that_is_being_deleted_waits_and_finds_none(
    server: ServerPlace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = server.use(tmp_path)
    fill(server, state, runs=5 * FLOWS, steps=1, every=50)
    acquired, found = threading.Event(), list[object]()

    with lock_elsewhere(server, tmp_path, "run107") as (there, lease):

        def start() -> None:
            lease.acquire("run107")
            acquired.set()
            found.append(there.find_run(FLOW, "run107"))
            lease.release()

        other = threading.Thread(target=start)

        def slowly(*given: Any) -> str:
            other.start()
            assert not acquired.wait(1)
            return add_heads(*given)

        monkeypatch.setattr(pruning, "add_heads", slowly)
        pruned(state)
        other.join(30)
    assert (found, ids(state)) == ([None], {"run407"})
    server.check_free()
