"""An installation moves from files to a server and back, also one that 1.0.0 has made."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from db_places import new_database
from old_data import unpack
from server_project import keep_states_in, state_of
from server_stores import SERVERS, connected
from services import Database

if TYPE_CHECKING:
    from core_project import Project


@pytest.fixture
def server(request: pytest.FixtureRequest, project: "Project", monkeypatch: pytest.MonkeyPatch) -> Database:
    found = new_database(request.getfixturevalue(getattr(request, "param", "postgres")), "moved")
    keep_states_in(project, found)
    monkeypatch.setenv("OPS_PASSWORD", project.env["OPS_PASSWORD"])
    return found


def copied(project: "Project", source: object, target: object) -> dict[str, Any]:
    done = project.command("state", "copy", str(source), str(target), "--json")
    assert done.code == 0, done.err
    return dict(json.loads(done.out)["copied"])


def rows_of(project: "Project", state: object) -> dict[str, int]:
    info = json.loads(project.cli("state", "info", str(state), "--json").out)["state"]
    return {
        name: count
        for name, count in info["rows"].items()
        if name not in ("blobs", "owners", "meta", "heads", "journal")
    }


def test_what_1_0_0_has_made_moves_to_a_server_and_back(project: "Project", server: Database, tmp_path: Path) -> None:
    state = state_of(server)
    old = unpack(tmp_path / "old")
    there = copied(project, old.states, state)
    assert there["runs"] > 3
    assert copied(project, old.states, state) == there | {
        "runs": 0, "left": there["runs"], "rows": 0, "outputs": 0
    }  # fmt: skip
    files = sorted(path for path in old.states.glob("*.sqlite") if path.name not in ("registry.sqlite", "locks.sqlite"))
    sums: dict[str, int] = {}
    for path in files:
        for name, count in rows_of(project, path).items():
            sums[name] = sums.get(name, 0) + count
    found = rows_of(project, state)
    assert {name: found[name] for name in sums if name != "definitions"} == {
        name: count for name, count in sums.items() if name != "definitions"
    }
    assert project.command("state", "check", state).code == 0
    listed = json.loads(project.command("runs", "list", "--json", "--limit", "1000").out)["runs"]
    assert len(listed) == there["runs"]
    back = copied(project, state, project.folder / "back")
    assert back["runs"] == there["runs"]
    for path in map(Path, back["targets"]):
        assert rows_of(project, path)["runs"] == rows_of(project, old.states / path.name)["runs"]
        assert project.cli("state", "check", str(path)).code == 0


@pytest.mark.parametrize("server", SERVERS, indirect=True)
def test_a_run_that_failed_at_files_goes_on_in_the_server(project: "Project", server: Database) -> None:
    config = (project.folder / "aetherflow.yaml").read_text()
    project.write(config.replace("state: {resource: ops_db}\n", ""), "aetherflow.yaml")
    project.write(
        "version: 1\nflow: {id: f, locks: {scope: flow}}\njobs:\n  - id: a\n    steps:\n"
        '      - {id: large, type: external.process, inputs: {command: [seq, "100000"], log: {stdout: capture}}}\n'
        '      - {id: mark, type: external.process, inputs: {command: [test, -e, "{{env.MARK}}"]}}\n'
    )
    project.env["MARK"] = str(project.folder / "mark")
    assert project.command("run", "flow.yaml", "--run-id", "r1").code == 1
    project.write(config, "aetherflow.yaml")
    assert copied(project, project.states, state_of(server))["runs"] == 1
    (project.folder / "mark").touch()
    resumed = project.command("resume", "r1")
    assert (resumed.code, "reused from attempt 1" in resumed.out) == (0, True), resumed.err
    assert "token=2" in resumed.err  # fencing tokens never fall


TWO_FLOWS = """\
version: 1
flow: {id: NAME}
jobs:
  - id: a
    steps:
      - {id: say, type: external.process, inputs: {command: [echo, "{{env.CITY}}"]}}
"""


def test_the_chain_of_a_copy_holds(project: "Project", server: Database) -> None:
    config = (project.folder / "aetherflow.yaml").read_text()
    project.write(config.replace("state: {resource: ops_db}\n", ""), "aetherflow.yaml")
    project.env["CITY"] = "Oslo"
    for number, name in enumerate(("f", "g", "f", "g")):
        project.write(TWO_FLOWS.replace("NAME", name))
        assert project.command("run", "flow.yaml", "--run-id", f"r{number}").code == 0
    assert copied(project, project.states, "//postgres:ops_db")["runs"] == 4
    project.write(config, "aetherflow.yaml")

    def checked(state: object) -> str:
        return project.command("state", "check", str(state), "--read-data").out

    assert checked("//postgres:ops_db") == "OK: //postgres:ops_db\n"
    assert project.command("run", "flow.yaml", "--run-id", "r4").code == 0
    back = copied(project, "//postgres:ops_db", project.folder / "back")
    assert (back["runs"], len(back["targets"])) == (5, 2)
    assert [checked(path) for path in back["targets"]] == [f"OK: {path}\n" for path in back["targets"]]
    with connected(server) as connection:
        connection.execute("UPDATE aetherflow_state.journal SET at=at+1 WHERE run_id='r3' AND event='run_start'")
    refused = project.command("state", "copy", "//postgres:ops_db", "other")
    assert (refused.code, "is not what its chain says, and was not copied: g/r3" in refused.err) == (4, True)
