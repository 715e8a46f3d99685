"""A long history in a server: what the commands ask of it is found by indexes, however many steps there are."""

import re
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from aetherflow.core.kernel.state.store import StateStore
from aetherflow.core.records import registry
from aetherflow.core.records.history import latest_run, latest_unfinished, list_runs, run_details
from aetherflow.core.records.outbox import open_transitions
from aetherflow.core.records.overview import overview
from aetherflow.core.records.questions import open_questions
from aetherflow.core.records.trouble import trouble_of
from aetherflow.core.runtime.run_record import RunRecords, WantedRun
from aetherflow_builtins_db.stores.server import ServerDatabase
from long_history import fill
from server_stores import new_place
from torture_tier import sized

RUNS = {"postgres": sized(40_000, 100_000), "mariadb": sized(10_000, 100_000)}
STEPS = sized(2, 10)
pytestmark = pytest.mark.xdist_group("history_plans")  # one worker fills the tables, once

LARGE = "runs|job_runs|step_runs|journal"
MOST = 2_000
"""Rows that are sorted or read from end to end."""


@pytest.fixture(scope="module", params=RUNS)
def state(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = new_place(request, "history_plans")
    state = place.use(tmp_path_factory.mktemp("here"))
    fill(place, state, runs=RUNS[request.param], steps=STEPS, every=500)
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
    plans = list[tuple[str, list[tuple[Any, ...]]]]()
    execute = ServerDatabase.execute

    def explained(self: ServerDatabase, statement: str, values: Any = (), /) -> Any:
        if statement.startswith(("SELECT", "WITH")):
            plans.append((statement, [*execute(self, f"EXPLAIN {statement}", values)]))
        return execute(self, statement, values)

    monkeypatch.setattr(ServerDatabase, "execute", explained)
    ask(state)
    assert plans
    for statement, plan in plans:
        if "refused" in statement:  # there are few, and each looks at the runs of all flows of its file
            continue
        told = "\n".join(" ".join(map(str, row)) for row in plan)
        if len(plan[0]) == 1:
            assert not re.search(rf"Seq Scan on ({LARGE})\b", told), f"{statement}\n{told}"
        for _, _, _, kind, *_, rows, extra in plan if len(plan[0]) > 1 else ():
            costs = kind in ("ALL", "index") or "filesort" in (extra or "")
            assert not costs or int(rows or 0) <= MOST, f"{statement}\n{told}"
