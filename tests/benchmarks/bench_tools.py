"""What the benchmarks share: flows of any length, the floor of a bare commit, processes whose cost is known."""

import contextlib
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Self

AETHERFLOW = str(Path(sys.executable).with_name("aetherflow"))
FOLDER_VARIABLE = "BENCH_ROOT"
"""Where files are written that are synced: a folder on the disk that is to be measured."""
NO_OP = "{{id: {id}, type: check_items, inputs: {{items: [a, b]}}}}"


def no_op_flow(name: str, steps: int, jobs: int, root: Path, *, last: str = "") -> str:
    """A flow of `steps` steps that do next to nothing, in equal jobs; `last` is added to the last job."""
    lines = [
        "version: 1",
        f'flow: {{id: {name}, workspace: {{root: "{root}/work"}}, state: {{path: "{root}/{name}.sqlite"}}}}',
        "jobs:",
    ]
    for job in range(jobs):
        lines += [f"  - id: j{job}", "    steps:"]
        lines += ["      - " + NO_OP.format(id=f"s{step}") for step in range(steps // jobs)]
    return "\n".join([*lines, *([f"      - {last}"] if last else [])]) + "\n"


class Commits:
    """The floor of durable work: a bare SQLite transaction that inserts one small row, WAL, every commit synced."""

    def __init__(self, path: Path) -> None:
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")
        self._db.execute("CREATE TABLE IF NOT EXISTS rows (id INTEGER PRIMARY KEY, value TEXT)")

    def make(self, count: int) -> float:
        """Commit `count` times; returns the wall time."""
        started = time.perf_counter()
        for number in range(count):
            self._db.execute("BEGIN IMMEDIATE")
            self._db.execute("INSERT INTO rows (value) VALUES (?)", (f"row {number}",))
            self._db.execute("COMMIT")
        return time.perf_counter() - started

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._db.close()


def cpu_seconds(command: list[str], environment: dict[str, str]) -> float:
    """User plus system time of one run of `command`."""
    pid = os.posix_spawn(
        command[0],
        command,
        environment,
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
            (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
        ],
    )
    _, status, usage = os.wait4(pid, 0)
    if os.waitstatus_to_exitcode(status) != 0:
        again = subprocess.run(command, capture_output=True, text=True, check=False)
        raise SystemExit(f"{' '.join(command)} failed: {again.stderr}")
    return usage.ru_utime + usage.ru_stime


def wall_seconds(
    command: list[str], *, env: dict[str, str] | None = None, cwd: Path | None = None, ends: int = 0
) -> float:
    """Wall time of one run of `command`, which must exit with `ends`."""
    started = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=env, cwd=cwd)
    seconds = time.perf_counter() - started
    if done.returncode != ends:
        raise SystemExit(f"{' '.join(command)} exited with {done.returncode}: {done.stderr[-2000:]}")
    return seconds


@contextlib.contextmanager
def disk_folder() -> Iterator[Path]:
    """A new folder on a real disk: in $BENCH_ROOT, else in .bench of the repository; removed at the end."""
    root = Path(os.environ.get(FOLDER_VARIABLE) or Path(__file__).parents[2] / ".bench")
    root.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=root) as folder:
        yield Path(folder)
