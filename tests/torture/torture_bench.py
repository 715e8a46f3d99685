"""A folder in which one flow runs, is killed, and runs on: by forks of this interpreter or by the real command.

<folder>/disk/work, <folder>/disk/state   what the product writes; may be a file system of its own
<folder>/flow.yaml, effects, stderr       the flow and what the test observes, never on the disk under test
<folder>/site                             the plugin, for real processes
"""

import contextlib
import dataclasses
import hashlib
import io
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

import torture_steps
from aetherflow.core.cli import main
from aetherflow.core.testing.failpoints import arm
from torture_flows import Reference
from torture_tier import full
from warm import true_start

HANG_SECONDS = 60
"""No command takes longer; one that does is ended."""
RUN = ("run", "flow.yaml", "--run-id", "r")
NO_BYTECODE = {"PYTHONDONTWRITEBYTECODE": "1"}
"""Two starts of the real command make the same system calls."""
AMBIENT = {name: value for name, value in os.environ.items() if not name.startswith("AETHERFLOW_")}
ENTRY_POINTS = """\
[aetherflow.steps]
torture_effect = torture_steps:Effect
torture_values = torture_steps:Values
torture_turn = torture_steps:Turn
"""


@dataclasses.dataclass(frozen=True)
class Result:
    """What the real command did."""

    code: int
    err: str


class Bench:
    """One folder and one flow."""

    hang_seconds = HANG_SECONDS
    """No attempt takes longer; SIGALRM ends one that does."""
    _warm = False
    _connection: sqlite3.Connection | None = None

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.disk = folder / "disk"
        self.work = self.disk / "work"
        self.states = self.disk / "state"
        self.state = self.states / "f.sqlite"
        self.effects = folder / "effects"
        self.errors = folder / "stderr"
        self.disk.mkdir()
        self.env = {
            "AETHERFLOW_WORK_ROOT": str(self.work),
            "AETHERFLOW_STATE_ROOT": str(self.states),
            "EFFECTS": str(self.effects),
            "VALUES": str(folder / "values.json"),
            "SEEN": str(folder / "seen.json"),
        }
        self._install_plugin()
        self.plant_sentinels()

    def _install_plugin(self) -> None:
        site = self.folder / "site"
        info = site / "torture_plugin-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: torture-plugin\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(ENTRY_POINTS)
        shutil.copy(str(torture_steps.__file__), site / "torture_steps.py")

    def write(self, text: str, name: str = "flow.yaml") -> None:
        (self.folder / name).write_text(text, encoding="utf-8")

    # Runs

    def fork(
        self,
        *arguments: str,
        failpoint: str = "",
        before: Callable[[], object] | None = None,
        output: Path | None = None,
    ) -> int:
        """Start the command in a forked process; returns its pid.

        `before` runs in the child, first; `output` is a file for what it prints.
        """
        child = os.fork()
        if child == 0:  # pragma: no cover
            code = 99
            try:
                signal.alarm(self.hang_seconds)
                os.chdir(self.folder)
                os.environ.update(self.env)
                arm(failpoint)
                if before is not None:
                    before()
                sys.argv = ["aetherflow", *(arguments or RUN)]  # which a refused start writes down
                code = self._main(arguments, output)
            finally:
                os._exit(code)
        return child

    def run(
        self,
        *arguments: str,
        failpoint: str = "",
        before: Callable[[], object] | None = None,
        output: Path | None = None,
    ) -> int:
        """The exit code of the command, or minus the signal that ended it.

        What is not to be killed needs no process of its own: without `failpoint` and `before` it runs in this one. At
        T1 only the first does, which imports for all forks; the others have one, as users' commands have.
        """
        if failpoint or before is not None or (full() and self._warm):
            child = self.fork(*arguments, failpoint=failpoint, before=before, output=output)
            return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        self._warm = True
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(self.folder)
            patch.setattr(sys, "argv", ["aetherflow", *(arguments or RUN)])
            for name, value in self.env.items():
                patch.setenv(name, value)
            kept = signal.signal(signal.SIGALRM, _hangs)
            signal.alarm(self.hang_seconds)
            try:
                return self._main(arguments, output)
            finally:
                signal.alarm(0)
                signal.signal(signal.SIGALRM, kept)

    def _main(self, arguments: tuple[str, ...], output: Path | None) -> int:
        with (
            self.errors.open("w") as err,
            output.open("w", encoding="utf-8") if output else io.StringIO() as out,
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
        ):
            return main(list(arguments or RUN))

    def attempt(self, failpoint: str = "", before: Callable[[], object] | None = None) -> int:
        """`run` of the flow."""
        return self.run(failpoint=failpoint, before=before)

    def until_stopped(self, failpoint: str, before: Callable[[], object] | None = None) -> int | None:
        """Run until the process stops itself (action `stop`): its pid; None if it ended first."""
        child = self.fork(failpoint=failpoint, before=before)
        _, status = os.waitpid(child, os.WUNTRACED)
        return child if os.WIFSTOPPED(status) else None

    def end(self, child: int) -> None:
        """Kill a process that was stopped."""
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)

    def command(
        self,
        *arguments: str,
        prefix: tuple[str, ...] = (),
        env: Mapping[str, str] | None = None,
        before: Callable[[], object] | None = None,
    ) -> Result:
        """The real command in a process of its own."""
        done = true_start("under strace, or with limits that are set before the program begins").run(
            [*prefix, sys.executable, "-m", "aetherflow.core", *(arguments or RUN)],
            cwd=self.folder,
            env={**AMBIENT, **self.env, "PYTHONPATH": str(self.folder / "site"), **NO_BYTECODE, **(env or {})},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            timeout=HANG_SECONDS,
            check=False,
            preexec_fn=before,
        )
        return Result(done.returncode, done.stderr)

    def points(self) -> list[str]:
        """The names of all failpoints that an undisturbed run passes."""
        names = self.folder / "points"
        names.unlink(missing_ok=True)
        self.attempt(f"log:{names}")
        return names.read_text().splitlines()

    def error_text(self) -> str:
        """What the last fork wrote to stderr."""
        return self.errors.read_text() if self.errors.exists() else ""

    def forget(self) -> None:
        for path in (self.states, self.work):
            shutil.rmtree(path, ignore_errors=True)
        self.effects.unlink(missing_ok=True)
        self.plant_sentinels()

    # What there is

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        with self.reading() as connection:
            found: list[tuple[Any, ...]] = connection.execute(sql).fetchall()
            return found

    @contextlib.contextmanager
    def reading(self) -> Iterator[Any]:
        """A connection to the state; all `rows` within come over it: each new one would read the whole schema."""
        if self._connection is not None:
            yield self._connection
            return
        with contextlib.closing(sqlite3.connect(self.state)) as self._connection:
            try:
                yield self._connection
            finally:
                self._connection = None

    def try_rows(self, sql: str) -> list[tuple[Any, ...]]:
        """Query a copy of the state, which may not be there yet."""
        return self.try_all(sql)[0]

    def try_all(self, *queries: str) -> list[list[tuple[Any, ...]]]:
        """The rows of several queries of one copy of the state, which may not be there yet.

        A copy: whoever closes a state last writes its log back and removes it, and the resume is to find it as it was.
        """
        copy = self.folder / "copy.sqlite"
        for suffix in ("", "-wal", "-journal"):
            part = copy.with_name(copy.name + suffix)
            part.unlink(missing_ok=True)
            with contextlib.suppress(FileNotFoundError):
                shutil.copyfile(self.state.with_name(self.state.name + suffix), part)
        if not copy.exists():
            return [[] for _ in queries]
        copy.with_name(copy.name + "-shm").unlink(missing_ok=True)
        with contextlib.closing(sqlite3.connect(copy)) as connection:
            return [_found(connection, sql) for sql in queries]

    def version(self) -> int:
        """The number of the schema."""
        return int(self.rows("PRAGMA user_version")[0][0])

    def check_store(self) -> None:
        """What must hold of the store itself when its run has ended."""
        assert self.rows("PRAGMA integrity_check") == [("ok",)], "I8"

    def lines(self) -> list[str]:
        """One line per execution of a step."""
        return self.effects.read_text().splitlines() if self.effects.exists() else []

    def ran(self) -> list[str]:
        """The steps that were executed, in order."""
        return [line.split()[0] for line in self.lines()]

    # What must not change

    def plant_sentinels(self) -> None:
        """Files of others, beside everything that the run may touch."""
        for name in (
            "work/f/a/other/artifacts/one.txt",
            "work/f/a/other/.aetherflow-x.part",
            "work/f/r/file",
            "work/g/a/r/artifacts/one.txt",
            "work/file",
            "state/g.sqlite.d/blobs/file",
            "beside/file",
        ):
            path = self.disk / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"sentinel {name}")

    def sentinels(self) -> str:
        """A checksum of all that is not of flow f, run r."""
        digest = hashlib.sha256()
        for name in below(self.disk)[0]:
            ours = name.startswith("state/f.sqlite") or (name.startswith("work/f/") and name.split("/")[3:4] == ["r"])
            ours |= name.startswith(
                ("state/engine/locks.sqlite", "state/engine/registry.sqlite", "state/servers/", "lost+found")
            )
            if not ours:
                digest.update(f"{name} {hashlib.sha256((self.disk / name).read_bytes()).hexdigest()}\n".encode())
        return digest.hexdigest()


def _found(connection: sqlite3.Connection, sql: str) -> list[tuple[Any, ...]]:
    """The rows of a query; none where its table is not there yet."""
    try:
        return connection.execute(sql).fetchall()
    except sqlite3.OperationalError as error:
        if "no such table" not in str(error):
            raise
        return []


def below(folder: Path) -> tuple[list[str], list[str]]:
    """The files, and the empty folders, below a folder that may be missing: paths relative to it, in order."""
    files, empty = [], []
    start = len(str(folder)) + 1
    for parent, folders, names in os.walk(folder):
        files += [os.path.join(parent, name)[start:] for name in names]  # noqa: PTH118 there are many
        if not folders and not names and parent != str(folder):
            empty.append(parent[start:])
    return sorted(files), sorted(empty)


def _hangs(*_: object) -> None:
    raise TimeoutError("the command takes longer than any may")


@contextlib.contextmanager
def bench_in(folder: Path, flow: Reference | None = None) -> Iterator[Bench]:
    """A bench that is removed at the end; with a flow, warm: everything it needs is imported."""
    made = Bench(folder)
    if flow is not None:
        made.write(flow.text)
        warm_up(made)
    try:
        yield made
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def warm_up(bench: Bench) -> None:
    """Run the flow once, which imports what every fork needs."""
    bench.attempt()
    bench.forget()
