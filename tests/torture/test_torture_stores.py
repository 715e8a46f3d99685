"""V2: the state in a server, whose connection is cut after any byte, or which is killed: all is there, once."""

import json
import queue
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from aetherflow.core.kernel.state.records import (
    Artifact,
    Frozen,
    Intervention,
    RunFacts,
    StepEffects,
    StepEnd,
    StepKey,
    StepStart,
)
from aetherflow.core.kernel.state.run_state import RunState
from aetherflow.core.kernel.state.store import StateStore
from aetherflow.core.kernel.state.transitions import Status
from aetherflow.core.records.claims import Claims
from aetherflow.core.records.step_claims import StepClaims
from aetherflow.core.testing.state_base import parts_of
from cutting import CuttingProxy, Direction
from server_stores import SERVERS, ServerPlace, new_place, place_of
from services import MortalServer, mortal_mariadb, mortal_postgres
from torture_tier import sample, sized, suite

pytestmark = pytest.mark.slow

FACTS = RunFacts("1.0.0", "/flow.yaml", "fingerprint", "ann", "host", 1, "api", "aetherflow run flow.yaml")
FROZEN = Frozen({}, None, "2026-11-28", "2026-11-28")
_DETAIL = "CASE WHEN event IN ('ledger_written', 'ledger_kept') THEN '' ELSE detail END"
"""Those name values by hashes over the time."""
OF_FLOWS = {
    "runs": "run_id, generation, status, reason",
    "step_runs": "run_id, job_id, step_id, attempt, status, outputs",
    "claims": "namespace, key, run_id, state",
    "journal": f"run_id, event, {_DETAIL}",
    "outbox": "run_id, event",
}
LAST_BYTES = 1000
"""Of the leave-taking: without them nothing is missing."""
TABLES = {
    "runs": "flow_id, run_id, generation, status, reason",
    "job_runs": "job_id, status, outputs",
    "step_runs": "job_id, step_id, attempt, status, outputs, blob",
    "artifacts": "step_id, path, size, gone_by",
    "ledger": "namespace, key, value, run_id",
    "claims": "namespace, key, run_id, state",
    "journal": f"run_id, event, {_DETAIL}",
    "outbox": "run_id, event",
    "blobs": "name, data",
    "definitions": "hash, text",
}


def work(state: Path, flow_id: str = "flow") -> None:
    """Two runs of three steps, which claim, write into a ledger, keep files and large outputs; one fails."""
    store = StateStore(state)
    try:
        for run_id in ("good", "bad"):
            run = RunState(store, flow_id, run_id)
            run.unit.parts = parts_of(run)
            run.load()
            run.begin(FACTS, FROZEN, {"hash": "text", "other": "text"}, Intervention())
            run.start_job("job", "job-hash")
            for number in range(3):
                key = StepKey("job", f"step{number}")
                run.steps.start(StepStart(key, "repeatable", "idem", "core 1.0.0", "hash"))
                effects = StepEffects()
                effects.artifacts["a"] = Artifact(f"/out/{number}", 3, "0" * 64)
                effects.ledger["seen", f"{number}"] = run_id
                claim = Claims(run).stage("files", f"{run_id}{number}", {"n": number}, None, {})
                StepClaims.of(effects).staged["files", claim.key] = claim
                text = json.dumps({"text": "x" * (300_000 if number == 1 else 10)})
                run.steps.finish(key, StepEnd(Status.SUCCESS, text, None, effects, job_outputs=text))
            run.finish_job("job", Status.SUCCESS)
            run.finish(Status.SUCCESS if run_id == "good" else Status.FAILED)
    finally:
        store.close()


def rows(server: ServerPlace) -> dict[str, list[tuple[Any, ...]]]:
    """What stands in the state, without times."""
    return {
        name: sorted(server.ask(f"SELECT {columns} FROM {server.schema('state')}.{name}"), key=repr)
        for name, columns in TABLES.items()
    }


def rows_of(server: ServerPlace, flow_id: str) -> dict[str, list[tuple[Any, ...]]]:
    """The same of one flow."""
    return {
        name: sorted(
            server.ask(f"SELECT {columns} FROM {server.schema('state')}.{name} WHERE flow_id='{flow_id}'"), key=repr
        )
        for name, columns in OF_FLOWS.items()
    }


def empty(server: ServerPlace) -> None:
    """Remove all rows, so that the next work begins anew."""
    server.ask(*(f"DELETE FROM {server.schema('state')}.{name}" for name in TABLES), "SELECT 1")


@pytest.fixture(params=SERVERS)
def server(request: pytest.FixtureRequest) -> ServerPlace:
    return new_place(request, "torture_stores")


@pytest.mark.parametrize("direction", ["up", "down"])
def test_a_connection_that_is_cut_changes_nothing(server: ServerPlace, tmp_path: Path, direction: Direction) -> None:
    work(server.use(tmp_path))
    expected = rows(server)
    assert {len(expected["runs"]), len(expected["step_runs"]) // 3, len(expected["blobs"])} == {2}
    empty(server)
    with CuttingProxy(server.server.port, direction, 1 << 40) as proxy:
        work(server.use(tmp_path, port=proxy.port))
        total = proxy.passed[direction]
    assert rows(server) == expected
    with suite(f"V2 {server.server.driver} {direction}", 1, 4) as counted:
        for limit in sample(range(1, total), sized(8, 500), direction):
            empty(server)
            with counted.case(f"after {limit} bytes {direction}"):
                with CuttingProxy(server.server.port, direction, limit) as proxy:
                    work(server.use(tmp_path, port=proxy.port))
                    assert proxy.connections > 1 or limit > total - LAST_BYTES, "it was cut"
                assert rows(server) == expected


@pytest.mark.parametrize("mortal", [mortal_postgres, mortal_mariadb])
def test_the_server_is_killed_and_comes_back(
    mortal: Callable[[], AbstractContextManager[MortalServer]], tmp_path: Path
) -> None:
    """In the middle of runs that are executed side by side: each has all of its rows, once."""
    with mortal() as server:
        place = place_of(server.database)
        state = place.use(tmp_path)
        work(state, "undisturbed")
        expected = rows_of(place, "undisturbed")
        flows = queue.SimpleQueue[str]()
        for number in range(sized(6, 50)):
            flows.put(f"flow{number}")
        done, failures = list[str](), list[BaseException]()

        def execute() -> None:
            while True:
                try:
                    flow_id = flows.get_nowait()
                except queue.Empty:
                    return
                try:
                    work(state, flow_id)
                    done.append(flow_id)
                except BaseException as error:  # noqa: BLE001 told below
                    failures.append(error)

        threads = [threading.Thread(target=execute) for _ in range(3)]
        for thread in threads:
            thread.start()
        for kill in range(sized(1, 5)):
            while len(done) <= kill and any(thread.is_alive() for thread in threads):
                time.sleep(0.01)
            server.kill()
            server.start_again()
        for thread in threads:
            thread.join()
        with suite(f"V2 {server.database.driver} killed", 1, 4) as counted:
            assert failures == []
            for flow_id in done:
                with counted.case(flow_id):
                    assert rows_of(place, flow_id) == expected
            assert len(done) == sized(6, 50)
