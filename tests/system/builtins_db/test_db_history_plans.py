"""A long history in PostgreSQL: what the commands ask of it is found by indexes, however many steps there are."""

import re
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from aetherflow.core.kernel.state import registry
from aetherflow.core.kernel.state.history import latest_run, latest_unfinished, list_runs, run_details
from aetherflow.core.kernel.state.outbox import open_transitions
from aetherflow.core.kernel.state.overview import overview
from aetherflow.core.kernel.state.questions import open_questions
from aetherflow.core.kernel.state.registry_file import open_registry
from aetherflow.core.kernel.state.store import StateStore
from aetherflow.core.kernel.state.trouble import trouble_of
from aetherflow.core.runtime.run_record import RunRecords, WantedRun
from aetherflow_builtins_db.stores.server import ServerDatabase
from db_places import postgres_place
from server_stores import connected, use_postgres
from services import Database
from torture_tier import sized

RUNS, STEPS = sized(40_000, 100_000), sized(2, 10)
pytestmark = pytest.mark.xdist_group("history_plans")  # one worker fills the tables, once

FILL = """
INSERT INTO aetherflow_state.runs (flow_id, run_id, generation, status, engine_version, flow_path, fingerprint, params,
    run_date, data_date, actor, host, pid, trigger, command, started_at, finished_at)
    SELECT 'flow' || n % 100, 'run' || n, 1, CASE WHEN n % 500 = 7 THEN 'FAILED' ELSE 'SUCCESS' END, '1', '/f.yaml', '',
    '{{}}', '', '', 'ann', 'here', 1, 'cli', 'run', n * 1000, n * 1000 + 5 FROM generate_series(1, {runs}) n;
INSERT INTO aetherflow_state.job_runs (flow_id, run_id, job_id, status, started_at, finished_at)
    SELECT flow_id, run_id, 'job', status, started_at, finished_at FROM aetherflow_state.runs;
INSERT INTO aetherflow_state.step_runs (flow_id, run_id, job_id, step_id, attempt, status, effect, idem_key, plugin,
    started_at, finished_at) SELECT flow_id, run_id, 'job', 'step' || s, 1, status, 'once', '', '', started_at,
    finished_at FROM aetherflow_state.runs, generate_series(1, {steps}) s;
INSERT INTO aetherflow_state.journal (flow_id, run_id, at, event, detail)
    SELECT flow_id, run_id, started_at, 'step_end', '{{}}' FROM aetherflow_state.step_runs;
INSERT INTO aetherflow_registry.runs (run_id, flow_id, state_path, flow_path, started_at, status, ended_at, subject)
    SELECT run_id, flow_id, '{state}', flow_path, started_at, status, finished_at, 'of ' || run_id
    FROM aetherflow_state.runs;
INSERT INTO aetherflow_registry.flows SELECT 'flow' || n, '{state}', '/f.yaml', n FROM generate_series(0, 99) n;
ANALYZE
"""
LARGE = "runs|job_runs|step_runs|journal"


@pytest.fixture(scope="module")
def state(postgres: Database, tmp_path_factory: pytest.TempPathFactory) -> Path:
    server = postgres_place(postgres, "history_plans").server
    assert server is not None
    state = use_postgres(server, tmp_path_factory.mktemp("here"))
    StateStore(state).close()
    open_registry(state).close()
    with connected(server) as connection:
        for statement in FILL.format(runs=RUNS, steps=STEPS, state=state).split(";"):
            connection.execute(statement)
    return state


def details(state: Path) -> None:
    run = latest_run(state, "flow7")
    assert run is not None
    found = run_details(run, journal=True)
    assert found is not None
    assert (len(found.steps), len(found.journal)) == (STEPS, STEPS)
    assert open_questions(run) == []


def transitions(state: Path) -> None:
    with closing(StateStore(state)) as store:
        assert open_transitions(store.connection) == []


def wanted(numbers: range) -> list[WantedRun]:
    return [WantedRun(f"run{number}", flow_path="/f.yaml") for number in numbers]


@pytest.mark.parametrize(
    "ask",
    [
        lambda state: list_runs(state, limit=20),
        lambda state: list_runs(state, limit=1, statuses=frozenset({"SUCCESS", "RUNNING"})),
        lambda state: list_runs(state, flow_id="flow77", run_id="run77"),
        lambda state: latest_run(state, "flow99"),
        lambda state: latest_unfinished(state, "flow7"),
        details,
        transitions,
        lambda state: trouble_of(state, [("flow7", "run7"), ("flow7", "run507")]),
        lambda state: registry.find_runs(state, "run777"),
        lambda state: registry.look(state, overview),
        lambda state: RunRecords(state).find(wanted(range(7, 10))),
        lambda state: RunRecords(state).healed(wanted(range(7, 10))),
    ],
    ids=["latest 20", "status", "one", "latest", "unfinished", "show", "outbox", "trouble", "find", "status of all",
         "records", "healed"],
)  # fmt: skip
def test_no_large_table_is_read_as_a_whole(
    state: Path, ask: Callable[[Path], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    plans = list[tuple[str, str]]()
    execute = ServerDatabase.execute

    def explained(self: ServerDatabase, statement: str, values: Any = (), /) -> Any:
        if statement.startswith(("SELECT", "WITH")):
            plans.append((statement, "\n".join(row[0] for row in execute(self, f"EXPLAIN {statement}", values))))
        return execute(self, statement, values)

    monkeypatch.setattr(ServerDatabase, "execute", explained)
    ask(state)
    assert plans
    for statement, plan in plans:
        if "refused" in statement:  # there are few, and each looks at the runs of all flows of its file
            continue
        assert not re.search(rf"Seq Scan on ({LARGE})\b", plan), f"{statement}\n{plan}"
