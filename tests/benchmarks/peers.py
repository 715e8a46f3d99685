"""1,000 steps that do next to nothing, in AetherFlow and in its peers, one table.

Every program of peer_programs/ runs in a process of its own and times the run alone: no imports, no start of a server.
Each peer has a virtual environment in .bench with the version that peers.txt pins, made on first use. All take turns;
medians. A peer that cannot be installed or that fails is a row with the reason, and the exit code is 1.

    make bench-peers
"""

import os
import statistics
import sys
from pathlib import Path

import peer_tools
from bench_tools import disk_folder
from peer_tools import PeerError, python_of, run_peer

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
    # its server starts before the clock does; on a busy machine the default of 20 s does not suffice
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "600",
}


def seconds_of(name: str, python: str, folder: Path) -> float:
    """Wall time of STEPS steps of one peer, as its program prints it."""
    folder.mkdir()
    environment = {**os.environ, **SETTINGS, "PREFECT_HOME": str(folder), "DAGSTER_HOME": str(folder)}
    steps = FEWER.get(name, STEPS)
    program = peer_tools.HERE / "peer_programs" / f"steps_{name}.py"
    printed = run_peer([python, program, folder, str(steps)], env=environment, cwd=folder)
    return float(printed.split()[-1]) * STEPS / steps


def measured(root: Path) -> tuple[dict[str, float], dict[str, str]]:
    """The median of each peer in seconds, and the reason of each that failed."""
    pythons: dict[str, str] = {}
    times: dict[str, list[float]] = {name: [] for name in PROGRAMS}
    failed: dict[str, str] = {}
    for number in range(-1, ROUNDS):  # installations come first, so that they disturb no measurement
        for name in PROGRAMS:
            if name in failed:
                continue
            try:
                if number < 0:
                    pythons[name] = python_of(name)
                else:
                    times[name].append(seconds_of(name, pythons[name], root / f"{name}{number}"))
            except PeerError as error:
                failed[name] = str(error)
    return {name: statistics.median(found) for name, found in times.items() if name not in failed}, failed


def main() -> int:
    """Measure, print a table, return 1 if a peer is faster or failed."""
    with disk_folder() as root:
        medians, failed = measured(root)
    own = medians.get(OWN)
    print(f"{'':<12}{f'seconds for {STEPS:,} steps':>26}{'ratio':>8}  what is on disk")
    for name, median in sorted(medians.items(), key=lambda item: item[1]):
        scaled = f" (scaled from {FEWER[name]} steps)" if name in FEWER else ""
        ratio = f"{median / own:.2f}" if own else "-"
        print(f"{name:<12}{median:>26.2f}{ratio:>8}  {PROGRAMS[name]}{scaled}")
    for name, reason in failed.items():
        print(f"{name:<12}{'failed':>26}{'-':>8}  {reason}")
    faster = [name for name, median in medians.items() if own and name != "commits" and median < own]
    if faster:
        print(f"faster than AetherFlow here: {', '.join(faster)}")
    return int(bool(faster or failed))


if __name__ == "__main__":
    sys.exit(main())
