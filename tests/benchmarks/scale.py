"""What a run costs that a Celery worker executes, and how many more two workers execute than one.

The same flow is run by a worker, by commands in a row, and by the function `run_flow` in a loop, with states in
PostgreSQL, and in a file: CPU time of all processes per run but the server's, without the start of the worker and of
the loop. What a worker takes for orders that it only answers is the floor. Then runs that only sleep are executed by
one and by two workers, one at a time each, with states in a file.

    make bench-scale (RUNS=40 SLEEPS=40; all of it: SLEEPS=2000)
"""

import os
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import warm
from aetherflow.scheduler.launchers import broker
from aetherflow.scheduler.launchers.base import RunRequest
from aetherflow.scheduler.launchers.celery import CeleryLauncher
from aetherflow.scheduler.launchers.signing import MessageKind, opened, signed
from bench_tools import disk_folder
from brokers import redis_running
from celery_workers import lay_keys
from server_project import keep_states_in
from services import Database, mortal_postgres

if TYPE_CHECKING:
    from aetherflow.scheduler.launchers.base import Running

START = warm.true_start("what a run costs is measured")
RUNS, SLEEPS = int(os.environ.get("RUNS", "40")), int(os.environ.get("SLEEPS", "40"))
STEPS = 10
SPEED_UP = 1.7
"""At least, from one worker to two, where a run sleeps for half a second."""
MOST = 1.3
"""CPU time of a run by a worker at most, by that of `run_flow`, on the same server."""
ORDERS = 2000
MOST_TO_SIGN = 1.0
"""Milliseconds."""
SECONDS = 0.5
FLOW = "version: 1\nflow: {id: f}\njobs:\n  - id: j\n    steps:\n"
STEP = "      - {id: s%d, type: check_items, inputs: {items: [a, b]}}\n"
SLEEP = (
    f"version: 1\nflow: {{id: s}}\njobs: [{{id: j, steps: [{{id: s, type: sleep, inputs: {{seconds: {SECONDS}}}}}]}}]\n"
)
WORKER = ("-m", "aetherflow.scheduler", "worker", "--concurrency", "1")
ONLY_ANSWERS = (
    "from aetherflow.scheduler.launchers import worker; worker.Worker.execute = lambda *_: worker.Outcome(0)\n"
    "from aetherflow.scheduler.cli.app import main; main(['worker', '--concurrency', '1'])"
)
LOOP = (
    "import sys; from aetherflow.core.runner import run_flow\n"
    "for number in range(int(sys.argv[2])): run_flow(sys.argv[1], run_id=f'l{number}')"
)


def cpu_of_children() -> float:
    """Seconds of CPU of all processes that have ended and were waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def cpu(work: Callable[[], object]) -> float:
    """Seconds of CPU of the processes that the work starts."""
    before = cpu_of_children()
    work()
    return cpu_of_children() - before


class Bench:
    """A folder with flows, and a broker."""

    def __init__(self, folder: Path, url: str, server: Database | None = None) -> None:
        """States are in files without a `server`."""
        self.folder, self.url = folder, url
        self.env: dict[str, str] = {}
        if server is not None:
            keep_states_in(self, server)
        os.environ |= self.env | {
            broker.URL: url,
            **lay_keys(folder / "keys"),
            "AETHERFLOW_STATE_ROOT": str(folder / "state"),
            "AETHERFLOW_WORK_ROOT": str(folder / "work"),
            "AETHERFLOW_LOG_LEVEL": "WARNING",
        }
        (folder / "f.yaml").write_text(FLOW + "".join(STEP % number for number in range(STEPS)))
        (folder / "s.yaml").write_text(SLEEP)

    def write(self, text: str, name: str) -> None:
        """Write a document into the folder; `name` is that of its file."""
        (self.folder / name).write_text(text)

    def command(self, *arguments: str) -> None:
        """Run a command to its end."""
        START.run([sys.executable, *arguments], cwd=self.folder, check=True, capture_output=True)

    def by_workers(self, flow: str, runs: int, workers: int, prefix: str, worker: tuple[str, ...] = WORKER) -> float:
        """Have so many runs executed; the seconds from the moment when all workers are ready."""
        started = [self._worker(number, worker) for number in range(workers)]
        launcher, ended = CeleryLauncher(), threading.Event()
        before = time.monotonic()
        left: list[Running] = []
        for number in range(runs):
            name = f"{prefix}{number}"
            arguments = ("run", "--flow-yaml", f"{flow}.yaml", "--run-id", name, "--if-busy", "wait", "--json")
            log = self.folder / f"state/logs/{name}.log"
            left.append(launcher.start(RunRequest("i", name, "", arguments, self.folder, log), ended.set))
        for each in left:
            while (outcome := each.poll()) is None:
                ended.wait(0.05)
                ended.clear()
            if outcome.exit_code:
                raise SystemExit(f"a run has failed: {outcome}")
        seconds = time.monotonic() - before
        for process in started:
            process.terminate()
        for process in started:
            process.wait()
        return seconds

    def _worker(self, number: int, worker: tuple[str, ...]) -> "subprocess.Popen[bytes]":
        log = self.folder / f"worker-{number}.log"
        env = {**os.environ, broker.URL: self.url}  # the launcher takes it out of the environment of its process
        with log.open("wb") as file:
            process = START.Popen([sys.executable, *worker], cwd=self.folder, env=env, stdout=file, stderr=file)
        while b" ready." not in log.read_bytes():
            if process.poll() is not None:
                raise SystemExit(log.read_text())
            time.sleep(0.05)
        return process


def cpu_of_runs(bench: Bench, where: str) -> float:
    """Print what a run costs; by a worker, as a ratio to `run_flow`."""

    def commands() -> None:
        for number in range(RUNS):
            bench.command("-m", "aetherflow.core", "run", "f.yaml", "--run-id", f"c{number}", "--json")

    idle = cpu(lambda: bench.by_workers("f", 0, 1, "n"))
    celery = cpu(lambda: bench.by_workers("f", RUNS, 1, "w")) - idle
    answered = cpu(lambda: bench.by_workers("f", RUNS, 1, "a", ("-c", ONLY_ANSWERS))) - idle
    alone = cpu(commands)
    started = cpu(lambda: bench.command("-c", LOOP, "f.yaml", "0"))
    loop = cpu(lambda: bench.command("-c", LOOP, "f.yaml", str(RUNS))) - started
    each = [1000 * seconds / RUNS for seconds in (celery, alone, loop, answered)]
    print(f"CPU per run of {STEPS} steps, states in {where}, {RUNS} runs, in ms")
    ratios = f"{each[0] / each[1]:.2f} x a command, {each[0] / each[2]:.2f} x run_flow"
    print(f"  by a worker              {each[0]:8.0f}   {ratios}")
    print(f"  by a command             {each[1]:8.0f}")
    print(f"  by run_flow in a loop    {each[2]:8.0f}")
    print(f"  by a worker that only answers{each[3]:3.0f}   and run_flow: {1 + each[3] / each[2]:.2f} x, the floor")
    print(f"  a worker that is started and ended, without runs: {1000 * idle:.0f}")
    return celery / loop


def signature_of_an_order(folder: Path) -> float:
    """Milliseconds that an order takes more because it is signed: by the scheduler and the worker together."""
    os.environ |= lay_keys(folder / "keys")
    body = {"arguments": ["run", "--flow-yaml", "f.yaml", "--param", "x=" + "y" * 500], "log": "/state/r.1.log"}
    before = time.perf_counter()
    for _ in range(ORDERS):
        opened(signed(MessageKind.ORDER, "aetherflow", body), MessageKind.ORDER, ["aetherflow"])
    return (time.perf_counter() - before) / ORDERS * 1000


def main() -> int:
    """Print what was measured; 1 if a limit is broken."""
    with disk_folder() as folder:
        order = signature_of_an_order(folder)
    print(f"to sign an order and to check it takes {order:.2f} ms (limit {MOST_TO_SIGN})")
    with redis_running() as url:
        with mortal_postgres() as server, disk_folder() as folder:
            ratio = cpu_of_runs(Bench(folder, url, server.database), "PostgreSQL")
        with disk_folder() as folder:
            bench = Bench(folder, url)
            cpu_of_runs(bench, "a file")
            one, two = (bench.by_workers("s", SLEEPS, workers, f"t{workers}-") for workers in (1, 2))
    print(f"On PostgreSQL a worker's run takes {ratio:.2f} x the CPU of run_flow (limit {MOST})")
    gain = f"{one / two:.2f} x (limit {SPEED_UP})"
    print(f"{SLEEPS} runs that sleep {SECONDS} s: one worker {one:.1f} s, two {two:.1f} s, {gain}")
    return int(one / two < SPEED_UP or ratio > MOST or order > MOST_TO_SIGN)


if __name__ == "__main__":
    raise SystemExit(main())
