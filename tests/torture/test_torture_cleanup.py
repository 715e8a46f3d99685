"""D4: no folder is removed while a job may read it, nor after a failure unless `always`, nor without our marker."""

import contextlib
import dataclasses
import io
import json
import os
import random
import shutil
import signal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from aetherflow.core.cli import main
from aetherflow.core.runtime.workspace.workspace import MARKER
from torture_bench import RUN, Bench, warm_up
from torture_flows import F1
from torture_tier import SEED, sized, suite

pytestmark = pytest.mark.slow

POLICIES = ("always", "on_success", "never")
ENDS = ("well", "fails", "skips", "nothing", "false")
"""How a job ends: SUCCESS, FAILED, SKIPPED by no data, SUCCESS without a folder of its own, SKIPPED by `when`."""


@dataclasses.dataclass(frozen=True)
class Job:
    """A job of a random flow: which of the earlier ones it waits for and whose files it reads, and how it ends."""

    needs: tuple[int, ...]
    end: str

    def text(self, number: int) -> str:
        """Its part of the document."""
        paths = json.dumps([f"{{{{jobs.j{other}.outputs.path}}}}" for other in self.needs])
        promote = '{path: "{{result.path}}"}'
        write = f"{{id: w{number}, type: torture_effect, inputs: {{read: {paths}}}, outputs: {promote}}}"
        none = f"{{id: n{number}, type: check_items, inputs: {{items: []}}, on_no_data: skip_job}}"
        fail = f"{{id: f{number}, type: torture_effect, inputs: {{fail: as told}}}}"
        some = f"{{id: c{number}, type: check_items, inputs: {{items: [1]}}}}"
        steps = {"well": [write], "fails": [write, fail], "skips": [write, none], "nothing": [some], "false": [write]}
        when = ", when: '1 == 2'" if self.end == "false" else ""
        needs = ", ".join(f"j{other}" for other in self.needs)
        return f"  - {{id: j{number}, depends_on: [{needs}]{when}, steps: [{', '.join(steps[self.end])}]}}\n"


@st.composite
def flows(draw: st.DrawFn) -> tuple[str, list[Job]]:
    """A policy and jobs, each of which may need earlier ones that write a file."""
    jobs: list[Job] = []
    for number in range(draw(st.integers(1, 6))):
        writers = [other for other in range(number) if jobs[other].end != "nothing"]
        needs = draw(st.lists(st.sampled_from(writers), unique=True, max_size=3)) if writers else []
        jobs.append(Job(tuple(sorted(needs)), draw(st.sampled_from(ENDS))))
    return draw(st.sampled_from(POLICIES)), jobs


def document(policy: str, jobs: list[Job]) -> str:
    head = f"version: 1\nflow: {{id: f, workspace: {{cleanup_policy: {policy}}}}}\njobs:\n"
    return head + "".join(job.text(number) for number, job in enumerate(jobs))


def expected_statuses(jobs: list[Job]) -> list[str]:
    """Status of each job, by a model of its own."""
    ends = {"well": "SUCCESS", "fails": "FAILED", "skips": "SKIPPED", "nothing": "SUCCESS", "false": "SKIPPED"}
    statuses: list[str] = []
    for job in jobs:
        blocked = any(statuses[other] != "SUCCESS" for other in job.needs)
        statuses.append("BLOCKED" if blocked else ends[job.end])
    return statuses


def run_here(bench: Bench) -> int:
    """Run the flow in this process."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        return main(list(RUN))


def start_over(bench: Bench) -> None:
    """Nothing of the run is left; the others' files are."""
    shutil.rmtree(bench.states)
    shutil.rmtree(bench.work)
    bench.effects.unlink(missing_ok=True)
    bench.plant_sentinels()


def check_run(bench: Bench, policy: str, jobs: list[Job], strangers: random.Random) -> None:
    """Run one flow, with a folder in the way that is another run's, and judge every folder."""
    bench.write(document(policy, jobs))
    statuses = expected_statuses(jobs)
    silent = [
        number for number, job in enumerate(jobs) if statuses[number] == "BLOCKED" or job.end in ("nothing", "false")
    ]
    # what lies at a job's folder without our marker, or with another's, is never removed
    foreign = {number: strangers.choice(["none", "empty marker", "other run"]) for number in silent}
    for number, kind in foreign.items():
        folder = bench.work / f"f/j{number}/r"
        folder.mkdir(parents=True)
        (folder / "theirs").write_text("theirs")
        if kind != "none":
            marker = "" if kind == "empty marker" else json.dumps({"flow_id": "f", "run_id": "another"})
            (folder / MARKER).write_text(marker)
    before = bench.sentinels()
    code = run_here(bench)
    failed = "FAILED" in statuses
    assert code == (1 if failed else 0)
    recorded = dict(bench.rows("SELECT job_id, status FROM job_runs"))
    assert [recorded[f"j{number}"] for number in range(len(jobs))] == statuses
    gone = policy == "always" or (policy == "on_success" and not failed)
    for number in range(len(jobs)):
        folder = bench.work / f"f/j{number}/r"
        if number not in silent:
            assert folder.exists() != gone, f"j{number}: exists {folder.exists()}, policy {policy}, failed {failed}"
            assert gone or (folder / f"artifacts/w{number}.txt").is_file()
        else:
            assert (folder / "theirs").read_text() == "theirs", f"j{number}: a folder without our marker was removed"
    # a job that reads and finds nothing would have FAILED: the statuses above say that every file was still there
    assert bench.sentinels() == before


def test_cleanup_of_random_flows(bench: Bench) -> None:
    bench.write(F1.text)
    warm_up(bench)
    here = Path.cwd()
    os.chdir(bench.folder)
    kept = {name: os.environ.get(name) for name in bench.env}
    os.environ.update(bench.env)
    strangers = random.Random(SEED)
    try:
        with suite("D4", 10) as counted:

            @seed(SEED)
            @settings(
                max_examples=sized(100, 2000),
                deadline=None,
                database=None,
                phases=[Phase.generate, Phase.shrink],
                suppress_health_check=list(HealthCheck),
            )
            @given(flows())
            def judge(flow: tuple[str, list[Job]]) -> None:
                counted.cases += 1
                start_over(bench)
                check_run(bench, *flow, strangers)

            bench.states.mkdir(exist_ok=True)
            with counted.case("random flows"):
                judge()
            counted.cases -= 1
    finally:
        os.chdir(here)
        for name, value in kept.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def test_nothing_is_removed_from_a_run_that_was_stopped(bench: Bench) -> None:
    steps = "[{id: one, type: torture_effect}, {id: two, type: torture_effect, inputs: {stop_once: true}}]"
    bench.write(document("always", []) + f"  - {{id: a, steps: {steps}}}\n")
    folder = bench.work / "f/a/r"
    with suite("D4 stopped", 10) as counted, counted.case("SIGTERM"):
        assert bench.attempt() == 128 + signal.SIGTERM, bench.error_text()
        assert bench.rows("SELECT status FROM runs") == [("INTERRUPTED",)]
        assert (folder / "artifacts/one.txt").is_file(), "the folder of an interrupted run was removed"
        assert bench.attempt() == 0, bench.error_text()
        assert not folder.exists(), "policy always"
