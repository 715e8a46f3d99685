"""The cost of looking at the past: `runs list` over a million step rows, `status` over 1,000 flows.

A tenth of the flows needs a person in the second picture of `status`. All are measured against a command that looks at
nothing (`aetherflow --version`), in turn with it, so that a drifting machine hits all alike; the shortest elapsed time
of each, which is the one that others disturbed least.

    make bench
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from aetherflow.core.base import durable
from aetherflow.core.kernel.state import registry
from aetherflow.core.kernel.state.migration import prepare_schema

ROUNDS = 11
RUNS, STEPS = 1_000, 1_000
FLOWS = 1_000
LIST_LIMIT_MS, STATUS_LIMIT_MS = 50.0, 1000.0
RUN_COLUMNS = (
    "flow_id, run_id, generation, status, engine_version, flow_path, fingerprint, params, run_date, data_date, actor, "
    "host, pid, trigger, command, started_at, finished_at"
)


def run_row(flow_id: str, number: int, status: str = "SUCCESS") -> tuple[object, ...]:
    """A run that has ended."""
    at = 1_700_000_000_000 + number * 60_000
    frozen = ("1.0.0", f"/flows/{flow_id}.yaml", "0" * 64, "{}", "2026-11-24", "2026-11-24")
    return (flow_id, f"run{number}", 1, status, *frozen, "me", "here", 1, "cli", "run", at, at + 30_000)


def make_state(path: Path, flow_id: str, runs: int, steps: int, last: str = "SUCCESS") -> None:
    """A state file with so many runs of so many steps; `last` is how the last one ended."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(durable.connect(path, busy_seconds=5)) as db:
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA synchronous=OFF")
        prepare_schema(db, path)
        db.execute("BEGIN")
        marks = ", ".join("?" * len(RUN_COLUMNS.split(",")))
        rows = (run_row(flow_id, number, last if number == runs - 1 else "SUCCESS") for number in range(runs))
        db.executemany(f"INSERT INTO runs ({RUN_COLUMNS}) VALUES ({marks})", rows)
        db.executemany(
            "INSERT INTO step_runs (flow_id, run_id, job_id, step_id, attempt, status, effect, idem_key, outputs, "
            "plugin, started_at, finished_at) VALUES (?, ?, 'main', ?, 1, 'SUCCESS', 'repeatable', ?, '{}', 'p', 1, 2)",
            step_rows(flow_id, runs, steps),
        )
        db.execute("COMMIT")


def step_rows(flow_id: str, runs: int, steps: int) -> Iterator[tuple[str, str, str, str]]:
    """Keys of the steps."""
    for run in range(runs):
        for step in range(steps):
            yield flow_id, f"run{run}", f"step{step}", f"{run}-{step}"


def elapsed_ms(command: list[str], env: dict[str, str], folder: Path) -> float:
    """Wall time of one command; 1 as an exit code is an answer of `status`."""
    started = time.perf_counter()
    done = subprocess.run(command, env=env, cwd=folder, capture_output=True, text=True, check=False)
    taken = (time.perf_counter() - started) * 1000
    if done.returncode not in (0, 1):
        raise SystemExit(f"{' '.join(command)} failed: {done.stderr}")
    return taken


def main() -> int:
    """Measure, print a table, return 1 if a command is over its limit."""
    aetherflow = str(Path(sys.executable).with_name("aetherflow"))
    plain = {key: value for key, value in os.environ.items() if not key.startswith("AETHERFLOW_")}
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        make_state(root / "million/f.sqlite", "f", RUNS, STEPS)
        for number in range(FLOWS):
            name = f"flow{number:04}"
            make_state(root / f"many/{name}.sqlite", name, 3, 2)
            make_state(root / f"bad/{name}.sqlite", name, 3, 2, "SUCCESS" if number % 10 else "FAILED")
        for name in ("million", "many", "bad"):
            for state in sorted((root / name).glob("f*.sqlite")):
                registry.adopt(root / name, state)
        commands = {
            "--version": (["--version"], "million"),
            f"runs list, {RUNS * STEPS:,} steps": (["runs", "list"], "million"),
            f"status, {FLOWS:,} flows": (["status"], "many"),
            f"status, {FLOWS // 10} of them bad": (["status"], "bad"),
        }
        times: dict[str, list[float]] = {name: [] for name in commands}
        for round_number in range(ROUNDS + 1):
            for name, (arguments, state_root) in commands.items():
                env = {**plain, "AETHERFLOW_STATE_ROOT": str(root / state_root), "PYTHONDONTWRITEBYTECODE": ""}
                taken = elapsed_ms([aetherflow, *arguments], env, root)
                if round_number:  # the first round warms caches and bytecode
                    times[name].append(taken)
    floor, listing, status, bad = (min(found) for found in times.values())
    limits = [("floor", floor, 0.0, 0.0), ("over the floor", listing, listing - floor, LIST_LIMIT_MS)]
    limits += [("in all", each, each, STATUS_LIMIT_MS) for each in (status, bad)]
    failed = False
    for name, (what, shortest, counted, limit) in zip(commands, limits, strict=True):
        over = counted > limit
        failed = failed or over
        print(f"{name:<28}{shortest:>8.1f} ms   {what} {counted:>6.1f} ms, limit {limit:.0f}{'  OVER' if over else ''}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
