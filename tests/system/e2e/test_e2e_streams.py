"""The exit code is the recorded result, whatever becomes of stdin, stdout, stderr: 4 streams, 5 faults, 7 commands.

At T0 each command meets each fault on one of its streams, so that each stream meets it in some command; at T1 on all.
"""

import contextlib
import datetime as dt
import functools
import json
import os
import pty
import signal
import sqlite3
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import warm
from scheduler_bench import Bench, bench, wait_for
from torture_tier import full

__all__ = ["bench"]
TODAY = dt.datetime.now(dt.UTC).date()
DAY = (TODAY - dt.timedelta(days=1)).isoformat()
FAULTS = ("closed", "broken", "full", "blocked", "hung up")
STREAMS = ("stdin", "stdout", "stderr", "both")
GRACE_SECONDS = 8
"""The grace of a stop where nobody sets another one."""
SCHEDULE = "scheduler.yaml"
COMMANDS: dict[str, list[str]] = {
    "run": ["core", "run", "flow.yaml", "--run-id", "r"],
    "resume": ["core", "resume", "r"],
    "wrap": ["core", "wrap", "--id", "f", "--run-id", "r", "--", "sh", "do"],
    "bundle": ["core", "run", "--bundle-manifest", "bundle.yaml", "--run-id", "r"],
    "tick": ["scheduler", "tick", SCHEDULE],
    "run-item": ["scheduler", "run-item", SCHEDULE, "daily"],
    "backfill": ["scheduler", "backfill", SCHEDULE, "daily", "--from", DAY, "--to", TODAY.isoformat()],
}
LAUNCHER = """
    import sys
    from unittest import mock
    from aetherflow.scheduler.launchers.subprocess import SubprocessLauncher

    class WarmLauncher(SubprocessLauncher):
        '''Starts runs as usual, but by a program that forks them: a start takes longer than all else here.'''

        def start(self, request, ended):
            with mock.patch.object(sys, "executable", request.folder / "forked"):
                return super().start(request, ended)
"""


def faults(command: str) -> Iterator[tuple[str, str, int]]:
    """The streams and the faults that a command meets, and how its step ends meanwhile."""
    own = list(COMMANDS).index(command)
    for number, stream in enumerate(STREAMS):
        for fault, name in enumerate(FAULTS):
            if full() or (own + fault) % len(STREAMS) == number:
                yield stream, name, (fault + own // 2) % 2


class Case:
    """A flow, a schedule and a bundle in a folder of their own; what the flow does stands in the file `do`."""

    def __init__(self, bench: Bench, folder: Path, command: str) -> None:
        self.bench, self.folder, self.name = bench, folder, command
        folder.mkdir()
        text = json.dumps(
            {
                "version": 1,
                "flow": {"id": "f"},
                "jobs": [
                    {
                        "id": "job",
                        "steps": [
                            {"id": "step", "type": "external.process", "inputs": {"command": ["sh", f"{folder}/do"]}}
                        ],
                    }
                ],
            }
        )
        (folder / "flow.yaml").write_text(text)
        (folder / "release").mkdir()
        (folder / "release/flow.yaml").write_text(text)
        (folder / "release/profiles.yaml").write_text("{}\n")
        source = {"type": "filesystem", "base_path": "release"}
        bundle = {"id": "b", "source": source, "layout": {"profiles_file": "profiles.yaml"}, "entry_flow": "flow.yaml"}
        (folder / "bundle.yaml").write_text(json.dumps({"version": 1, "bundle": bundle}))
        item = {"id": "daily", "flow": "flow.yaml", "cron": "0 0 * * *", "since": DAY, "misfire": "last"}
        schedule = {"timezone": "UTC", "state": "ledger.sqlite", "items": [{**item, "launcher": "warm"}]}
        (folder / SCHEDULE).write_text(json.dumps(schedule))
        site = folder / "site/warm_launcher-1.dist-info"
        site.mkdir(parents=True)
        (site / "METADATA").write_text("Metadata-Version: 2.1\nName: warm-launcher\nVersion: 1\n")
        (site / "entry_points.txt").write_text("[aetherflow.launchers]\nwarm = warm_launcher:WarmLauncher\n")
        (site.parent / "warm_launcher.py").write_text(textwrap.dedent(LAUNCHER))
        forked = folder / "forked"
        forked.write_text(f'#!/bin/sh\nshift 2\nexec {warm.shims()}/aetherflow "$@"\n')  # without -m and its module
        forked.chmod(0o755)
        if command == "resume":
            self.does("exit 1")
            with self.start_here("run", {}) as process:
                assert process.wait(60) == 1

    def does(self, script: str) -> None:
        """Write what the step does."""
        (self.folder / "do").write_text(f"echo out; echo err >&2; touch {self.folder}/did; {script}\n")
        (self.folder / "did").unlink(missing_ok=True)

    def has_ended(self, status: str) -> bool:
        """Whether the step has run and all records have this status."""
        return (self.folder / "did").exists() and set(self.record()) == {status}

    def start_here(self, command: str, streams: dict[str, int]) -> "subprocess.Popen[bytes]":
        """Start the command with these streams; the others are empty."""
        package, *arguments = COMMANDS[command]
        root = {"AETHERFLOW_STATE_ROOT": f"{self.folder}/state", "AETHERFLOW_WORK_ROOT": f"{self.folder}/work"}
        given: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL) | streams
        process: subprocess.Popen[bytes] = warm.Popen(
            [sys.executable, "-m", f"aetherflow.{package}", *arguments],
            cwd=self.folder,
            env=self.bench.env(**root, PYTHONPATH=f"{self.folder}/site", PYTHONWARNINGS="error"),
            start_new_session=True,
            **given,
        )
        self.bench.processes.append(process)
        return process

    def start(self, streams: dict[str, int]) -> "subprocess.Popen[bytes]":
        """Start the command of this case."""
        return self.start_here(self.name, streams)

    def record(self) -> list[str]:
        """The statuses of the run and of its slot, as far as there are any."""
        states = [path for path in self.folder.glob("state/*.sqlite") if path.stem == "f"]
        found = [row for path in states for row in _rows(path, "SELECT status FROM runs")]
        ledger = self.folder / "ledger.sqlite"
        return found + (_rows(ledger, "SELECT status FROM slots WHERE attempts > 0") if ledger.exists() else [])


def _rows(path: Path, query: str) -> list[str]:
    with contextlib.closing(sqlite3.connect(path, timeout=30)) as db:
        return [row[0] for row in db.execute(query)]


@contextlib.contextmanager
def faulty(stream: str, fault: str) -> Iterator[dict[str, int]]:
    """The arguments of Popen that give a process this fault."""
    reads = stream == "stdin"
    kept: list[int] = []
    if fault == "closed":
        found = 9_999
    elif fault == "full":
        found = os.open("/dev/full", os.O_RDONLY if reads else os.O_WRONLY)
    elif fault == "hung up":
        master, found = pty.openpty()
        os.close(master)
    else:
        pipe = os.pipe()
        found, other = pipe if reads else reversed(pipe)
        if fault == "broken":
            os.close(other)
        else:
            kept.append(other)
        if fault == "blocked" and not reads:
            os.set_blocking(found, False)
            with contextlib.suppress(BlockingIOError):
                while True:
                    os.write(found, b"x" * 4096)
            os.set_blocking(found, True)
    try:
        yield dict.fromkeys(("stdout", "stderr") if stream == "both" else (stream,), found)
    finally:
        for descriptor in kept + ([found] if fault != "closed" else []):
            os.close(descriptor)


@pytest.fixture
def case(bench: Bench) -> Callable[[str, str], Case]:
    return lambda name, command: Case(bench, bench.folder / name.replace(" ", "-"), command)


@pytest.mark.parametrize("command", COMMANDS)
def test_the_exit_code_is_the_recorded_result(case: Callable[[str, str], Case], command: str) -> None:
    wrong = []
    for stream, fault, code in faults(command):
        here = case(f"{stream} {fault}", command)
        status = ("SUCCESS", "FAILED")[code]
        here.does(f"exit {code}")
        with faulty(stream, fault) as streams:
            process = here.start(streams)
            if fault == "blocked" and stream != "stdin":  # it has ended, and tries to say so
                wait_for(functools.partial(here.has_ended, status))
                process.send_signal(signal.SIGTERM)
            found = process.wait(60)
        if found != code or set(here.record()) != {status}:
            wrong.append((stream, fault, found, code, here.record()))
    assert wrong == []


@pytest.mark.parametrize("command", COMMANDS)
def test_a_stop_is_a_stop_whatever_becomes_of_the_streams(case: Callable[[str, str], Case], command: str) -> None:
    with contextlib.ExitStack() as stack:
        started = []
        for name in (f"{stream} {fault}" for stream, fault, _ in faults(command)):
            here = case(name, command)
            here.does(f"seq 200; seq 200 >&2; touch {here.folder}/begun; exec sleep 300")
            started.append((name, here, here.start(stack.enter_context(faulty(*name.split(" ", 1))))))
        for _, here, _ in started:
            wait_for((here.folder / "begun").exists)
        for _, _, process in started:
            process.send_signal(signal.SIGTERM)
        asked = time.monotonic()
        found = {name: (process.wait(60), set(here.record())) for name, here, process in started}
        assert time.monotonic() - asked < GRACE_SECONDS
    assert {name: each for name, each in found.items() if each != (128 + signal.SIGTERM, {"INTERRUPTED"})} == {}
