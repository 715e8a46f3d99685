"""A folder with a schedule, a clock and a launcher that the test controls, and real scheduler processes."""

import contextlib
import datetime as dt
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

import warm
from aetherflow.scheduler.document.reading import load_schedule
from aetherflow.scheduler.launchers import Launcher, Outcome, Running, RunRequest
from aetherflow.scheduler.ledger.store import Ledger
from aetherflow.scheduler.loop.loop import Scheduler
from aetherflow.scheduler.runs.events import Events
from aetherflow.scheduler.schedule.schedule import Schedule
from aetherflow.scheduler.time.clock import Clock, from_ms, to_ms

START = dt.datetime(2026, 3, 2, 12, 0, 30, tzinfo=dt.UTC)
"""A Monday."""


DAY_SECONDS = 86_400
TEST_SECONDS = 60
"""No test that counts days takes longer, but at T1."""


def today() -> dt.date:
    """The day, in UTC; with `one_day` it stays the same until the end of a test."""
    return dt.datetime.now(dt.UTC).date()


def day(before: int) -> str:
    """The day that was so many days ago, as commands take it."""
    return (today() - dt.timedelta(days=before)).isoformat()


@pytest.fixture(autouse=True)
def one_day() -> None:
    """Let no midnight come in the middle of a test: shortly before, wait for it."""
    left = DAY_SECONDS - time.time() % DAY_SECONDS
    if left < TEST_SECONDS:
        time.sleep(left)


class FakeClock(Clock):
    """A clock that stands still; `wait` advances it by the time that it would have waited."""

    def __init__(self, start: dt.datetime = START) -> None:
        super().__init__()
        self.wall = to_ms(start)
        self.mono = 1000.0
        self.until: float | None = None
        self.at_end: Callable[[], None] = lambda: None
        self.plans: list[tuple[int, Callable[[], None]]] = []

    def now(self) -> dt.datetime:
        return from_ms(self.wall)

    def now_ms(self) -> int:
        return self.wall

    def monotonic(self) -> float:
        return self.mono

    def wait(self, seconds: float) -> None:
        self.pass_time(max(seconds, 0.001))
        if self.until is not None and self.mono >= self.until:
            self.at_end()

    def wake(self) -> None:
        pass

    def pass_time(self, seconds: float) -> None:
        """Advance the clock by some seconds."""
        self.mono += seconds
        self.wall += max(1, round(seconds * 1000))
        for plan in [plan for plan in self.plans if plan[0] <= self.wall]:
            self.plans.remove(plan)
            plan[1]()

    def at(self, after: dt.timedelta, what: Callable[[], None]) -> None:
        """Call `what` when the clock has advanced by `after`."""
        self.plans.append((self.wall + round(after.total_seconds() * 1000), what))


class FakeRun(Running):
    """A run whose duration and exit code the launcher determines."""

    def __init__(self, clock: Clock, until: float, code: int, request: RunRequest, done: Callable[[str], None]) -> None:
        self._clock, self.until, self._code = clock, until, code
        self.request = request
        self.signals: list[str] = []
        self._done = done

    def poll(self) -> Outcome | None:
        if "KILL" in self.signals:
            return Outcome(-9)
        if "TERM" in self.signals:
            return Outcome(143)
        if self._clock.monotonic() < self.until:
            return None
        if self._code == 0:
            self._done(self.request.run_id)
        return Outcome(self._code)

    def terminate(self) -> None:
        self.signals.append("TERM")

    def kill(self) -> None:
        self.signals.append("KILL")


@dataclass
class FakeLauncher(Launcher):
    """A launcher that only records starts and ends of runs, in a file that outlives a killed process."""

    clock: Clock
    file: Path
    seconds: Mapping[str, float] = field(default_factory=dict)
    """Item id to the duration of its runs in seconds; 2 for other items."""
    codes: dict[str, list[int]] = field(default_factory=dict)
    """Item id to the exit codes of its starts, in order; further starts end with 0."""
    runs: list[FakeRun] = field(default_factory=list)
    refuse: bool = False

    def start(self, request: RunRequest, ended: Callable[[], None]) -> Running:
        if self.refuse:
            raise OSError("out of processes")
        finished = self._has(f"done {request.run_id} ")
        if not finished:
            self._write("start", request.run_id)
        code = 0 if finished or not self.codes.get(request.item) else self.codes[request.item].pop(0)
        until = self.clock.monotonic() + (0 if finished else self.seconds.get(request.item, 2.0))
        run = FakeRun(self.clock, until, code, request, lambda run_id: self._write("done", run_id))
        self.runs.append(run)
        return run

    def _write(self, event: str, run_id: str) -> None:
        if event == "done" and self._has(f"done {run_id} "):
            return
        with self.file.open("a") as file:
            file.write(f"{event} {run_id} {self.clock.now():%Y-%m-%dT%H:%M:%S}\n")

    def _has(self, line: str) -> bool:
        """Whether a line begins so."""
        return self.file.exists() and f"\n{line}" in f"\n{self.file.read_text()}"

    def lines(self, event: str) -> list[tuple[str, str]]:
        """Run id and time of each recorded event of this kind."""
        found = [line.split() for line in self.file.read_text().splitlines()] if self.file.exists() else []
        return [(run_id, at) for kind, run_id, at in found if kind == event]

    def started(self) -> list[str]:
        """The run ids in the order of their starts."""
        return [run_id for run_id, _ in self.lines("start")]

    def done(self) -> list[str]:
        return [run_id for run_id, _ in self.lines("done")]


class Bench:
    """A schedule in its own folder, with a ledger, a fake clock and commands."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "scheduler.yaml"
        self.clock = FakeClock()
        self.told = StringIO()
        self.launcher = FakeLauncher(self.clock, folder / "launched")
        self.processes: list[subprocess.Popen[bytes]] = []
        self.forks_runs = True
        """Whether the runs that its processes start are forked; where they are killed from outside, true starts."""

    # Files

    def write(self, text: str, name: str = "scheduler.yaml") -> None:
        """Write the schedule, or another file."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def schedule_of(self, *items: Mapping[str, Any], **top: Any) -> None:
        """Write a schedule with these items; defaults are the flow `flow` and the zone UTC."""
        given = [{"flow": "flow.yaml", **item} for item in items]
        self.write(json.dumps({"timezone": "UTC", "state": "ledger.sqlite", **top, "items": given}))

    def load(self) -> Schedule:
        return load_schedule(self.file)

    def flow(self, command: Sequence[str], name: str = "flow", **step: Any) -> None:
        """Write a flow with one step that runs a program."""
        body = {"id": "step", "type": "external.process", "inputs": {"command": list(command)}, **step}
        flow = {"version": 1, "flow": {"id": name}, "jobs": [{"id": "job", "steps": [body]}]}
        self.write(json.dumps(flow), f"{name}.yaml")

    # The ledger

    def rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """The rows of a query on the ledger."""
        with contextlib.closing(sqlite3.connect(self.folder / "ledger.sqlite", timeout=30)) as db:
            return db.execute(query, values).fetchall()

    def slots(self, item: str | None = None) -> dict[str, str]:
        """`12:01` to status, of one item or of all (then `item 12:01`)."""
        rows = self.rows("SELECT item, slot, status FROM slots ORDER BY slot, item")
        return {
            (f"{from_ms(slot):%H:%M}" if item else f"{name} {from_ms(slot):%H:%M}"): status
            for name, slot, status in rows
            if item in (None, name)
        }

    def reasons(self, item: str) -> dict[str, str | None]:
        rows = self.rows("SELECT slot, reason FROM slots WHERE item=? ORDER BY slot", item)
        return {f"{from_ms(slot):%H:%M}": reason for slot, reason in rows}

    @contextlib.contextmanager
    def ledger(self) -> Iterator[Ledger]:
        ledger = Ledger(self.folder / "ledger.sqlite", self.clock)
        try:
            yield ledger
        finally:
            ledger.close()

    # A scheduler in this process, on the fake clock

    def events(self) -> Events:
        return Events(stream=self.told)

    def scheduler(self, **options: Any) -> Scheduler:
        return Scheduler(
            self.load(), clock=self.clock, events=self.events(), launchers=lambda _: self.launcher, **options
        )

    def run_for(self, span: dt.timedelta, **options: Any) -> None:
        """Run a scheduler in this process for a span of the fake clock, then stop it."""
        made = self.scheduler(**options)
        self.clock.until = self.clock.mono + span.total_seconds()
        self.clock.at_end = made.stop.stop
        assert made.run() == 0
        self.clock.until = None

    def minutes(self, number: float, **options: Any) -> None:
        self.run_for(dt.timedelta(minutes=number), **options)

    # Real processes

    def env(self, **more: str) -> dict[str, str]:
        env = {name: value for name, value in os.environ.items() if not name.startswith("AETHERFLOW_")}
        return env | self._roots() | (warm.forking() if self.forks_runs else {}) | more

    def _roots(self) -> dict[str, str]:
        return {"AETHERFLOW_STATE_ROOT": str(self.folder / "state"), "AETHERFLOW_WORK_ROOT": str(self.folder / "work")}

    def enter(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Go on in the folder, for commands that are called in this process."""
        for name, value in self._roots().items():
            monkeypatch.setenv(name, value)
        monkeypatch.chdir(self.folder)

    def start(self, *arguments: str, **env: str) -> "subprocess.Popen[bytes]":
        """Start a command of the scheduler; its events go to the file `events`."""
        with (self.folder / "events").open("ab") as events:
            process = warm.Popen(
                [sys.executable, "-m", "aetherflow.scheduler", *arguments],
                cwd=self.folder,
                env=self.env(**env),
                stdin=subprocess.DEVNULL,
                stdout=events,
                stderr=events,
                start_new_session=True,
            )
        self.processes.append(process)
        return process

    def command(self, *arguments: str, code: int | None = 0, **env: str) -> str:
        """Run a command to its end; returns its stdout."""
        done = warm.run(
            [sys.executable, "-m", "aetherflow.scheduler", *arguments],
            cwd=self.folder,
            env=self.env(**env),
            capture_output=True,
            text=True,
            check=False,
            timeout=240,
        )
        assert code is None or done.returncode == code, (arguments, done.returncode, done.stdout, done.stderr)
        assert "Traceback" not in done.stderr, done.stderr
        self.errors = done.stderr
        return str(done.stdout)

    def told_so_far(self) -> str:
        return (self.folder / "events").read_text()

    def stop(self, process: "subprocess.Popen[bytes]", number: int = signal.SIGTERM) -> int:
        process.send_signal(number)
        return process.wait(60)

    def close(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                process.kill()
                process.wait()


def wait_for(condition: Callable[[], Any], seconds: float = 60.0) -> Any:
    """Wait until a condition is true and return its value; the time limit allows for busy machines."""
    deadline = time.monotonic() + seconds
    while True:
        with contextlib.suppress(sqlite3.OperationalError, FileNotFoundError):
            if found := condition():
                return found
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.05)


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    """A new folder, in memory if possible, because the ledger syncs every transaction to disk."""
    memory = Path("/dev/shm")
    usable = memory.is_dir() and os.access(memory, os.W_OK)
    folder = Path(tempfile.mkdtemp(prefix="scheduler-", dir=memory if usable else None))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def bench() -> Iterator[Bench]:
    """A bench in a folder of its own, without a schedule."""
    with _folder() as folder:
        made = Bench(folder)
        try:
            yield made
        finally:
            made.close()


class PreparedBenches:
    """Benches that go on from the end of a preparation, which is executed once a day.

    They have one folder, one after the other, because ledgers and states hold absolute paths.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ends: dict[tuple[object, dt.date], Bench] = {}

    @contextlib.contextmanager
    def after(self, prepare: Callable[[Bench], None]) -> Iterator[Bench]:
        """A bench as `prepare` leaves it."""
        place, kept = self._folder / "bench", self._folder / f"{prepare.__name__}-{today()}"
        if (prepare, today()) not in self._ends:
            place.mkdir()
            self._ends[prepare, today()] = end = Bench(place)
            prepare(end)
            end.close()
            place.rename(kept)
        end = self._ends[prepare, today()]
        shutil.copytree(kept, place, symlinks=True)
        made = Bench(place)
        made.clock.wall, made.clock.mono = end.clock.wall, end.clock.mono
        made.told.write(end.told.getvalue())
        try:
            yield made
        finally:
            made.close()
            shutil.rmtree(place)


@pytest.fixture(scope="module")
def prepared_benches() -> Iterator[PreparedBenches]:
    with _folder() as folder:
        yield PreparedBenches(folder)


@pytest.fixture
def until() -> Callable[..., Any]:
    return wait_for
