"""Who may execute a run whose state is in a server: one process among all hosts, for the time of a lease."""

import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from aetherflow.core.base.errors import LostOwnershipError, RunBusyError, UsageError
from aetherflow.core.kernel.state.ownership import RunLock
from aetherflow.core.kernel.state.records import Frozen, Intervention, RunFacts
from aetherflow.core.kernel.state.run_state import RunState
from aetherflow.core.kernel.state.store import StateStore
from aetherflow.core.kernel.state.transitions import Status
from aetherflow.core.records import run_lease
from aetherflow.core.records.claim_history import list_claims
from aetherflow.core.records.history import latest_run, list_runs, run_details
from aetherflow.core.records.pruning import doomed_runs, prune
from aetherflow.core.records.questions import open_questions
from aetherflow.core.records.resolving import resolve
from aetherflow.core.records.run_lock import lease_of, run_lock
from aetherflow.core.records.trouble import trouble_of
from aetherflow.core.testing import FlowProject
from cutting import CuttingProxy
from server_stores import SERVERS, ServerPlace, new_place

FACTS = RunFacts("1.0.0", "/flow.yaml", "fingerprint", "ann", "host", 1, "api", "aetherflow run flow.yaml")
FROZEN = Frozen({}, None, "2026-11-28", "2026-11-28")


@pytest.fixture(params=SERVERS)
def server(request: pytest.FixtureRequest) -> ServerPlace:
    return new_place(request, "leases")


@contextmanager
def host(
    name: str, server: ServerPlace, folder: Path, monkeypatch: pytest.MonkeyPatch, **more: Any
) -> Iterator[StateStore]:
    """A state as a host of this name has it open: another boot, another folder."""
    monkeypatch.setattr(run_lease, "boot_id", lambda: f"boot of {name}")
    monkeypatch.setattr(run_lease, "hostname", lambda: name)
    with closing(StateStore(server.use(folder / name, **more))) as store:
        yield store


def begin(store: StateStore, lock: RunLock) -> RunState:
    run, lease = RunState(store, "flow", "run"), lease_of(lock)
    assert lease is not None
    run.unit.parts = (lease,)
    run.load()
    run.begin(FACTS, FROZEN, {}, Intervention())
    return run


def test_one_host_executes_a_run(server: ServerPlace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with host("one", server, tmp_path, monkeypatch) as store:
        mine = run_lock(store.path, "flow", "run")
        mine.acquire("run")
        run = begin(store, mine)
        with host("two", server, tmp_path, monkeypatch) as other:
            with pytest.raises(RunBusyError, match=r"run run is being executed by pid \d+ on one"):
                run_lock(other.path, "flow", "run").acquire("run")
            another = run_lock(other.path, "flow", "another")
            another.acquire("another")
            run.finish(Status.FAILED)
            mine.release()
            theirs = run_lock(other.path, "flow", "run")
            theirs.acquire("run")
            assert begin(other, theirs).generation == 2
            theirs.release()
            another.release()


def test_the_same_host_takes_over_at_once(server: ServerPlace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with host("one", server, tmp_path, monkeypatch) as store:
        killed = run_lock(store.path, "flow", "run")
        killed.acquire("run")
        old = begin(store, killed)
        RunLock.release(killed)  # as the kernel does when a process is killed: the row stays
        with host("two", server, tmp_path, monkeypatch) as other, pytest.raises(RunBusyError):
            run_lock(other.path, "flow", "run").acquire("run")
        with host("one", server, tmp_path, monkeypatch) as again:
            lock = run_lock(again.path, "flow", "run")
            lock.acquire("run")
            assert begin(again, lock).generation == 2
            with pytest.raises(LostOwnershipError):
                old.finish(Status.SUCCESS)
            lock.release()
        killed.release()


def taken_when_free(lock: RunLock) -> float:
    """Take the lock of the run as soon as its lease has ended; returns when."""
    until = time.monotonic() + 60
    while True:
        try:
            lock.acquire("run")
        except RunBusyError:
            assert time.monotonic() < until, "the lease never ends"
            time.sleep(0.05)
        else:
            return time.monotonic()


def test_who_cannot_reach_the_server_stops_before_another_host_begins(
    server: ServerPlace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_lease, "LEASE_SECONDS", 3.0)
    monkeypatch.setattr(run_lease, "HOLD_SECONDS", 1.0)
    monkeypatch.setattr(run_lease, "RENEW_SECONDS", 0.2)
    monkeypatch.setattr(run_lease, "RETRY_SECONDS", 0.1)
    lost, stopped_at = threading.Event(), list[float]()

    def lose() -> None:
        stopped_at.append(time.monotonic())
        lost.set()

    proxy = CuttingProxy(server.server.port, "up", 1 << 40)
    with host("one", server, tmp_path, monkeypatch, port=proxy.port) as store:
        lock = run_lock(store.path, "flow", "run")
        lock.acquire("run")
        run = begin(store, lock)
        lease = lease_of(lock)
        assert lease is not None
        beating = lease.beating(lambda _: None, lose, lambda _: None)
        with beating, host("two", server, tmp_path, monkeypatch) as other:
            theirs = run_lock(other.path, "flow", "run")
            proxy.close()
            for (session,) in server.ask(server.other_sessions):  # what is open breaks, and nothing new gets through
                server.ask(server.end_session.format(session))
            taken_at = taken_when_free(theirs)
            assert lost.wait(30)
            assert stopped_at[0] < taken_at
            with pytest.raises(LostOwnershipError, match="has ended: another process may own the run"):
                run.finish(Status.SUCCESS)
            assert begin(other, theirs).generation == 2
            theirs.release()
        lock.release()


def test_a_lease_that_was_taken_begins_nothing(
    server: ServerPlace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that waited for the lock of its flow, and lost its own meanwhile."""
    with host("one", server, tmp_path, monkeypatch) as store:
        lock = run_lock(store.path, "flow", "run")
        lock.acquire("run")
        server.ask(f"UPDATE {server.schema('state')}.owners SET holder='another'")
        with pytest.raises(LostOwnershipError):
            begin(store, lock)
        assert store.find_run("flow", "run") is None
        lock.release()


def test_a_flow_runs_with_its_state_in_the_server(server: ServerPlace, tmp_path: Path) -> None:
    state = server.use(tmp_path / "here")
    project = FlowProject(tmp_path / "project")
    flow = """\
        version: 1
        flow: {{id: f, state: {{path: "{state}"}}, locks: {{scope: flow}}}}
        jobs:
          - id: a
            steps:
              - {{id: s, type: assert, inputs: {{condition: "1 == {wanted}"}}}}
        """
    project.write(flow.format(state=state, wanted=2))
    project.env["AETHERFLOW_LOCK_STORE"] = str(state)
    failed = project.run(run_id="r")
    assert failed.summary.status == Status.FAILED
    project.write(flow.format(state=state, wanted=1))
    again = project.run(run_id="r", accept_changes=True)
    assert again.summary.status == Status.SUCCESS
    found = latest_run(state, "f")
    assert found is not None
    assert (found.run_id, found.generation, found.status, found.state_path) == ("r", 2, "SUCCESS", str(state))
    details = run_details(found, journal=True)
    assert details is not None
    assert [(step.step_id, step.attempt, step.status) for step in details.steps] == [
        ("s", 1, "FAILED"), ("s", 2, "SUCCESS"),
    ]  # fmt: skip
    assert [run.run_id for run in list_runs(state, statuses=frozenset({"SUCCESS"}))] == ["r"]
    assert list_claims(state) == []
    assert open_questions(found) == []
    assert [each.error for each in trouble_of(state, [("f", "r")])] == [None]
    with pytest.raises(UsageError, match="there is nothing to resolve"):
        resolve(state, "f", "r", "done", actor="ann", host="here", reason="ticket 7")
    doomed = (runs for runs, _ in doomed_runs(state, "f", 0, None, include_unfinished=False))
    assert [run.run_id for freed in prune(state, [("f", doomed)]) for run in freed.runs] == ["r"]
    assert list_runs(state) == []
    for store, table in (("state", "journal"), ("state", "owners"), ("locks", "locks")):
        assert server.ask(f"SELECT count(*) FROM {server.schema(store)}.{table}") == [(0,)]


def test_whether_a_run_lives_is_told_by_the_clock_of_the_server(
    server: ServerPlace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with host("one", server, tmp_path, monkeypatch) as store:
        lock = run_lock(store.path, "flow", "run")
        lock.acquire("run")
        run = RunState(store, "flow", "run")
        run.load()
        run.begin(FACTS._replace(host="one"), FROZEN, {}, Intervention())
        with host("two", server, tmp_path, monkeypatch) as other:
            monkeypatch.setattr(time, "time_ns", lambda: 0)  # of a host whose clock nobody has set
            assert [found.status for found in list_runs(other.path)] == ["RUNNING"]
            other.connection.execute("UPDATE runs SET heartbeat_at = heartbeat_at - 61000")
            assert [found.status for found in list_runs(other.path)] == ["INTERRUPTED"]
        lock.release()
