"""Workers of the launcher `celery` as processes, and orders for them, as a scheduler gives them."""

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization as s
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

import warm
from aetherflow.scheduler.launchers import broker, signing
from aetherflow.scheduler.launchers.base import Running, RunRequest
from aetherflow.scheduler.launchers.celery import CeleryLauncher

FLOW = """\
version: 1
flow: {id: f, params: {n: {type: string}}}
jobs:
  - id: j
    lock: {key: "lock-{{params.n}}"}
    steps:
STEPS
"""
STEP = (
    '      - {id: s%d, type: external.process, inputs: {shell: true, command: "until test -e $GO; do sleep 0.02; done; '
    'echo %d {{params.n}} >> $EFFECTS; sleep SECONDS"}}'
)
FIRST = '      - {id: s0, type: external.process, inputs: {shell: true, command: "echo 0 {{params.n}} >> $EFFECTS"}}'


def lay_keys(folder: Path) -> dict[str, str]:
    """Make a key for orders, and the file that allows it; returns the variable that names their folder."""
    folder.mkdir(mode=0o700, exist_ok=True)
    key = folder / signing.KEY
    private = Ed25519PrivateKey.generate()
    form = (s.Encoding.PEM, s.PrivateFormat.OpenSSH, s.NoEncryption())
    key.touch(0o600)
    key.write_bytes(private.private_bytes(*form))
    public = private.public_key().public_bytes(s.Encoding.OpenSSH, s.PublicFormat.OpenSSH).decode()
    (folder / signing.SIGNERS).write_text(f'* namespaces="{signing.ORDERS},{signing.ANSWERS}" {public}\n')
    return {signing.FOLDER: str(folder)}


class Herd:
    """A broker, its workers, and a scheduler's launcher in this process."""

    def __init__(self, folder: Path, url: str, steps: int, seconds: float) -> None:
        """`steps` of a run, of which each but the first takes at least `seconds`."""
        self.folder = folder
        self.effects, self.go = folder / "effects", folder / "go"
        self.state = folder / "state/f.sqlite"
        self.workers: list[subprocess.Popen[bytes]] = []
        self.runs: dict[str, Running] = {}
        self.queues: set[str | None] = {None}
        self.ended = threading.Event()
        self.env = {name: value for name, value in os.environ.items() if not name.startswith("AETHERFLOW_")}
        self.env |= {
            broker.URL: url, broker.VISIBILITY: "6", "EFFECTS": str(self.effects), "GO": str(self.go),
            "AETHERFLOW_STATE_ROOT": str(folder / "state"), "AETHERFLOW_WORK_ROOT": str(folder / "work"),
            **warm.forking(), **lay_keys(folder / "keys"),
        }  # fmt: skip
        lines = [FIRST, *(STEP % (number, number) for number in range(1, steps))]
        (folder / "flow.yaml").write_text(FLOW.replace("STEPS", "\n".join(lines)).replace("SECONDS", str(seconds)))

    def worker(self, *more: str) -> "subprocess.Popen[bytes]":
        argv = [sys.executable, "-m", "aetherflow.scheduler", "worker", "--concurrency", "2", *more]
        with (self.folder / f"worker-{len(self.workers)}.log").open("ab") as log:
            found = warm.Popen(argv, cwd=self.folder, env=self.env, stdout=log, stderr=log)
        self.workers.append(found)
        return found

    def log(self, number: int) -> str:
        return (self.folder / f"worker-{number}.log").read_text()

    def told(self) -> str:
        """What workers and runs have told; an order that was delivered twice has two logs."""
        logs = (*sorted(self.folder.glob("worker-*.log")), *sorted((self.folder / "state/ledger.d").glob("*.log")))
        return "\n".join(f"{path.name}\n{path.read_text()[-4000:]}" for path in logs)

    def order(
        self,
        launcher: CeleryLauncher,
        name: str,
        *,
        attempt: int = 1,
        queue: str | None = None,
        fan_out_queue: str | None = None,
    ) -> Running:
        """Give the order for a run, as the scheduler does."""
        arguments = (
            "run",
            "--flow-yaml",
            str(self.folder / "flow.yaml"),
            "--run-id",
            name,
            "--if-busy",
            "wait",
            "--json",
        )
        request = RunRequest(
            "i", name, "2026-11-25T01:00:00Z", (*arguments, "--param", f"n={name}"), self.folder,
            self.folder / f"state/ledger.d/{name}.{attempt}.log", queue=queue, fan_out_queue=fan_out_queue,
        )  # fmt: skip
        self.queues |= {queue, fan_out_queue}
        self.runs[name] = found = launcher.start(request, self.ended.set)
        return found

    def owners(self, flow: str = "f") -> dict[str, int]:
        """Run to the process that executes it, or did so last."""
        files = (self.folder / f"state/{flow}.sqlite.d/runs/{flow}").glob("*.lock")
        return {path.stem: int(text.split()[1]) for path in files if (text := path.read_text())}

    def of(self, worker: "subprocess.Popen[bytes]", flow: str = "f") -> dict[str, int]:
        """The runs that a worker executes, with their processes, which may have executed others before."""
        below = self._below(worker)
        over = {name for (name,) in self.query("SELECT run_id FROM runs WHERE status<>'RUNNING'", flow)}
        return {name: pid for name, pid in self.owners(flow).items() if pid in below and name not in over}

    def _below(self, worker: "subprocess.Popen[bytes]") -> set[int]:
        """What a worker has started: the process that forks its runs, which writes into the same log, and these."""
        log = self.folder / f"worker-{self.workers.index(worker)}.log"
        parents = {int(path.name): _parent(int(path.name)) for path in Path("/proc").glob("[0-9]*")}
        servers = {pid for pid in parents if pid != worker.pid and _writes_into(pid, log)}
        return servers | {pid for pid, parent in parents.items() if parent in servers}

    def lose(self, worker: "subprocess.Popen[bytes]") -> set[str]:
        """The host of a worker is gone, with all that ran there; returns the ids of these runs."""
        os.kill(worker.pid, signal.SIGSTOP)  # so that it starts nothing meanwhile
        runs = self.of(worker)
        for pid in (worker.pid, *self._below(worker)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        worker.wait(30)
        return set(runs)

    def query(self, sql: str, flow: str = "f") -> list[tuple[Any, ...]]:
        state = self.state.with_name(f"{flow}.sqlite")
        try:
            with contextlib.closing(sqlite3.connect(f"file:{state}?mode=ro", uri=True, timeout=30)) as db:
                return db.execute(sql).fetchall()
        except sqlite3.OperationalError:  # not there yet
            return []

    def waiting(self) -> set[str]:
        """The runs whose second step waits for `go`: what they did before is recorded."""
        return {
            str(name) for (name,) in self.query("SELECT run_id FROM step_runs WHERE step_id='s1' AND status='RUNNING'")
        }

    def until(self, true: Callable[[], object], seconds: float = 90) -> None:
        deadline = time.monotonic() + seconds
        while not true():
            assert time.monotonic() < deadline, self.told()
            time.sleep(0.03)

    def until_all_have_ended(self, seconds: float = 120) -> dict[str, int]:
        """Run to the exit code that was answered."""
        self.until(lambda: all(run.poll() is not None for run in self.runs.values()), seconds)
        return {name: outcome.exit_code for name, run in self.runs.items() if (outcome := run.poll()) is not None}

    def lines(self) -> list[str]:
        return sorted(self.effects.read_text().splitlines()) if self.effects.exists() else []

    def end(self) -> None:
        self.go.touch()
        for worker in self.workers:
            if worker.poll() is None:
                os.kill(worker.pid, signal.SIGCONT)
                worker.terminate()
        for worker in self.workers:
            with contextlib.suppress(subprocess.TimeoutExpired):
                worker.wait(30)
            worker.kill()
            worker.wait()


def _parent(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def _writes_into(pid: int, log: Path) -> bool:
    """Whether it is the stderr of a process."""
    try:
        return Path(f"/proc/{pid}/fd/2").readlink() == log
    except OSError:
        return False


@contextlib.contextmanager
def herd_on(
    folder: Path, url: str, monkeypatch: pytest.MonkeyPatch, steps: int = 2, seconds: float = 0
) -> Iterator[Herd]:
    """A herd whose processes are gone afterwards; this process uses its broker, too."""
    made = Herd(folder, url, steps, seconds)
    for name in (broker.URL, broker.VISIBILITY, signing.FOLDER):
        monkeypatch.setenv(name, made.env[name])
    broker.application.cache_clear()
    try:
        yield made
    finally:
        made.end()
        # an order that came back from a worker would be executed by one of the next test, which has the same run ids
        with broker.application().connection_for_write() as connection:
            for queue in made.queues:
                bound = broker.queue(queue).bind(connection.default_channel)
                bound.declare()
                bound.purge()
        broker.application.cache_clear()
