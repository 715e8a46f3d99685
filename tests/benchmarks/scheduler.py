"""What a scheduler costs while nothing is due, whether its memory stays as it is, and how late slots start.

A real `aetherflow-scheduler run` with 1,000 items is watched for its CPU time, and for the time between a slot and the
start that it wrote down. Memory is measured over simulated months, with a clock that jumps to the next slot, and runs
that end at once.

    make bench-scheduler
"""

import contextlib
import datetime as dt
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from aetherflow.scheduler.document.reading import load_schedule
from aetherflow.scheduler.launchers import Launcher, Outcome, Running, RunRequest
from aetherflow.scheduler.loop.loop import Scheduler
from aetherflow.scheduler.runs.events import Events
from aetherflow.scheduler.time.clock import Clock
from bench_tools import disk_folder

ITEMS = 1_000
IDLE_SECONDS = float(os.environ.get("SECONDS", "60"))
IDLE_LIMIT = 0.01
"""Share of one core."""
MONTHS = 6
MEMORY_LIMIT_MB = 4.0
"""From the end of the first month to the end of the last."""
LATE_LIMIT = 1.0
FLOW = "version: 1\nflow: {id: f}\njobs: [{id: j, steps: [{id: s, type: check_items, inputs: {items: [a]}}]}]\n"


def write(folder: Path, crons: list[str]) -> Path:
    """A document with so many items."""
    (folder / "flow.yaml").write_text(FLOW)
    lines = ["version: 1", "timezone: Europe/Berlin", "state: ledger.sqlite", "max_running: 100", "items:"]
    lines += [f'  - {{id: i{number}, cron: "{cron}", flow: flow.yaml}}' for number, cron in enumerate(crons)]
    document = folder / "scheduler.yaml"
    document.write_text("\n".join(lines) + "\n")
    return document


@contextlib.contextmanager
def running(document: Path) -> Iterator[int]:
    """A scheduler in a process of its own, once it leads; its pid."""
    env = {**os.environ, "AETHERFLOW_STATE_ROOT": str(document.parent / "state"), "AETHERFLOW_LOG_LEVEL": "WARNING"}
    env["AETHERFLOW_WORK_ROOT"] = str(document.parent / "work")
    process = subprocess.Popen([sys.executable, "-m", "aetherflow.scheduler", "run", str(document)], env=env)
    try:
        while not query(document, "SELECT 1 FROM fence") or not query(document, "SELECT 1 FROM epochs"):
            if process.poll() is not None:
                raise SystemExit("the scheduler has ended")
            time.sleep(0.1)
        yield process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


def query(document: Path, sql: str) -> list[tuple[int, ...]]:
    """Read the ledger; nothing as long as it is not there."""
    try:
        with contextlib.closing(sqlite3.connect(f"file:{document.parent}/ledger.sqlite?mode=ro", uri=True)) as db:
            return db.execute(sql).fetchall()
    except sqlite3.OperationalError:
        return []


def cpu_seconds_of(pid: int) -> float:
    """User and system time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def idle_share(folder: Path) -> float:
    """CPU time per second of a scheduler whose items are not due for months."""
    day = dt.datetime.now(dt.UTC) + dt.timedelta(days=100)
    document = write(folder, [f"{n % 60} {n % 24} {day.day} {day.month} *" for n in range(ITEMS)])
    with running(document) as pid:
        time.sleep(5)
        started, before = time.monotonic(), cpu_seconds_of(pid)
        time.sleep(IDLE_SECONDS)
        return (cpu_seconds_of(pid) - before) / (time.monotonic() - started)


def delays(folder: Path, at_once: int) -> list[float]:
    """Seconds from a slot to its start, of so many items that are due in the same minute, among 1,000."""
    day = dt.datetime.now(dt.UTC) + dt.timedelta(days=100)
    crons = ["* * * * *"] * at_once + [f"0 0 {day.day} {day.month} *"] * (ITEMS - at_once)
    document = write(folder, crons)
    with running(document):
        while (
            len(found := query(document, "SELECT started_at - slot FROM slots WHERE started_at IS NOT NULL")) < at_once
        ):
            time.sleep(0.5)
    return [delay / 1000 for (delay,) in found]


class Jumping(Clock):
    """A clock that is at the next slot as soon as somebody waits; it tells of each month that has passed."""

    def __init__(self, start: dt.datetime, slots: list[dt.datetime], month: Callable[[], bool]) -> None:
        super().__init__()
        self._now = start
        self._slots = slots
        self._index = 0
        self._month = month
        self._woken = False
        self.stop: Callable[[], None] = lambda: None

    def now(self) -> dt.datetime:
        return self._now

    def monotonic(self) -> float:
        return self._now.timestamp()

    def wake(self) -> None:
        self._woken = True

    def wait(self, seconds: float) -> None:
        if self._woken:
            self._woken = False
            return
        following = self._slots[self._index]
        if following.month != self._now.month and not self._month():
            self.stop()
        self._now = following
        self._index += 1


class AtOnce(Launcher, Running):
    """Runs that have ended when they begin."""

    def start(self, request: RunRequest, ended: Callable[[], None]) -> Running:
        ended()
        return self

    def poll(self) -> Outcome:
        return Outcome(0)

    def terminate(self) -> None:
        pass

    kill = terminate


def resident_mb() -> float:
    """What this process has in memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def growth_mb(folder: Path) -> tuple[float, int]:
    """How much memory a scheduler has gained from the end of its first month to that of its last; and its slots."""
    crons = ["0 4 * * *"] * 20 + [f"{n % 60} {n % 24} {1 + n % 28} * *" for n in range(ITEMS - 20)]
    document = write(folder, crons)
    schedule = load_schedule(document)
    start = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    end = start + dt.timedelta(days=31 * (MONTHS + 2))
    slots = sorted({at for item in schedule.items for at in item.cron.between(start, end, item.zone)})
    sizes: list[float] = []

    def month() -> bool:
        sizes.append(resident_mb())
        return len(sizes) <= MONTHS

    clock = Jumping(start, slots, month)
    launcher = AtOnce()
    quiet = Events("CRITICAL")
    made = Scheduler(schedule, clock=clock, events=quiet, launchers=lambda _: launcher)
    clock.stop = made.stop.stop
    made.run()
    return sizes[-1] - sizes[0], query(document, "SELECT count(*) FROM slots")[0][0]


def report(what: str, value: float, unit: str, limit: float) -> bool:
    """A line of the result; True if it is over its limit."""
    over = value > limit
    print(f"{what:<58}{value:>8.3f} {unit:<4} limit {limit:g}{'  OVER' if over else ''}")
    return over


def main() -> int:
    """Measure; 1 if a limit is broken."""
    failed = False
    with disk_folder() as folder:
        for name in ("idle", "one", "twenty"):
            (folder / name).mkdir()
        failed |= report(
            f"CPU of one core, idle, {ITEMS:,} items", 100 * idle_share(folder / "idle"), "%", 100 * IDLE_LIMIT
        )
        failed |= report("a slot starts after", max(delays(folder / "one", 1)), "s", LATE_LIMIT)
        last = max(delays(folder / "twenty", 20))
        print(f"the last of 20 slots of one minute starts after {last:.3f} s")
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as name:
        grown, slots = growth_mb(Path(name))
        failed |= report(f"memory gained in {MONTHS} months, {slots:,} slots", grown, "MB", MEMORY_LIMIT_MB)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
