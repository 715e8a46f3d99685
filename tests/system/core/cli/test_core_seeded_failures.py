"""Failures of a night: `status` names each, and at most two of the commands that it types heal it.

These are nine; the tenth, a state that was put back by an older copy, is tried in `test_core_older_state.py`.

Each is tried with the states in files, in PostgreSQL and in MariaDB. What a person does in between is only what the
cause asks for: set the secret, put the whole file there, make room. Then the first command of the row is typed, and
what it shows as the next one, until `status` is green.
"""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import wheels

import warm
from db_places import new_database, settings
from server_project import end_leases, keep_states_in
from server_stores import SERVERS
from services import Database
from torture_image import mounted, require_mounts

if TYPE_CHECKING:
    from core_project import Project

pytestmark = pytest.mark.xdist_group("waiting")  # one worker waits, while the others work
KINDS = ("file", *SERVERS)
COMMANDS = 2
"""Most commands that may be needed."""


class Night:
    """A project with its states in a file or a server, and the person who looks at `status`."""

    def __init__(self, project: "Project", server: Database | None) -> None:
        self.project, self.server = project, server
        self.head = "version: 1\nflow: {id: f}\n"
        self.folder = project.folder

    def flow(self, jobs: str) -> None:
        """Write flow.yaml."""
        self.project.flow(jobs)

    def run(self, run_id: str = "r") -> int:
        """Run the flow as cron does."""
        return self.project.command("run", "flow.yaml", "--run-id", run_id, "-q").code

    def status(self) -> tuple[int, list[dict[str, Any]]]:
        """Exit code and rows of `status`; both of its forms agree on the code."""
        shown, text = self.project.command("status", "--json"), self.project.command("status")
        assert shown.code == text.code, (shown, text)
        return shown.code, json.loads(shown.out)["needs_person"] if shown.out else []

    def code(self) -> int:
        """Exit code of `status` now; what it shows may change between two calls."""
        return self.project.command("status").code

    def red(self, status: str, *words: str) -> list[str]:
        """Check that there is one row of this status with these words; returns its commands."""
        code, rows = self.status()
        assert code in (1, 4), rows
        assert [row["status"] for row in rows] == [status], rows
        for word in words:
            assert re.search(word, json.dumps(rows[0]), re.IGNORECASE), (word, rows[0])
        return list(rows[0]["commands"])

    def heal(self, command: str | None = None) -> None:
        """Type what `status` says, at most twice, until it is green."""
        for _ in range(COMMANDS):
            typed = command or self.first()
            command = None
            done = self.type(typed)
            code, rows = self.status()
            if code == 0:
                assert rows == []
                return
        raise AssertionError(f"still red: {rows}; {typed}: {done.returncode} {done.stdout}")

    def first(self) -> str:
        """The first command of the first row."""
        commands: list[str] = self.status()[1][0]["commands"]
        return commands[0]

    def type(self, command: str) -> "subprocess.CompletedProcess[str]":
        """Type a command line in the folder of the project."""
        env = {**self.project.env, "PATH": f"{warm.shims()}:{self.project.env['PATH']}"}
        return subprocess.run(
            ["bash", "-c", command], cwd=self.folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, check=False, timeout=120,
        )  # fmt: skip


@pytest.fixture(params=KINDS)
def night(request: pytest.FixtureRequest, project: "Project") -> Night:
    if request.param == "file":
        return Night(project, None)
    server = new_database(request.getfixturevalue(request.param), "ops")
    keep_states_in(project, server)
    return Night(project, server)


def test_a_missing_secret(night: Night) -> None:
    night.flow(
        "jobs: [{id: a, steps: [{id: s, type: external.process, inputs: {command: [test, -n, $KEY],"
        " env: {KEY: '{{env.API_KEY}}'}, shell: false}}]}]\n"
    )
    assert night.run() in (1, 2)
    code, rows = night.status()
    assert (code, [row["status"] for row in rows]) == (1, [rows[0]["status"]])
    assert "env.API_KEY" in rows[0]["cause"]
    night.project.env["API_KEY"] = "of-the-vault-4711"
    night.heal()


def test_a_wrong_password(night: Night, postgres: Database) -> None:
    database = new_database(postgres, "shop")
    given = settings(database)
    night.project.write(
        f"""\
        version: 1
        flow: {{id: f}}
        resources:
          shop:
            kind: db
            driver: postgres
            config: {{host: {given["host"]}, port: {given["port"]}, database: {given["database"]},
                      user: {given["user"]}, password: "{{{{env.SHOP_SECRET}}}}", ssl: false}}
        jobs: [{{id: a, steps: [{{id: ask, type: db_fetch_small, inputs: {{resource: shop, sql: SELECT 1 AS one}}}}]}}]
        """
    )
    night.project.env["SHOP_SECRET"] = "not-the-password"
    assert night.run() == 1
    night.red("FAILED", "a.ask", "password|authentication|login")
    night.project.env["SHOP_SECRET"] = given["password"]
    night.heal()


def test_a_truncated_input_that_was_repaired(night: Night) -> None:
    """The load of the half file is done and kept; the check failed. The first command reads the file again."""
    orders = night.folder / "orders.csv"
    orders.write_text("id,amount\n1,5\n2,")
    night.project.write(
        f"""\
        version: 1
        flow: {{id: f}}
        jobs:
          - id: main
            steps:
              - {{id: copy, type: file_copy, inputs: {{src: "{orders}", dest: orders.csv, overwrite: true}}}}
              - id: check
                type: external.process
                inputs: {{command: [sh, -c, 'test "$(tail -n 1 orders.csv)" = 2,7']}}
        """
    )
    assert night.run() == 1
    night.red("FAILED", "main.check")
    orders.write_text("id,amount\n1,5\n2,7")
    commands = night.red("FAILED", "input .* has changed since")
    assert "--from-step main.copy" in commands[0]
    night.heal()


def test_a_typo_in_sql(night: Night) -> None:
    night.project.write("SELEKT 1 AS one", "ask.sql")
    night.project.write(
        """\
        version: 1
        flow: {id: f}
        resources: {shop: {kind: db, driver: sqlite3, config: {path: ":memory:"}}}
        jobs: [{id: a, steps: [{id: ask, type: db_fetch_small, inputs: {resource: shop, sql_file: ask.sql}}]}]
        """
    )
    assert night.run() == 1
    night.red("FAILED", "a.ask", "syntax error")
    night.project.write("SELECT 1 AS one", "ask.sql")
    night.heal()


@pytest.fixture
def small(night: Night) -> Iterator[Callable[[str], Path]]:
    """Mounts a disk of 2 MiB at the root of states or of work; the fixture unmounts it."""
    require_mounts(night.folder, "tmpfs")
    with contextlib.ExitStack() as stack:

        def mount(root: str) -> Path:
            at = night.project.states if root == "state" else night.project.work
            at.mkdir(mode=0o700, exist_ok=True)
            stack.enter_context(mounted("tmpfs", "tmpfs", "size=2m,mode=0700", at))
            return at

        yield mount


def fill(at: Path) -> Path:
    """Fill the disk to its last byte."""
    path = at / "filler"
    with path.open("wb", buffering=0) as file:
        for size in (65_536, 4_096, 1):
            with contextlib.suppress(OSError):
                while file.write(b"x" * size):
                    pass
    return path


def test_a_full_disk_of_the_state(night: Night, small: Callable[[str], Path]) -> None:
    at = small("state")
    night.flow("jobs: [{id: a, steps: [{id: s, type: file_write, inputs: {path: x, content: y}}]}]\n")
    assert night.run("r1") == 0
    filler = fill(at)
    code = night.run("r2")
    shown, text = night.project.command("status", "--json"), night.project.command("status")
    # with the states in a server they can be read, and the start that was refused for its log is a row
    red = 4 if night.server is None else 1
    assert (code, shown.code, text.code) == (4, red, red), (code, shown)
    assert re.search("disk full|no space", text.out + text.err + shown.out, re.IGNORECASE), text
    filler.unlink()
    assert night.run("r2") == 0
    assert night.status() == (0, [])


def test_a_full_disk_of_the_work_root(night: Night, small: Callable[[str], Path]) -> None:
    at = small("work")
    night.flow(
        "jobs: [{id: a, steps: [{id: s, type: external.process, inputs: {command: [sh, -c, "
        "'head -c 1500000 /dev/zero > big'], cwd: '{{env.AETHERFLOW_WORK_ROOT}}'}}]}]\n"
    )
    (at / "old").write_bytes(b"x" * 1_000_000)
    assert night.run() == 1
    night.red("FAILED", "a.s")
    (at / "old").unlink()
    night.heal()


def test_a_kill_in_a_once_step(night: Night) -> None:
    night.flow(
        "jobs: [{id: a, steps: [{id: pay, type: external.process, effect: once, inputs: {command: [sh, -c, "
        "'echo paid >> $EFFECTS; touch $BEGUN; sleep 60']}}]}]\n"
    )
    begun = night.folder / "begun"
    process = night.project.start("run", "flow.yaml", "--run-id", "r", env={"BEGUN": str(begun)})
    until(begun.exists)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    if night.server is not None:
        end_leases(night.server)
    commands = night.red("UNKNOWN", "a.pay", "interrupted")
    assert commands[0].endswith("--decide a.pay=done")
    night.heal(commands[0])
    assert night.project.lines() == ["paid"]


def test_a_plugin_that_was_removed(night: Night) -> None:
    point = "[aetherflow.steps]\nacme.step = acme_step:Own\n"
    code = "from aetherflow.core.api import Step\n\nclass Own(Step):\n    def run(self):\n        return {}\n"
    info = wheels.install(night.project.site, "acme-step", point, {"acme_step.py": code})
    night.flow("jobs: [{id: a, steps: [{id: s, type: acme.step}]}]\n")
    assert night.run("r1") == 0
    aside = night.folder / "aside"
    shutil.move(info, aside)
    assert night.run("r2") == 2
    night.red("REFUSED", "AF2101", "acme.step")
    shutil.move(aside, info)
    night.heal()


def test_a_scheduler_that_is_down(night: Night) -> None:
    """Killed, or frozen; the command starts a scheduler, which runs on until the end of the test."""
    night.flow("jobs: [{id: a, steps: [{id: s, type: file_write, inputs: {path: x, content: y}}]}]\n")
    items = "items: [{id: i, cron: '0 3 1 1 *', flow: flow.yaml}]"
    night.project.write(f"timezone: UTC\nlease_seconds: 0.5\n{items}\n", "scheduler.yaml")

    def scheduler(command: str) -> "subprocess.Popen[str]":
        env = {**night.project.env, "PATH": f"{warm.shims()}:{night.project.env['PATH']}"}
        return subprocess.Popen(
            ["bash", "-c", f"exec {command}"], cwd=night.folder, env=env, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip

    def leader() -> Any:
        shown = night.type("aetherflow-scheduler status scheduler.yaml --json").stdout
        return json.loads(shown).get("leader")

    first = scheduler("aetherflow-scheduler run scheduler.yaml")
    until(lambda: leader() is not None)
    pid = leader()["pid"]
    assert night.status() == (0, [])
    time.sleep(1)  # past the first renewal: from then on three times this lease are counted, and not the usual one
    # of a killed one nothing is known that is shorter than the usual lease: one of the three waits for its 30 seconds
    os.kill(pid, signal.SIGKILL if night.server is None else signal.SIGSTOP)
    until(lambda: night.code() == 1)
    (command,) = night.red("LATE", "leader_late")
    second = scheduler(command)
    try:
        until(lambda: night.code() == 0)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        first.wait()
        second.terminate()
        assert second.wait(30) == 0
    assert night.status() == (0, [])


def until(condition: Callable[[], bool], seconds: float = 60) -> None:
    """Wait for something that another process does."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)
