"""Two hosts with their states in one server: what was recorded is proved, and compared, on both."""

import json
import signal
import subprocess
from typing import TYPE_CHECKING

import pytest

import warm
from server_project import OtherHost, end_leases, keep_states_in, state_of
from server_stores import SERVERS, ServerPlace, new_place

if TYPE_CHECKING:
    from core_project import Project, Result

HEAD = "version: 1\nflow: {id: f}\n"
READS = f"""\
{HEAD}jobs:
  - id: a
    steps:
      - {{id: say, type: external.process, inputs: {{command: [echo, "{{{{env.CITY}}}}"]}}}}
"""
HANGS = f"""\
{HEAD}jobs:
  - id: a
    steps:
      - {{id: first, type: external.process, inputs: {{command: [echo, first]}}}}
      - {{id: wait, type: external.process, inputs: {{command: [sh, -c, "test -e $MARK || exec sleep 60"]}}}}
"""


@pytest.fixture(params=SERVERS)
def place(request: pytest.FixtureRequest, project: "Project") -> ServerPlace:
    found = new_place(request, "hosts")
    keep_states_in(project, found.server)
    project.env["MARK"] = str(project.folder / "mark")
    return found


class Hosts:
    """Commands on this host and on another one."""

    def __init__(self, project: "Project", place: ServerPlace) -> None:
        self.project, self.other = project, OtherHost(project)
        self.state = state_of(place.server)

    def there(self, *arguments: str, **env: str) -> "Result":
        """A command on the other host."""
        prefix = self.other.prefix
        return self.project.command(*arguments, env={**self.other.env, **env}, prefix=prefix)

    def start(self, *arguments: str, there: bool) -> "subprocess.Popen[bytes]":
        """A command that goes on."""
        argv = self.other.argv(*arguments) if there else self.project.argv(*arguments)
        env = self.other.environment() if there else self.project.env
        pipe = subprocess.PIPE
        return warm.Popen(argv, cwd=self.project.folder, env=env, stdout=pipe, stderr=pipe)

    def check(self) -> list[tuple[int, str]]:
        """What both find in the state and its logs."""
        found = [each("state", "check", self.state, "--read-data") for each in (self.project.command, self.there)]
        return [(each.code, each.out) for each in found]


def test_a_variable_is_compared_between_hosts(project: "Project", place: ServerPlace) -> None:
    project.write(READS)
    hosts = Hosts(project, place)
    assert project.command("run", "flow.yaml", "--run-id", "r1", env={"CITY": "Oslo"}).code == 0
    assert hosts.there("run", "flow.yaml", "--run-id", "r2", CITY="Oslo").code == 0
    assert hosts.there("run", "flow.yaml", "--run-id", "r3", CITY="Rome").code == 0

    def differ(before: str, run: str) -> set[str]:
        told = json.loads(project.command("runs", "diff", before, run, "--json").out)
        return {each["kind"] for each in told["differences"]}

    assert differ("r1", "r2") == {"host"}
    assert differ("r1", "r3") == {"host", "variable"}
    assert not list(project.folder.rglob("compare.key"))


def test_the_chain_holds_over_hosts_that_end_runs_at_once(project: "Project", place: ServerPlace) -> None:
    project.write(READS)
    hosts = Hosts(project, place)
    project.env["CITY"] = "Oslo"
    runs = [hosts.start("run", "flow.yaml", "--run-id", f"r{n}", there=n % 2 == 1) for n in range(6)]
    assert [(run.communicate(timeout=120)[1], run.returncode)[1] for run in runs] == [0] * 6
    assert hosts.check() == [(0, f"OK: {hosts.state}\n")] * 2
    assert [place.within(store, "SELECT count(*) FROM heads") for store in ("state", "registry")] == [[(6,)]] * 2


def test_what_was_changed_in_the_server_is_found(project: "Project", place: ServerPlace) -> None:
    project.write(READS)
    project.env["CITY"] = "Oslo"
    hosts = Hosts(project, place)
    for name in ("r1", "r2"):
        assert project.command("run", "flow.yaml", "--run-id", name).code == 0
    last = "FROM heads WHERE run_id='r2'"
    place.within("state", f"CREATE TABLE cut AS SELECT * {last}", f"DELETE {last}")
    assert all("f/r2: the registry has seen its end" in out for _, out in hosts.check())
    place.within("state", "INSERT INTO heads SELECT * FROM cut")
    assert hosts.check() == [(0, f"OK: {hosts.state}\n")] * 2
    place.within("registry", "UPDATE heads SET logs='' WHERE run_id='r1'")
    for code, out in hosts.check():
        assert (code, "row 1 of heads (ended) is not what was written" in out, out.startswith(hosts.state)) == (
            1,
            True,
            True,
        )


def test_logs_are_checked_where_the_run_has_ended(project: "Project", place: ServerPlace) -> None:
    project.write(HANGS)
    hosts = Hosts(project, place)
    run = hosts.start("run", "flow.yaml", "--run-id", "r1", there=False)
    assert run.stderr is not None
    while b"step_id=wait" not in run.stderr.readline():
        pass
    run.send_signal(signal.SIGKILL)
    run.communicate()
    (project.folder / "mark").touch()
    end_leases(place.server)
    resumed = hosts.there("resume", "r1")
    assert resumed.code == 0, resumed.err
    logs = [*project.states.rglob("r1.jsonl"), *hosts.other.states.rglob("r1.jsonl")]
    assert len(logs) == 2
    assert hosts.check() == [(0, f"OK: {hosts.state}\n")] * 2
    logs[1].write_text(logs[1].read_text().replace("first", "other").replace("run_start", "run_stop_"))
    (here, (code, out)) = hosts.check()
    assert here == (0, f"OK: {hosts.state}\n")
    assert (code, "f/r1: the logs of the run are not what they were at its end" in out) == (1, True)


def test_items_run_side_by_side_over_one_connection(project: "Project", place: ServerPlace) -> None:
    project.write(
        READS.replace("{id: f}", "{id: c, params: {n: {type: string}}}").replace("env.CITY", "params.n"), "c.yaml"
    )
    project.write(
        f"{HEAD}jobs:\n  - id: a\n    steps:\n      - id: sub\n        type: run_flow\n"
        '        for_each: {items: [x, y, z], key: "{{item}}", max_parallel: 3}\n'
        '        inputs: {flow: c.yaml, params: {n: "{{item}}"}}\n'
    )
    done = project.command("run", "flow.yaml", "--run-id", "r1")
    assert (done.code, "3 items" in done.out) == (0, True), done.err
    state = state_of(place.server)
    listed = json.loads(project.command("runs", "list", "--json").out)["runs"]
    assert [run["status"] for run in listed] == ["SUCCESS"] * 4
    assert project.command("state", "check", state, "--read-data").out == f"OK: {state}\n"
