"""The cost of the engine: a step over a bare commit, a resumed run over a fresh one, a plan over a validation.

State files stand on a real disk: in $BENCH_ROOT, else in .bench of the repository. What is compared runs in turn, so
that a drifting machine and disk hit all alike; medians.

    make bench
"""

import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

from bench_tools import AETHERFLOW, commit_seconds, disk_folder, no_op_flow, wall_seconds

ROUNDS = 7
START, STEPS = 10, 1_000
"""Steps of the short flow, whose time is that of the start; further steps of the long one."""
COMMITS = 500
FINISHED, JOBS = 10_000, 10
RESUMES = 5
STEP_LIMIT = 3.0
"""Wall time of a step, in bare durable commits."""
RESUME_LIMIT = 1.0
"""Seconds to the first live step of a resumed run over those of a fresh one."""
LIVE = "{id: live, type: external.process, inputs: {command: ['false']}}"
PATIENCE = 60.0


def step_ratios(root: Path) -> list[float]:
    """Wall time of a step over that of a bare commit, per round."""
    (root / "short.yaml").write_text(no_op_flow("short", START, 1, root))
    (root / "long.yaml").write_text(no_op_flow("long", START + STEPS, 1, root))
    ratios = []
    for number in range(ROUNDS + 1):
        commit = commit_seconds(root, COMMITS)
        short, long = (wall_seconds([AETHERFLOW, "run", "-q", str(root / name)]) for name in ("short.yaml", "long.yaml"))
        commit = (commit + commit_seconds(root, COMMITS)) / 2
        if number:  # the first round warms caches and bytecode
            ratios.append((long - short) / STEPS / commit)
    return ratios


def seconds_to_step(root: Path, flow: Path, run_id: str) -> float:
    """Wall time from the start of a process to its first `step_start`; the process is killed then."""
    log = root / f"{flow.stem}.sqlite.d" / "logs" / flow.stem / f"{run_id}.jsonl"
    known = log.stat().st_size if log.exists() else 0
    started = time.time()
    process = subprocess.Popen(
        [AETHERFLOW, "run", "-q", "--run-id", run_id, str(flow)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        while time.time() < started + PATIENCE:
            if log.exists():
                with log.open("rb") as file:
                    file.seek(known)
                    for line in file:
                        if line.endswith(b"\n") and (event := json.loads(line))["event"] == "step_start":
                            return float(event["ts_ms"] / 1000 - started)
            if process.poll() is not None:
                break
            time.sleep(0.02)
        raise SystemExit(f"run {run_id} of {flow} has not started a step")
    finally:
        process.kill()
        process.wait()


def resume_seconds(root: Path) -> tuple[float, float, float]:
    """Seconds to the first live step, fresh and resumed behind finished steps; and those of `plan` over `validate`."""
    flow = root / "finished.yaml"
    flow.write_text(no_op_flow("finished", FINISHED, JOBS, root, last=LIVE))
    wall_seconds([AETHERFLOW, "run", "-q", "--run-id", "r", str(flow)], ends=1)
    fresh, resumed, planned = [], [], []
    for number in range(RESUMES):
        fresh.append(seconds_to_step(root, flow, f"fresh{number}"))
        resumed.append(seconds_to_step(root, flow, "r"))
        validated = wall_seconds([AETHERFLOW, "validate", str(flow)])
        planned.append(wall_seconds([AETHERFLOW, "plan", "--run-id", "r", str(flow)]) / validated)
    return statistics.median(fresh), statistics.median(resumed), statistics.median(planned)


def main() -> int:
    """Measure, print a table, return 1 if a limit is broken."""
    with disk_folder() as root:
        ratios = step_ratios(root)
        fresh, resumed, planned = resume_seconds(root)
    step, over = statistics.median(ratios), resumed - fresh
    failed = [step > STEP_LIMIT, over > RESUME_LIMIT]
    marks = ["  OVER" if broken else "" for broken in failed]
    print(f"{STEPS:,} steps: wall time of a step over a bare durable commit: {step:.2f} (limit {STEP_LIMIT}){marks[0]}")
    print(f"  per round: {' '.join(f'{ratio:.2f}' for ratio in ratios)}")
    print(
        f"resume of {FINISHED:,} finished steps: to the first live step {over:.2f} s over a fresh start "
        f"(limit {RESUME_LIMIT}){marks[1]}; {resumed / fresh:.2f} times its {fresh:.2f} s"
    )
    print(f"plan of {FINISHED:,} finished steps: {planned:.2f} times validate")
    return int(any(failed))


if __name__ == "__main__":
    os.environ.pop("AETHERFLOW_FAILPOINT", None)
    sys.exit(main())
