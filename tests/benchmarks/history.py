"""The cost of looking at the past: `runs list` and `status` over a million step rows, `status` over 1,000 flows.

The million is in a file, and in PostgreSQL and MariaDB, there in 100,000 runs of 100 flows. A tenth of the 1,000 flows
needs a person in the second picture of `status`. The million is measured against the same command over one step, with a
server over states without a row, in turn with it, so that a drifting machine hits all alike; the shortest elapsed time
of each, which is the one that others disturbed least.

    make bench (alone: ONLY=postgres,mariadb PYTHONPATH=tests/services .venv/bin/python tests/benchmarks/history.py)
"""

import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing
from functools import partial
from pathlib import Path

import warm
from aetherflow.core.base import durable
from aetherflow.core.records.migration import prepare_schema
from aetherflow.core.runtime.adopting import adopt
from core_project import Project
from db_places import new_database
from long_history import fill
from server_project import keep_states_in
from server_stores import place_of
from services import MortalServer, mortal_mariadb, mortal_postgres

START = warm.true_start("what a command costs is measured")
ROUNDS = 11
RUNS, STEPS = 1_000, 1_000
PRUNED, PRUNE_LIMIT_MS, PRUNE_LIMIT_MB = 7_000, 2000.0, 4.0
"""What SQLite keeps of a file in memory grows to 2 MB."""
PRUNE_LIMIT_OF_RM = 1.5
"""On a disk that takes long to delete files: so many times what `rm` takes for the same files."""
FLOWS = 1_000
OF_SERVERS, STEPS_OF_SERVERS = 100_000, 10
MEMORY = """import resource, subprocess, sys
subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, check=True)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"""
"""The program that prints the largest memory of a command; a child of this one would count what this one takes."""
FAILED = 50_000
"""One of so many runs has failed: what it costs to show one is no matter of how long the history is."""
LOOKS = ("status", "runs list")
FILE_LIMIT_MS, LIMIT_MS, STATUS_LIMIT_MS = 50.0, 100.0, 1000.0
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
    done = START.run(command, env=env, cwd=folder, capture_output=True, text=True)
    taken = (time.perf_counter() - started) * 1000
    if done.returncode not in (0, 1):
        raise SystemExit(f"{' '.join(command)} failed: {done.stderr}")
    return taken


Commands = dict[str, tuple[list[str], dict[str, str], Path]]
"""Each with its arguments, environment and working directory."""


def measured(commands: Commands) -> dict[str, float]:
    """The shortest time of each."""
    aetherflow = str(Path(sys.executable).with_name("aetherflow"))
    times: dict[str, list[float]] = {name: [] for name in commands}
    for round_number in range(ROUNDS + 1):
        for name, (arguments, env, folder) in commands.items():
            taken = elapsed_ms([aetherflow, *arguments], {**env, "PYTHONDONTWRITEBYTECODE": ""}, folder)
            if round_number:  # the first round warms caches and bytecode
                times[name].append(taken)
    return {name: min(found) for name, found in times.items()}


def over(name: str, shortest: float, what: str, counted: float, limit: float) -> bool:
    """Print a line; whether it is over its limit."""
    mark = "  OVER" if counted > limit else ""
    print(f"{name:<40}{shortest:>8.1f} ms   {what} {counted:>6.1f} ms, limit {limit:.0f}{mark}")
    return counted > limit


def files(root: Path) -> bool:
    """Measure what stands in files."""
    make_state(root / "one/f.sqlite", "f", 1, 1)
    make_state(root / "million/f.sqlite", "f", RUNS, STEPS)
    for number in range(FLOWS):
        name = f"flow{number:04}"
        make_state(root / f"many/{name}.sqlite", name, 3, 2)
        make_state(root / f"bad/{name}.sqlite", name, 3, 2, "SUCCESS" if number % 10 else "FAILED")
    roots = ("one", "million", "many", "bad")
    for name in roots:
        for state in sorted((root / name).glob("f*.sqlite")):
            adopt(root / name, state)
    plain = {key: value for key, value in os.environ.items() if not key.startswith("AETHERFLOW_")}
    of = {name: {**plain, "AETHERFLOW_STATE_ROOT": str(root / name)} for name in roots}
    times = measured(
        {
            **{f"{words}, {name}": (words.split(), of[name], root) for words in LOOKS for name in ("one", "million")},
            f"status, {FLOWS:,} flows": (["status"], of["many"], root),
            f"status, {FLOWS // 10} of them bad": (["status"], of["bad"], root),
        }
    )
    found = False
    for words in LOOKS:
        one, million = times.pop(f"{words}, one"), times.pop(f"{words}, million")
        found |= over(f"{words}, {RUNS * STEPS:,} steps", million, "over one", million - one, FILE_LIMIT_MS)
    for name, taken in times.items():
        found |= over(name, taken, "in all", taken, STATUS_LIMIT_MS)
    return found


def pruning(root: Path) -> bool:
    """Measure `runs prune` of a history with logs and locks, and how much more memory ten times the runs take."""
    (_, before), (taken, most) = (_pruned(root / f"prune{runs}", runs) for runs in (PRUNED // 10, PRUNED))
    name = f"runs prune, {PRUNED - 1:,} runs"
    grown = most - before
    mark = "  OVER" if grown > PRUNE_LIMIT_MB else ""
    print(f"{name:<40}{most:>8.1f} MB   over {PRUNED // 10:,} runs {grown:>6.1f} MB, limit {PRUNE_LIMIT_MB:.0f}{mark}")
    bare = _removed(root / "peer", PRUNED)
    print(f"{f'rm -rf of the files of {PRUNED:,} runs':<40}{bare:>8.1f} ms")
    return over(name, taken, "in all", taken, max(PRUNE_LIMIT_MS, PRUNE_LIMIT_OF_RM * bare)) or bool(mark)


def _pruned(states: Path, runs: int) -> tuple[float, float]:
    """The milliseconds and the megabytes that it takes to prune all runs but one."""
    make_state(states / "f.sqlite", "f", runs, 5)
    adopt(states, states / "f.sqlite")
    _write_files(states / "f.sqlite.d", runs)
    env = {**os.environ, "AETHERFLOW_STATE_ROOT": str(states), "PYTHONDONTWRITEBYTECODE": ""}
    aetherflow = str(Path(sys.executable).with_name("aetherflow"))
    measured_by = [sys.executable, "-c", MEMORY, aetherflow, *["runs", "prune", "--keep-last", "1", "--yes"]]
    started = time.perf_counter()
    done = START.run(measured_by, env=env, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"runs prune failed: {done.stderr}")
    return (time.perf_counter() - started) * 1000, int(done.stdout) / 1024


def _write_files(side: Path, runs: int) -> None:
    """Write the logs and the locks of runs."""
    for number in range(runs):
        logs, locks = side / f"logs/f/run{number}/main", side / "runs/f"
        logs.mkdir(parents=True)
        locks.mkdir(parents=True, exist_ok=True)
        for path in (logs / "step0.1.log", side / f"logs/f/run{number}.jsonl", locks / f"run{number}.lock"):
            path.write_text("a line\n" * 20)
    os.sync()  # files that are deleted have been there for days


def _removed(side: Path, runs: int) -> float:
    """The milliseconds that `rm` takes to delete as many files."""
    _write_files(side, runs)
    return elapsed_ms(["rm", "-rf", str(side)], dict(os.environ), side.parent)


def on(mortal: Callable[[], AbstractContextManager[MortalServer]], root: Path) -> bool:
    """Measure what stands in a server: the same commands over states without a row are the floor."""
    commands: Commands = {}
    with mortal() as server:
        driver = server.database.driver
        for name in ("empty", "million"):
            place = place_of(new_database(server.database, name))
            project = Project(root / f"{driver}-{name}")
            project.folder.mkdir()
            keep_states_in(project, place.server)
            runs = OF_SERVERS if name == "million" else 0
            fill(place, place.use(project.folder), runs=runs, steps=STEPS_OF_SERVERS, every=FAILED)
            for words in LOOKS:
                commands[f"{words}, {driver}, {name}"] = (words.split(), project.env, project.folder)
        times = measured(commands)
        found = pruning_in(server, root)
    for words in LOOKS:
        empty, million = (times[f"{words}, {driver}, {name}"] for name in ("empty", "million"))
        found |= over(
            f"{words}, {OF_SERVERS * STEPS_OF_SERVERS:,} steps, {driver}",
            million,
            "over none",
            million - empty,
            LIMIT_MS,
        )
    return found


def pruning_in(server: MortalServer, root: Path) -> bool:
    """Measure `runs prune` of as many runs in a server, a hundredth of them in each flow."""
    driver = server.database.driver
    place = place_of(new_database(server.database, "prune"))
    project = Project(root / f"{driver}-prune")
    project.folder.mkdir()
    keep_states_in(project, place.server)
    fill(place, place.use(project.folder), runs=PRUNED, steps=5, every=FAILED)
    aetherflow = str(Path(sys.executable).with_name("aetherflow"))
    command = [aetherflow, *["runs", "prune", "--keep-last", "0", "--yes"]]
    taken = elapsed_ms(command, {**project.env, "PYTHONDONTWRITEBYTECODE": ""}, project.folder)
    return over(f"runs prune, {PRUNED:,} runs, {driver}", taken, "in all", taken, PRUNE_LIMIT_MS)


def main() -> int:
    """Measure, print a table, return 1 if a command is over its limit."""
    only = os.environ.get("ONLY", "files,prune,postgres,mariadb").split(",")
    parts: dict[str, Callable[[Path], bool]] = {
        "files": files,
        "prune": pruning,
        "postgres": partial(on, mortal_postgres),
        "mariadb": partial(on, mortal_mariadb),
    }
    with tempfile.TemporaryDirectory() as folder:
        found = [part(Path(folder)) for name, part in parts.items() if name in only]
    return int(any(found))


if __name__ == "__main__":
    sys.exit(main())
