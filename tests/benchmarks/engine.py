"""The cost of the engine: a step over a bare commit, a resumed run over a fresh one, a plan over a validation.

State files stand on a real disk: in $BENCH_ROOT, else in .bench of the repository. What is compared runs in turn, so
that a drifting machine and disk hit all alike; medians.

    make bench
"""

import json
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from aetherflow.core.runner import run_flow
from bench_tools import AETHERFLOW, Commits, disk_folder, no_op_flow, wall_seconds

ROUNDS = 5
STEPS, BATCH = 1_000, 10
"""Steps of one run; after how many of them as many bare commits are made."""
FINISHED, JOBS = 10_000, 10
RESUMES = 5
STEP_LIMIT = 2.2
"""Wall time of a step, in bare durable commits."""
RESUME_LIMIT = 1.0
"""Seconds to the first live step of a resumed run over those of a fresh one."""
LIVE = "{id: live, type: external.process, inputs: {command: ['false']}}"
PATIENCE = 60.0


class Interleaved:
    """An observer of a run that makes bare commits between its steps: both see the same disk at the same time."""

    any_thread = True  # as those of the command `run`

    def __init__(self, commits: Commits) -> None:
        self._commits = commits
        self._ended = 0
        self._started = 0.0
        self.run_seconds = 0.0
        self.commit_seconds = 0.0

    def __call__(self, event: str, fields: dict[str, Any]) -> None:
        """Start the clock with the first step, stop it while commits are made."""
        if event == "step_start" and not self._started:
            self._started = time.perf_counter()
        if event == "step_end":
            self._ended += 1
            if self._ended % BATCH == 0:
                self.run_seconds += time.perf_counter() - self._started
                self.commit_seconds += self._commits.make(BATCH)
                self._started = time.perf_counter()


def step_ratios(root: Path) -> list[float]:
    """Wall time of a step over that of a bare commit, per round."""
    flow = root / "steps.yaml"
    flow.write_text(no_op_flow("steps", STEPS, 1, root))
    ratios = []
    for number in range(ROUNDS + 1):
        with Commits(root / "commits.sqlite") as commits:
            observer = Interleaved(commits)
            run_flow(flow, run_id=f"r{number}", observers=[observer])
        if number:  # the first round warms caches and bytecode
            ratios.append(observer.run_seconds / observer.commit_seconds)
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
    """Seconds to the first step, fresh; what a resumed run takes over that; `plan` in times of `validate`."""
    flow = root / "finished.yaml"
    flow.write_text(no_op_flow("finished", FINISHED, JOBS, root, last=LIVE))
    wall_seconds([AETHERFLOW, "run", "-q", "--run-id", "r", str(flow)], ends=1)
    fresh, resumed, planned = [], [], []
    for number in range(RESUMES):
        fresh.append(seconds_to_step(root, flow, f"fresh{number}"))
        resumed.append(seconds_to_step(root, flow, "r"))
        validated = wall_seconds([AETHERFLOW, "validate", str(flow)])
        planned.append(wall_seconds([AETHERFLOW, "plan", "--run-id", "r", str(flow)]) / validated)
    over = [after - before for before, after in zip(fresh, resumed, strict=True)]
    return statistics.median(fresh), statistics.median(over), statistics.median(planned)


def main() -> int:
    """Measure, print a table, return 1 if a limit is broken."""
    with disk_folder() as root:
        ratios = step_ratios(root)
        fresh, over, planned = resume_seconds(root)
    step = statistics.median(ratios)
    failed = [step > STEP_LIMIT, over > RESUME_LIMIT]
    marks = ["  OVER" if broken else "" for broken in failed]
    print(f"{STEPS:,} steps: wall time of a step over a bare durable commit: {step:.2f} (limit {STEP_LIMIT}){marks[0]}")
    print(f"  per round: {' '.join(f'{ratio:.2f}' for ratio in ratios)}")
    print(
        f"resume of {FINISHED:,} finished steps: to the first live step {over:.2f} s over a fresh start "
        f"(limit {RESUME_LIMIT}){marks[1]}; {1 + over / fresh:.2f} times that"
    )
    print(f"plan of {FINISHED:,} finished steps: {planned:.2f} times validate")
    return int(any(failed))


if __name__ == "__main__":
    sys.exit(main())
