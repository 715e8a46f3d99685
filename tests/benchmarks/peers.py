"""1,000 steps that do next to nothing, in AetherFlow and in its peers, one table.

Every program of peer_programs/ runs in a process of its own and times the run alone: no imports, no start of a server.
Each peer has a virtual environment in .bench with the version that peers.txt pins, made on first use. All take turns;
medians.

    make bench-peers
"""

import os
import shutil
import statistics
import subprocess
import sys
from pathlib import Path

from bench_tools import disk_folder

HERE = Path(__file__).parent
ENVIRONMENTS = HERE.parents[1] / ".bench"
STEPS, ROUNDS = 1_000, 3
FEWER = {"dagster": 100}
"""Peers for which 1,000 steps take minutes: they do fewer, and their time is scaled."""
OWN = "aetherflow"
PROGRAMS = {
    "commits": "the floor: each transaction synced",
    OWN: "each step before it starts and after it ends, synced",
    "luigi": "a file per task, not synced; no history",
    "prefect": "states of tasks in SQLite, synced now and then; results in files, not synced",
    "dagster": "events in SQLite, each synced; results in files",
    "dbos": "result of each step in SQLite, synced",
}
"""What is compared, and what each has on disk for a step that has ended."""
SETTINGS = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_LOGGING_LEVEL": "WARNING",
}


def python_of(name: str) -> str:
    """The interpreter of a peer, after its environment was made or brought to the pinned version."""
    pins = dict(line.split("==") for line in (HERE / "peers.txt").read_text().split())
    if name not in pins:
        return sys.executable
    folder, wanted = ENVIRONMENTS / name, f"{name}=={pins[name]}"
    stamp, python = folder / ".installed", str(folder / "bin" / "python")
    if not stamp.exists() or stamp.read_text() != wanted:
        print(f"installing {wanted} ...", file=sys.stderr)
        uv = shutil.which("uv", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
        if uv is None:
            raise SystemExit("uv is missing; `make .venv/.installed` brings it")
        subprocess.run([uv, "venv", "-q", "--clear", "--python", sys.executable, folder], check=True)
        subprocess.run([uv, "pip", "install", "-q", "--compile-bytecode", "--python", python, wanted], check=True)
        stamp.write_text(wanted)
    return python


def seconds_of(name: str, python: str, folder: Path) -> float:
    """Wall time of STEPS steps of one peer, as its program prints it."""
    folder.mkdir()
    environment = {**os.environ, **SETTINGS, "PREFECT_HOME": str(folder), "DAGSTER_HOME": str(folder)}
    steps = FEWER.get(name, STEPS)
    command = [python, str(HERE / "peer_programs" / f"steps_{name}.py"), str(folder), str(steps)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, cwd=folder)
    if done.returncode != 0:
        raise SystemExit(f"{name} failed: {done.stderr[-3000:]}")
    return float(done.stdout.split()[-1]) * STEPS / steps


def main() -> int:
    """Measure, print a table, return 1 if a peer is faster."""
    pythons = {name: python_of(name) for name in PROGRAMS}
    times: dict[str, list[float]] = {name: [] for name in PROGRAMS}
    with disk_folder() as root:
        for number in range(ROUNDS):
            for name, python in pythons.items():
                times[name].append(seconds_of(name, python, root / f"{name}{number}"))
    medians = {name: statistics.median(found) for name, found in times.items()}
    own = medians[OWN]
    print(f"{'':<12}{f'seconds for {STEPS:,} steps':>26}{'ratio':>8}  what is on disk")
    for name, median in sorted(medians.items(), key=lambda item: item[1]):
        scaled = f" (scaled from {FEWER[name]} steps)" if name in FEWER else ""
        print(f"{name:<12}{median:>26.2f}{median / own:>8.2f}  {PROGRAMS[name]}{scaled}")
    faster = [name for name, median in medians.items() if name != "commits" and median < own]
    if faster:
        print(f"faster than AetherFlow here: {', '.join(faster)}")
    return int(bool(faster))


if __name__ == "__main__":
    sys.exit(main())
