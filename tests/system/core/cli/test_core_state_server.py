"""A team that has outgrown one machine: its states are in PostgreSQL, and no flow and no command is another one."""

import dataclasses
import json
import re
import shlex
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import warm
from aetherflow.core.api import install_command
from db_places import new_database
from server_project import OtherHost, end_leases, keep_states_in, state_of
from server_stores import SERVERS, MariadbPlace, connected, place_of
from services import Database, mortal_postgres, need, running_mariadb

if TYPE_CHECKING:
    from core_project import Project

pytestmark = pytest.mark.xdist_group("waiting")  # one worker waits, while the others work
HEAD = "version: 1\nflow: {id: f}\n"
FAILS_ONCE = f"""\
{HEAD}jobs:
  - id: a
    steps:
      - {{id: done, type: external.process, effect: once, inputs: {{command: [sh, -c, "echo done >> $EFFECTS"]}}}}
      - {{id: mark, type: external.process, inputs: {{command: [test, -e, "{{{{env.MARK}}}}"]}}}}
      - {{id: end, type: external.process, inputs: {{command: [sh, -c, "echo end >> $EFFECTS"]}}}}
"""
WAITS = f"""\
{HEAD}jobs:
  - id: a
    steps:
      - {{id: first, type: external.process, inputs: {{command: [sh, -c, "echo first >> $EFFECTS"]}}}}
      - id: wait
        type: external.process
        inputs: {{command: [sh, -c, "echo begun >> $EFFECTS; while [ ! -e $MARK ]; do sleep 0.1; done"]}}
      - {{id: last, type: external.process, inputs: {{command: [sh, -c, "echo last >> $EFFECTS"]}}}}
"""


@pytest.fixture
def server(request: pytest.FixtureRequest, project: "Project", monkeypatch: pytest.MonkeyPatch) -> Database:
    found = new_database(request.getfixturevalue(getattr(request, "param", "postgres")), "ops")
    keep_states_in(project, found)
    for name, value in (("OPS_PASSWORD", project.env["OPS_PASSWORD"]), ("MARK", str(project.folder / "mark"))):
        project.env[name] = value
        monkeypatch.setenv(name, value)
    return found


def until(found: Callable[[], object], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not found():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def statuses(project: "Project") -> dict[str, str]:
    listed = json.loads(project.command("runs", "list", "--json").out)["runs"]
    return {run["run_id"]: run["status"] for run in listed}


@pytest.mark.parametrize("server", SERVERS, indirect=True)
def test_what_failed_is_shown_and_goes_on(project: "Project", server: Database) -> None:
    state = state_of(server)
    project.write(FAILS_ONCE)
    assert project.command("validate", "flow.yaml").code == 0
    planned = project.command("plan", "flow.yaml")
    assert (planned.code, planned.out.count("not run yet")) == (0, 3)
    assert project.command("runs", "list").out == f"no such run under {state}\n"

    failed = project.command("run", "flow.yaml", "--run-id", "r1")
    assert (failed.code, f"state  {state}" in failed.out) == (1, True)
    shown = project.command("status")
    assert (shown.code, "aetherflow resume r1" in shown.out) == (1, True)
    assert "verdict" in project.command("plan", "flow.yaml", "--run-id", "r1").out
    (project.folder / "mark").touch()
    resumed = project.command("resume", "r1")
    assert (resumed.code, resumed.err.count("step_start")) == (0, 2)
    assert project.lines() == ["done", "end"]

    assert project.command("status").code == 0
    assert statuses(project) == {"r1": "SUCCESS"}
    details = json.loads(project.command("runs", "show", "r1", "--json").out)
    assert details["state_path"] == state
    assert [each["status"] for each in details["jobs"][0]["steps"]] == ["SUCCESS", "FAILED", "SUCCESS", "SUCCESS"]
    assert project.command("runs", "logs", "r1").out.count("run_start") == 2
    again = project.command("resume", "flow.yaml")
    assert (again.code, "nothing to resume" in again.err) == (0, True)
    assert not (project.states / "f.sqlite").exists()
    assert not list(project.states.glob("*.sqlite"))
    assert project.command("state", "info", "flow.yaml").out.startswith(f"state    {state}\nschema   3\n")
    assert project.command("state", "check", state, "--read-data").code == 0

    pruned = project.command("runs", "prune", "--keep-last", "0", "--yes")
    assert (pruned.code, "deleted 1 run" in pruned.out) == (0, True)
    assert statuses(project) == {}
    nothing = project.command("resume", "flow.yaml")
    assert (nothing.code, f"no run of flow f is recorded in {state}" in nothing.err) == (2, True)


def test_a_flow_alone_may_keep_its_state_there(project: "Project", server: Database) -> None:
    config = (project.folder / "aetherflow.yaml").read_text()
    project.write(config.replace("state: {resource: ops_db}\n", ""), "aetherflow.yaml")
    project.write(FAILS_ONCE)
    project.write(FAILS_ONCE.replace("{id: f}", "{id: g, state: {backend: postgres, resource: ops_db}}"), "server.yaml")
    (project.folder / "mark").touch()
    assert [project.command("run", name, "--run-id", name[0]).code for name in ("flow.yaml", "server.yaml")] == [0, 0]
    listed = json.loads(project.command("runs", "list", "--json").out)["runs"]
    assert {run["flow_id"]: run["state_path"] for run in listed} == {
        "f": str(project.state),
        "g": "//postgres:ops_db",
    }
    assert project.state.exists()


KEEPS_MUCH = f"""\
{HEAD}jobs:
  - id: a
    steps:
      - id: much
        type: check_items
        inputs: {{items: [1]}}
        outputs: {{one: "{{{{env.LARGE}}}}", two: "{{{{env.LARGE}}}}", three: "{{{{env.LARGE}}}}"}}
      - {{id: second, type: external.process, inputs: {{command: [sh, -c, "echo second >> $EFFECTS"]}}}}
"""


@pytest.mark.parametrize("server", SERVERS, indirect=True)
def test_a_repeated_step_begins_as_a_whole_or_not_at_all(project: "Project", server: Database) -> None:
    """Where its job keeps outputs beyond 256 Ki characters, which are stored in a transaction of their own."""
    project.write(KEEPS_MUCH)
    project.env["LARGE"] = "x" * 100_000
    log = project.folder / "points"
    for run_id in ("r1", "r2"):
        ran = project.command("run", "flow.yaml", "--run-id", run_id)
        assert ran.code == 0, ran.err
    again = ["resume", "r1", "--from-step", "a.second"]
    assert project.command(*again, env={"AETHERFLOW_TESTS_FAILPOINT": f"log:{log}"}).code == 0
    points = log.read_text().splitlines()
    assert points.count("commit begin run") == 1
    killed_at = points.index("commit begin run") + 1

    def shown() -> object:
        return json.loads(project.command("runs", "show", "r2", "--journal", "--json").out)

    before = shown()
    again[1] = "r2"
    killed = project.command(*again, env={"AETHERFLOW_TESTS_FAILPOINT": str(killed_at)})
    assert killed.code == -signal.SIGKILL
    assert shown() == before
    assert project.command("state", "check", state_of(server), "--read-data").code == 0
    end_leases(server)
    assert project.command(*again).code == 0
    assert project.lines() == ["second"] * 4
    assert project.command("state", "check", state_of(server), "--read-data").code == 0


@pytest.mark.parametrize("server", SERVERS, indirect=True)
def test_two_databases_of_one_name_are_kept_apart(project: "Project", server: Database) -> None:
    project.write(FAILS_ONCE)
    (project.folder / "mark").touch()
    assert project.command("status").code == 0
    assert not (project.states / "servers").exists()
    part = project.states / "servers/ops_db/.aetherflow-database.0123456789ab.part"
    part.parent.mkdir(parents=True)
    part.touch()  # of a start that was killed
    assert project.command("run", "flow.yaml", "--run-id", "r1").code == 0
    assert not part.exists()
    other = new_database(dataclasses.replace(server, name=server.name.removesuffix("_ops")), "others")
    config = (project.folder / "aetherflow.yaml").read_text()
    project.write(config.replace(f"database: {server.name}", f"database: {other.name}"), "aetherflow.yaml")
    for words in (["run", "flow.yaml"], ["status"], ["locks", "list"]):
        refused = project.command(*words)
        told = (
            f"{state_of(server)} is {other.name} on {server.host}:{server.port}, and {project.states}/servers/ops_db "
        )
        assert (refused.code, "AF4001" in refused.err, told in refused.err) == (4, True, True), refused.err
        assert f"belongs to another database: {server.name} on {server.host}:{server.port}" in refused.err
        assert "fix: give the resource another name in one of the projects" in refused.err
    project.write((project.folder / "aetherflow.yaml").read_text().replace("ops_db", "other_db"), "aetherflow.yaml")
    assert project.command("run", "flow.yaml", "--run-id", "r1").code == 0
    project.write(config, "aetherflow.yaml")
    assert statuses(project) == {"r1": "SUCCESS"}


def test_locks_are_shared_and_listed(project: "Project", server: Database) -> None:
    project.write(WAITS.replace("{id: f}", "{id: f, locks: {scope: flow}}"))
    run = project.start("run", "flow.yaml", "--run-id", "r1")
    until(lambda: "begun" in project.lines())
    locks = json.loads(project.command("locks", "list", "--json").out)["locks"]
    assert [(lock["key"], lock["alive"]) for lock in locks] == [("flow/f", True)], project.command("status")
    other = OtherHost(project)
    busy = project.command("run", "flow.yaml", "--run-id", "r2", env=other.env, prefix=other.prefix)
    assert (busy.code, "Lock not acquired: flow/f" in busy.err) == (3, True)
    freed = project.command("locks", "release", "flow/f", "--reason", "test", "--yes")
    assert (freed.code, freed.out.startswith("released flow/f")) == (0, True), freed.err
    (project.folder / "mark").touch()
    run.communicate(timeout=60)


def test_runs_do_not_wait_for_each_other_but_for_their_heads(project: "Project", server: Database) -> None:
    project.write(WAITS)
    (project.folder / "mark").touch()
    assert project.command("run", "flow.yaml", "--run-id", "r1").code == 0
    recorded = "SELECT count(*) FROM aetherflow_state.step_runs WHERE run_id = 'r2' AND status = 'SUCCESS'"
    with connected(server) as ending, connected(server) as watching:
        with ending.transaction():
            # another run that ends holds this turn until its head is chained
            ending.execute("SELECT pg_advisory_xact_lock(hashtextextended('aetherflow_state heads', 0))")
            run = project.start("run", "flow.yaml", "--run-id", "r2")
            until(lambda: watching.execute(recorded).fetchone() == (3,))
            assert project.lines() == ["first", "begun", "last"] * 2
            with pytest.raises(subprocess.TimeoutExpired):
                run.wait(timeout=1)
        run.communicate(timeout=60)
    assert run.returncode == 0
    assert project.command("state", "check", state_of(server)).code == 0


def test_a_run_is_executed_by_one_host_and_goes_on_at_another(project: "Project", server: Database) -> None:
    project.write(WAITS)
    other = OtherHost(project)
    argv = [*project.argv("run", "flow.yaml", "--run-id", "r1")]
    run = warm.Popen(argv, cwd=project.folder, env=project.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    until(lambda: "begun" in project.lines())

    def there(*arguments: str) -> tuple[int, str]:
        done = project.command(*arguments, env=other.env, prefix=other.prefix)
        return done.code, done.out + done.err

    code, text = there("run", "flow.yaml", "--run-id", "r1")
    assert (code, "run r1 is being executed by pid" in text) == (3, True)
    run.send_signal(signal.SIGKILL)
    run.communicate()
    code, text = there("resume", "flow.yaml")
    assert (code, "run r1 is being executed by pid" in text) == (3, True)  # for the rest of its lease
    end_leases(server)
    (project.folder / "mark").touch()
    code, text = there("status")
    assert (code, "aetherflow resume r1" in text) == (1, True), text
    code, text = there("resume", "r1")
    assert code == 0, text
    assert project.lines() == ["first", "begun", "begun", "last"]
    assert statuses(project) == {"r1": "SUCCESS"}


def test_a_step_that_may_have_been_done_asks_on_the_other_host(project: "Project", server: Database) -> None:
    project.write(WAITS.replace("id: wait\n", "id: wait\n        effect: once\n"))
    other = OtherHost(project)
    argv = [*project.argv("run", "flow.yaml", "--run-id", "r1")]
    run = warm.Popen(argv, cwd=project.folder, env=project.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    until(lambda: "begun" in project.lines())
    run.send_signal(signal.SIGKILL)
    run.communicate()
    end_leases(server)
    asked = project.command("resume", "flow.yaml", env=other.env, prefix=other.prefix)
    assert (asked.code, "--decide a.wait=done" in asked.out + asked.err) == (1, True)
    told = project.command("resume", "flow.yaml", "--decide", "a.wait=done", env=other.env, prefix=other.prefix)
    assert (told.code, project.lines()) == (0, ["first", "begun", "last"])


@pytest.fixture
def mortal(project: "Project", monkeypatch: pytest.MonkeyPatch) -> Iterator[object]:
    with mortal_postgres() as server:
        keep_states_in(project, new_database(server.database, "ops"))
        for name, value in (("OPS_PASSWORD", project.env["OPS_PASSWORD"]), ("MARK", str(project.folder / "mark"))):
            project.env[name] = value
            monkeypatch.setenv(name, value)
        yield server


def test_a_server_that_is_down_is_one_clear_error(project: "Project", mortal: "object") -> None:
    project.write(FAILS_ONCE)
    project.command("run", "flow.yaml", "--run-id", "r1")
    mortal.kill()  # type: ignore[attr-defined]
    commands = {
        "run flow.yaml": 4, "resume r1": 4, "resume flow.yaml": 4, "status": 4, "runs list": 4, "runs show r1": 4,
        "runs logs r1": 4, "plan flow.yaml": 4, "locks list": 4, "claims list": 4, "state info flow.yaml": 4,
        "runs prune --keep-last 1": 4, "state migrate flow.yaml": 4,
    }  # fmt: skip
    started = {line: project.start(*line.split()) for line in commands}
    for line, run in started.items():
        out, err = run.communicate(timeout=120)
        assert run.returncode == commands[line], (line, out, err)
        assert "Traceback" not in out + err, line
        assert "AF4001" in out + err, line
        assert "Connection refused" in out + err, line
        checked = (
            f"fix: check the server, and its resource: aetherflow doctor {project.folder / 'aetherflow.yaml'} --connect"
        )
        assert checked in out + err, line


def test_a_flow_whose_state_is_in_a_server_that_is_down_is_red_with_the_command_that_shows_why(
    project: "Project", mortal: "object"
) -> None:
    config = project.folder / "aetherflow.yaml"
    project.write(config.read_text().replace("state: {resource: ops_db}\n", ""), "aetherflow.yaml")
    project.write(FAILS_ONCE.replace("{id: f}", "{id: f, state: {backend: postgres, resource: ops_db}}"))
    assert project.command("run", "flow.yaml", "--run-id", "r1").code == 1
    mortal.kill()  # type: ignore[attr-defined]
    found = project.command("status", "--json")
    (need,) = json.loads(found.out)["needs_person"]
    command = f"aetherflow doctor {config} --connect"
    assert (found.code, need["status"], need["commands"]) == (4, "UNREADABLE", [command])
    told = project.command(*shlex.split(command)[1:])
    assert (told.code, "AF5201 resource ops_db" in told.out, "Connection refused" in told.out) == (2, True, True)


def test_what_is_not_installed_is_told_with_the_command(project: "Project", server: Database) -> None:
    project.write(FAILS_ONCE)
    project.site.mkdir()
    (project.site / "sitecustomize.py").write_text(
        "import importlib.util as u\nfind = u.find_spec\n"
        "u.find_spec = lambda name, *more: None if name == 'psycopg' else find(name, *more)\n"
    )
    done = project.command("run", "flow.yaml", by=warm.true_start("it looks whether a driver is installed"))
    assert done.code == 2
    assert "AF2105 resource ops_db: the driver of db:postgres is not installed (psycopg)" in done.err
    assert install_command("postgres") in done.err


def test_doctor_asks_the_server_about_itself(project: "Project", server: Database) -> None:
    project.write(FAILS_ONCE)
    assert "//postgres" not in project.command("doctor", "flow.yaml").out
    assert project.command("doctor", "flow.yaml").code == 0
    for name in ("flow.yaml", "aetherflow.yaml"):
        report = json.loads(project.command("doctor", name, "--connect", "--json").out)
        (found,) = [each for each in report["connect"] if each["resource"] == "//postgres:ops_db"]
        assert (report["ok"], found["state"]) == (True, "ok")
        assert re.fullmatch(r"PostgreSQL .*, clock [+-]0\.\d+ s, round trip \d+\.\d ms", found["note"])
    with connected(server) as connection:
        connection.execute("DROP ROLE IF EXISTS poor")
        connection.execute("CREATE ROLE poor LOGIN PASSWORD 'p00r-s3cret'")
    project.env["OPS_PASSWORD"] = "p00r-s3cret"
    config = (project.folder / "aetherflow.yaml").read_text()
    project.write(config.replace(f"user: {server.user}", "user: poor"), "aetherflow.yaml")
    refused = project.command("doctor", "flow.yaml", "--connect")
    assert refused.code == 2
    assert "AF6002 the state in //postgres:ops_db cannot be used: the account may not create schemas" in refused.out
    ran = project.command("run", "flow.yaml")
    assert (ran.code, "permission denied for database ops" in ran.err, "Traceback" in ran.err) == (4, True, False)


def test_a_mariadb_that_is_down_is_told_in_its_words(project: "Project", mariadb: Database) -> None:
    keep_states_in(project, dataclasses.replace(mariadb, port=1))
    project.write(WAITS)
    for run in [
        project.start(*words.split()) for words in ("run flow.yaml", "status", "state backup flow.yaml --to x.tar")
    ]:  # each tries again for a while
        _, err = run.communicate(timeout=120)
        assert (run.returncode, "AF4001" in err, "(2003" in err) == (4, True, False), err
        assert "Can't connect to MySQL server on" in err
        assert "fix: check the server, and its resource" in err


@pytest.mark.parametrize(
    ("version", "told"),
    [("8.0.36", "MySQL 8.0.36"), ("5.5.5-10.5.29-MariaDB-log", "MariaDB 10.5.29")],
    ids=["mysql", "old"],
)
def test_a_server_that_keeps_no_states_is_refused(project: "Project", version: str, told: str) -> None:
    with running_mariadb(version=version) as server:
        keep_states_in(project, server)
        project.write(WAITS)
        for words in (["run", "flow.yaml"], ["status"], ["locks", "list"], ["doctor", "flow.yaml", "--connect"]):
            refused = project.command(*words)
            text = refused.out + refused.err
            assert refused.code in (2, 4), text
            assert "AF4001" in text, text
            assert "//mysql:ops_db" in text, text
            assert f"{server.host}:{server.port} is {told}; states are kept by MariaDB 10.6 or later" in text
            assert "let the resource lead to one of them" in text
        made = "SELECT schema_name FROM information_schema.schemata WHERE schema_name LIKE '%aetherflow%'"
        assert place_of(server).ask(made) == []


def test_mariadb_is_asked_about_itself_and_makes_backups(
    project: "Project", mariadb: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = new_database(mariadb, "saved")
    keep_states_in(project, own)
    project.write(FAILS_ONCE)
    (project.folder / "mark").touch()
    project.env["MARK"] = str(project.folder / "mark")
    asked = project.command("doctor", "flow.yaml", "--connect")
    assert (asked.code, "MariaDB 1" in asked.out) == (0, True), asked.out
    project.command("run", "flow.yaml", "--run-id", "r1")
    told = project.command("state", "backup", "flow.yaml", "--to", "ops.sql")
    (command,) = [line.removeprefix("  fix: ") for line in told.err.splitlines() if line.startswith("  fix: ")]
    place = MariadbPlace(own)
    (dump, client) = need("mariadb-dump", "mariadb")
    given = f"--password={own.password}"
    subprocess.run(command.replace("mariadb-dump", dump).replace("--password", given), shell=True, check=True,
                   cwd=project.folder)  # fmt: skip
    place.ask(*(f"DROP DATABASE {place.schema(name)}" for name in ("state", "registry")))
    assert statuses(project) == {}
    place.ask(*(f"DROP DATABASE IF EXISTS {place.schema(name)}" for name in ("state", "registry")))
    with (project.folder / "ops.sql").open() as saved:
        where = [f"--host={own.host}", f"--port={own.port}", f"--user={own.user}", given]
        subprocess.run([client, *where], stdin=saved, check=True)
    assert statuses(project) == {"r1": "SUCCESS"}
    assert project.command("state", "check", state_of(own)).code == 0
    config = (project.folder / "aetherflow.yaml").read_text()
    project.write(config.replace(f"database: {own.name}", "database: information_schema"), "aetherflow.yaml")
    refused = project.command("doctor", "flow.yaml", "--connect")
    assert (refused.code, "the account may not create schemas" in refused.out) == (2, True), refused.out


def test_the_servers_own_tool_makes_backups(project: "Project", server: Database) -> None:
    project.write(FAILS_ONCE)
    (project.folder / "mark").touch()
    project.command("run", "flow.yaml", "--run-id", "r1")
    told = project.command("state", "backup", "flow.yaml", "--to", "ops.dump")
    assert (told.code, "whose own tools back it up" in told.err) == (2, True)
    (command,) = [line.removeprefix("  fix: ") for line in told.err.splitlines() if line.startswith("  fix: ")]
    (pg_dump, pg_restore) = need("pg_dump", "pg_restore")
    env = {**project.env, "PGPASSWORD": server.password, "PATH": f"{Path(pg_dump).parent}:{project.env['PATH']}"}
    subprocess.run(command, shell=True, check=True, cwd=project.folder, env=env)
    with connected(server) as connection:
        for name in ("state", "locks", "registry"):
            connection.execute(f"DROP SCHEMA IF EXISTS aetherflow_{name} CASCADE")
    assert statuses(project) == {}
    where = command.partition(" ")[2].partition(" '--schema")[0].split()
    subprocess.run([pg_restore, *where, "ops.dump"], check=True, cwd=project.folder, env=env)
    assert statuses(project) == {"r1": "SUCCESS"}
    refused = project.command("state", "restore", "flow.yaml", "--from", "ops.dump", "--yes")
    assert (refused.code, "restore a backup of the server" in refused.err) == (2, True)
