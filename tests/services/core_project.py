"""A flow project in a temporary folder, and the ways to run the command over it."""

import contextlib
import dataclasses
import io
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

import warm
from aetherflow.core.cli import main
from warm_request import UNPRIVILEGED

HEAD = "version: 1\nflow: {id: f}\n"
"""The head of a flow whose state and folders are configured by the environment."""
AMBIENT = {name: value for name, value in os.environ.items() if not name.startswith("AETHERFLOW_")}


@dataclasses.dataclass(frozen=True)
class Result:
    """Exit code and output of a command."""

    code: int
    out: str
    err: str


class Project:
    """A folder with flows, their state and work folders, and the environment variables for them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.work = folder / "work"
        self.states = folder / "state"
        self.effects = folder / "effects"
        self.site = folder / "site"
        self.env = {
            **AMBIENT,
            "AETHERFLOW_WORK_ROOT": str(self.work),
            "AETHERFLOW_STATE_ROOT": str(self.states),
            "EFFECTS": str(self.effects),
            "PYTHONPATH": str(self.site),
            "PYTHONWARNINGS": "error",
        }

    def enter(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Set the environment and the working directory of this process to the project."""
        for name in ("AETHERFLOW_WORK_ROOT", "AETHERFLOW_STATE_ROOT", "EFFECTS"):
            monkeypatch.setenv(name, self.env[name])
        monkeypatch.chdir(self.folder)

    def write(self, text: str, name: str = "flow.yaml") -> Path:
        """Write a document into the project; returns its path."""
        path = self.folder / name
        path.write_text(textwrap.dedent(text), encoding="utf-8")
        return path

    def flow(self, jobs: str) -> Path:
        """Write flow.yaml with the usual head and this text; returns its path."""
        return self.write(HEAD + textwrap.dedent(jobs))

    def cli(self, *arguments: str) -> Result:
        """Run a command in this process."""
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = main(list(arguments))
        return Result(code, out.getvalue(), err.getvalue())

    def argv(self, *arguments: str) -> list[str]:
        """The arguments that start the command as a separate process."""
        return [sys.executable, "-m", "aetherflow.core", *arguments]

    def command(
        self,
        *arguments: str,
        env: Mapping[str, str] | None = None,
        umask: int = -1,
        prefix: tuple[str, ...] = (),
        by: Any = warm,
        stdin: str | None = None,
    ) -> Result:
        """Run a command in a separate process, forked from the warm interpreter or started with `true_start`."""
        done = by.run(
            [*prefix, *self.argv(*arguments)],
            cwd=self.folder,
            env={**self.env, **(env or {})},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            umask=umask,
            input=stdin,
        )
        return Result(done.returncode, done.stdout, done.stderr)

    def start(self, *arguments: str, env: Mapping[str, str] | None = None) -> "subprocess.Popen[str]":
        """Start a command and leave it running."""
        return warm.Popen(
            self.argv(*arguments),
            cwd=self.folder,
            env={**self.env, **(env or {})},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def python(self, code: str, env: Mapping[str, str] | None = None) -> str:
        """Run Python code in a fresh interpreter; returns what it prints."""
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(code)],
            cwd=self.folder,
            env={**self.env, **(env or {})},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def plugin(self, distribution: str, entries: str, *, version: str = "1.0", site: Path | None = None) -> None:
        """Write the metadata of an installed distribution into a folder on PYTHONPATH."""
        info = (site or self.site) / f"{distribution.replace('-', '_')}-{version}.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n")
        (info / "entry_points.txt").write_text(textwrap.dedent(entries))

    def module(self, name: str, text: str) -> None:
        """Write a module into a folder on PYTHONPATH."""
        self.site.mkdir(exist_ok=True)
        (self.site / f"{name}.py").write_text(textwrap.dedent(text))

    @property
    def state(self) -> Path:
        """The state file of flow `f`."""
        return self.states / "f.sqlite"

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """The rows of a query on the state file of flow `f`."""
        with contextlib.closing(sqlite3.connect(self.state)) as connection:
            return connection.execute(sql).fetchall()

    def lines(self, name: str = "") -> list[str]:
        """The lines that steps wrote to the file EFFECTS, or to one next to it."""
        path = self.effects.with_name(name) if name else self.effects
        return path.read_text().splitlines() if path.exists() else []

    def artifacts(self, job: str, run: str) -> Path:
        """The folder of a job's artifacts."""
        return self.work / "f" / job / run / "artifacts"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    """An empty project; the working directory and environment of this process point to it."""
    # in memory if possible: on a disk the fsync calls of a thousand runs would take minutes
    memory = Path("/dev/shm")
    usable = memory.is_dir() and os.access(memory, os.W_OK)
    folder = Path(tempfile.mkdtemp(dir=memory if usable else tmp_path))
    found = Project(folder)
    for name in list(os.environ):
        if name.startswith("AETHERFLOW_"):
            monkeypatch.delenv(name)
    found.enter(monkeypatch)
    # each project is a process of its own to the names of servers that keep states
    monkeypatch.setattr("aetherflow.core.runtime.workspace.state_server._told", {})
    yield found
    monkeypatch.chdir("/")
    shutil.rmtree(folder)


@pytest.fixture
def inbox(project: Project, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the partner, with two files."""
    folder = project.folder / "inbox"
    folder.mkdir()
    monkeypatch.setenv("INBOX", str(folder))
    (folder / "a.txt").write_text("1")
    (folder / "b.txt").write_text("2")
    return folder


@pytest.fixture
def unprivileged() -> tuple[str, ...]:
    """Command prefix that drops privileges, so that file permissions apply even if the tests run as root."""
    if os.geteuid() != 0:
        return ()
    return UNPRIVILEGED


def _wait_for(condition: Callable[[], object], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


@pytest.fixture
def wait_for() -> Callable[..., None]:
    """A function that waits until a condition holds, and fails after a time limit."""
    return _wait_for


@pytest.fixture
def lives() -> Callable[[int], bool]:
    """A function that tells whether a process exists and is no zombie."""

    def check(pid: int) -> bool:
        try:
            status = Path(f"/proc/{pid}/stat").read_text()
        except OSError:
            return False
        return status.rpartition(")")[2].split()[0] != "Z"

    return check


@pytest.fixture
def reap() -> Iterator[list[int]]:
    """A list for process ids, which are killed at the end of the test."""
    pids: list[int] = []
    yield pids
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
