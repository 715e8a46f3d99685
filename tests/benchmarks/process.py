"""The cost of one `external.process` step over a bare `subprocess.run` of the same program, in CPU time.

The time is that of this process and of all its children, the guard of the run included, so it does not matter who does
the work. State files stand on a real disk: in $BENCH_ROOT, else in .bench of the repository. Both run in turn; medians.

    make bench
"""

import resource
import statistics
import subprocess
import sys
from pathlib import Path

from aetherflow.core.runner import run_flow
from bench_tools import disk_folder

ROUNDS = 5
STEPS = 200
LIMIT_MS = 4.0
"""CPU time of a step beyond that of the bare call."""
PROGRAM = ["true"]
MODES = ("inherit", "capture", "file")


def cpu_seconds() -> float:
    """User and system time of this process and of the children that it waited for."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


def bare() -> float:
    """Seconds per call."""
    before = cpu_seconds()
    for _ in range(STEPS):
        subprocess.run(PROGRAM, stdin=subprocess.DEVNULL, capture_output=True, check=True)
    return (cpu_seconds() - before) / STEPS


def flow(root: Path, mode: str) -> Path:
    """A flow of equal steps."""
    inputs = f"command: {PROGRAM}, log: {{stdout: {mode}, stderr: {mode}, file_path: out.log}}"
    lines = [
        f'flow: {{id: {mode}, workspace: {{root: "{root}/work"}}, state: {{path: "{root}/{mode}.sqlite"}}}}',
        "jobs:",
    ]
    lines += ["  - id: main", "    steps:"]
    lines += [f"      - {{id: s{n}, type: external.process, inputs: {{{inputs}}}}}" for n in range(STEPS)]
    path = root / f"{mode}.yaml"
    path.write_text("\n".join(lines) + "\n")
    return path


def steps(path: Path, number: int) -> float:
    """Seconds per step."""
    before = cpu_seconds()
    run_flow(path, run_id=f"r{number}")
    return (cpu_seconds() - before) / STEPS


def main() -> int:
    """Measure, print a table, return 1 if the limit is broken."""
    broken = False
    with disk_folder() as root:
        for mode in MODES:
            path = flow(root, mode)
            rounds = [(steps(path, number), bare()) for number in range(ROUNDS + 1)][1:]  # the first warms up
            over = statistics.median(step - call for step, call in rounds) * 1000
            ratio = statistics.median(step / call for step, call in rounds)
            broken |= over > LIMIT_MS
            mark = "  OVER" if over > LIMIT_MS else ""
            print(
                f"external.process, output {mode}: {over:.2f} ms CPU over subprocess.run (limit {LIMIT_MS:g}){mark}; "
                f"{ratio:.1f} times that"
            )
    return int(broken)


if __name__ == "__main__":
    sys.exit(main())
