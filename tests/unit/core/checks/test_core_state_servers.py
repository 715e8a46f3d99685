"""States in a database server, as `validate`, `explain` and `schema` know them."""

import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from core_project import Project

RESOURCES = """\
resources:
  ops_db: {kind: db, driver: postgres, config: {host: db.example.com, database: ops, user: etl}}
  lake: {kind: db, driver: sqlite3, config: {path: lake.sqlite}}
  mailer: {kind: mail, driver: smtp, config: {host: localhost}}
  sealed: {kind: db, driver: postgres, config: {host: h, password: x}, decode: {config: {password: true}}}
"""
FLOW = (
    "version: 1\nflow: {{id: f{state}}}\njobs: [{{id: a, steps: [{{id: s, type: sleep, inputs: {{seconds: 0}}}}]}}]\n"
)


def errors(project: "Project", name: str) -> list[tuple[int, int, str, str, str]]:
    report = json.loads(project.cli("validate", name, "--json").out)
    (found,) = report.get("results", (report,))
    return [(each["line"], each["col"], each["af"], each["msg"], each["fix"]) for each in found["errors"]]


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ("{resource: ops_db}", []),
        ("{resource: opsdb}", [(1, 19, "AF1209", "no resource 'opsdb' in the project file", "did you mean 'ops_db'?")]),
        ("{resource: mailer}", [(1, 19, "AF1210", "resource 'mailer' is of kind mail", "name one of kind db")]),
        ("{resource: lake}", [(4, 28, "AF1210", "resource 'lake' is db:sqlite3",
                               "name one whose driver is mysql or postgres")]),
        ("{resource: sealed}", [(6, 80, "AF1104", "resources.sealed.decode: a resource that keeps states may use env",
                                 'give the secret in a variable: password: "{{env.OPS_PASSWORD}}"')]),
        ("{}", [(1, 1, "AF1102", "state lacks the key 'resource'", "")]),
    ],
)  # fmt: skip
def test_the_project_file_names_a_database_that_can_keep_states(
    project: "Project", state: str, expected: list[tuple[int, int, str, str, str]]
) -> None:
    project.write(f"state: {state}\n{RESOURCES}", "aetherflow.yaml")
    project.write(FLOW.format(state=""))
    found = [each for each in errors(project, "aetherflow.yaml") if each[2] != "AF1702"]
    assert [each[:3] for each in found] == [each[:3] for each in expected]
    for (*_, message, fix), (*_, words, wanted) in zip(found, expected, strict=True):
        assert words in message
        assert fix.endswith(wanted)
    if expected and "resource" in state:  # a flow that would keep its state there is told the same
        assert [each[2] for each in errors(project, "flow.yaml")] == [each[2] for each in expected]
        assert errors(project, "flow.yaml")[0][3] == found[0][3]
        refused = project.cli("run", "flow.yaml")
        assert refused.code == 2
        assert f"aetherflow.yaml:{expected[0][0]}:{expected[0][1]}: {expected[0][2]}" in refused.err


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ("{backend: postgres, resource: ops_db}", []),
        ("{backend: sqlite, path: f.sqlite}", []),
        ("{backend: redis}", [(32, "AF1104", "flow.state.backend: 'redis' is not supported", "postgres, sqlite")]),
        ("{backend: postgres}", [(22, "AF1102", "flow.state lacks the key 'resource'", "resource: NAME}")]),
        ("{backend: postgres, resource: nope}", [(52, "AF1209", "no resource 'nope' in the project file", "ops_db")]),
        ("{resource: ops_db}", [(22, "AF1104", "resource 'ops_db' is postgres, and not sqlite",
                                 "write: state: {backend: postgres, resource: ops_db}")]),
        ("{backend: sqlite, resource: ops_db}", [(32, "AF1104", "resource 'ops_db' is postgres, and not sqlite", "")]),
        ("{backend: postgres, resource: ops_db, path: f.sqlite}",
         [(66, "AF1104", "flow.state.path: a state in a server has no file", "remove it, or `resource`")]),
    ],
)  # fmt: skip
def test_a_flow_names_a_database_of_the_project_file(
    project: "Project", state: str, expected: list[tuple[int, str, str, str]]
) -> None:
    project.write(RESOURCES, "aetherflow.yaml")
    project.write(FLOW.format(state=f", state: {state}"))
    found = errors(project, "flow.yaml")
    assert [(line, column, code) for line, column, code, *_ in found] == [(2, each[0], each[1]) for each in expected]
    for (*_, message, fix), (*_, words, wanted) in zip(found, expected, strict=True):
        assert words in message
        assert wanted in fix


def test_without_a_project_file_no_resource_keeps_states(project: "Project") -> None:
    project.write(FLOW.format(state=", state: {backend: postgres, resource: ops_db}"))
    assert [each[2] for each in errors(project, "flow.yaml")] == ["AF1209"]


@pytest.mark.parametrize("flow", ["", ", state: {backend: postgres, resource: ops_db}"])
def test_explain_says_where_the_state_is_and_who_says_so(project: "Project", flow: str) -> None:
    project.write(("" if flow else "state: {resource: ops_db}\n") + RESOURCES, "aetherflow.yaml")
    project.write(FLOW.format(state=flow))
    (line,) = [each for each in project.cli("explain", "flow.yaml").out.splitlines() if "flow.state.path" in each]
    assert line.split()[:2] == ["flow.state.path", "//postgres:ops_db"]
    assert line.endswith("flow.yaml:2:52" if flow else "aetherflow.yaml:1:19")


def test_a_file_of_its_own_needs_no_server(project: "Project") -> None:
    project.write(f"state: {{resource: ops_db}}\n{RESOURCES}", "aetherflow.yaml")
    project.write(FLOW.format(state=", state: {path: own.sqlite}"))
    assert '"own.sqlite"' in project.cli("explain", "flow.yaml", "--json").out


def test_the_schema_of_a_flow_lists_the_backends(project: "Project") -> None:
    schema = json.loads(project.cli("schema", "flow").out)
    (state,) = [each for name, each in schema["$defs"].items() if "StateSpec" in name]
    assert state["properties"]["backend"]["enum"] == ["sqlite", "mysql", "postgres"]


def test_the_lock_store_may_be_a_resource_of_the_project(project: "Project", monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AETHERFLOW_LOCK_STORE", "ops_db")
    own = "\nresources: {ops_db: {kind: db, driver: sqlite3, config: {path: x.sqlite}}}"
    project.write(FLOW.format(state="") + own)
    refused = project.cli("run", "flow.yaml")
    assert (refused.code, "is a resource of the flow, and all flows share the locks" in refused.err) == (2, True)
    project.write(RESOURCES.replace("driver: postgres", "driver: oracledb", 1), "aetherflow.yaml")
    listed = project.cli("locks", "list")
    assert (listed.code, "resource 'ops_db' is db:oracledb, which keeps no states" in listed.err) == (2, True)


def test_two_projects_of_one_process_do_not_mean_two_servers_by_one_name(project: "Project") -> None:
    for name, host in (("one", "a.example.com"), ("two", "b.example.com")):
        (project.folder / name).mkdir()
        text = RESOURCES.replace("ops_db", "shared").replace("db.example.com", host)
        project.write(f"state: {{resource: shared}}\n{text}", f"{name}/aetherflow.yaml")
        project.write(FLOW.format(state=""), f"{name}/flow.yaml")
    assert project.cli("explain", "one/flow.yaml").code == 0
    refused = project.cli("plan", "two/flow.yaml")
    assert (refused.code, "mean two databases by //postgres:shared" in refused.err) == (2, True)


def test_a_policy_and_enterprise_mode_know_whose_backend_it_is(project: "Project") -> None:
    project.write(f"state: {{resource: ops_db}}\npolicy: {{mode: enterprise}}\n{RESOURCES}", "aetherflow.yaml")
    shown = json.loads(project.cli("plugins", "list", "--kind", "state backend", "--json").out)["plugins"]
    assert [(each["name"], each["distribution"], each["status"]) for each in shown] == [
        (name, "aetherflow-builtins-db", "ok") for name in ("mysql", "postgres")
    ]
    text = project.cli("plugins", "show", "postgres").out
    assert text.startswith("state backend postgres\n\nState, locks and ledger in a database of PostgreSQL")
