"""The invariants I1 to I12: what must hold after every crash and resume."""

import contextlib
import dataclasses
import fcntl
import io
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from aetherflow.core.base import durable
from aetherflow.core.cli import main
from aetherflow.core.kernel.state.transitions import JOB, RUN, STEP, LegalChanges, Status
from torture_bench import Bench, below
from torture_flows import Reference

LATEST = "attempt = (SELECT max(attempt) FROM step_runs t WHERE t.job_id = s.job_id AND t.step_id = s.step_id)"
# what an attempt has warned of is its own: one that follows a kill may have nothing to warn of
REASON = "CASE WHEN reason_code='warned' THEN NULL ELSE reason END"
STEPS = f"SELECT job_id, step_id, status, outputs, blob, {REASON} FROM step_runs s WHERE {LATEST} ORDER BY 1, 2"
JOBS = "SELECT job_id, status, when_result, outputs, skip_reason, blocked_by FROM job_runs ORDER BY 1"
ARTIFACTS = "SELECT path, step_id, size, sha256 FROM artifacts ORDER BY 1"
MEASURES = ("attempts", "wall_seconds", "cpu_seconds", "peak_memory_bytes", "already_loaded", "already_done")
ATTEMPTS = "SELECT job_id, step_id, attempt, status FROM step_runs"


def facts(bench: Bench) -> dict[str, Any]:
    """What must be equal after every interruption: all but times and attempt numbers."""
    return {
        "run": bench.rows("SELECT status FROM runs"),
        "jobs": bench.rows(JOBS),
        "steps": [(*row[:3], _without_measures(row[3]), *row[4:]) for row in bench.rows(STEPS)],
        "artifacts": bench.rows(ARTIFACTS),
        "ledger": bench.rows("SELECT key, value FROM ledger ORDER BY 1"),
        "schema": bench.version(),
    }


def _without_measures(outputs: str | None) -> str | None:
    """Outputs without what differs from one execution to the next: times, sizes, how often a child was started, and
    whether the database had it already.
    """
    if outputs is None or not any(f'"{name}"' in outputs for name in MEASURES):
        return outputs
    return json.dumps({name: value for name, value in json.loads(outputs).items() if name not in MEASURES})


@dataclasses.dataclass(frozen=True)
class Oracle:
    """What an undisturbed run of a flow leaves."""

    flow: Reference
    facts: dict[str, Any]
    lines: list[str]
    files: dict[str, str]
    """Path below the disk and sha256 of every file in the work root at the end."""


def undisturbed(bench: Bench, flow: Reference) -> Oracle:
    """Run the flow to its end and keep what it left; the bench is as new afterwards, and every fork has all modules."""
    bench.forget()
    code = bench.attempt()
    assert code == flow.code, (flow.name, code, bench.error_text())
    oracle = Oracle(flow, facts(bench), bench.lines(), work_files(bench))
    assert bench.ran() == list(flow.runs), (flow.name, bench.lines())
    artifacts = len(set(flow.runs) - set(flow.failing)) if flow.artifacts is None else flow.artifacts
    assert len(oracle.facts["artifacts"]) == artifacts
    bench.forget()
    return oracle


def work_files(bench: Bench) -> dict[str, str]:
    """Every file and empty folder of the work root, with its sha256."""
    files, empty = below(bench.work)
    found = {f"{bench.work.name}/{name}": durable.file_facts(bench.work / name)[1] for name in files}
    return found | {f"{bench.work.name}/{name}": "empty folder" for name in empty}


@dataclasses.dataclass(frozen=True)
class Before:
    """What the state said between a crash and its resume."""

    steps: dict[tuple[str, str], tuple[Any, ...]]
    jobs: dict[str, tuple[Any, ...]]
    artifacts: dict[str, tuple[Any, ...]]
    attempts: dict[tuple[str, str, int], str]
    lines: int

    @property
    def done(self) -> set[tuple[str, str]]:
        """Steps that may not run again."""
        return {key for key, row in self.steps.items() if row[0] in ("SUCCESS", "SKIPPED")}


def observe(bench: Bench) -> Before:
    """Look at the state of a dead process."""
    steps, jobs, artifacts, attempts = bench.try_all(STEPS, JOBS, ARTIFACTS, ATTEMPTS)
    return Before(
        steps={(job, step): tuple(rest) for job, step, *rest in steps},
        jobs={job: tuple(rest) for job, *rest in jobs},
        artifacts={path: tuple(rest) for path, *rest in artifacts},
        attempts={(job, step, number): status for job, step, number, status in attempts},
        lines=len(bench.lines()),
    )


def finished_artifacts(bench: Bench, oracle: Oracle) -> None:
    """SUCCESS means that the artifacts are there, with their size and sha256; for a run that has not cleaned up yet."""
    jobs, artifacts = bench.try_all(JOBS, ARTIFACTS)
    if oracle.flow.policy != "never" and len(jobs) >= len(oracle.facts["jobs"]):
        return  # the cleanup may be under way
    for path, step, size, sha256 in artifacts:
        assert Path(path).is_file(), f"the artifact of {step}, recorded with its SUCCESS, is not there: {path}"
        assert durable.file_facts(Path(path)) == (size, sha256), f"the artifact of {step} is not what was recorded"


def check_invariants(
    bench: Bench, oracle: Oracle, code: int, befores: Iterable[Before], kills: int, faults: int = 0
) -> None:
    """I1 to I12 after kills and failed calls, observed after each, and a last start that ended with `code`."""
    with bench.reading():
        _check_records(bench, oracle, code, befores, kills, faults)
    check_command(bench)


def _check_records(bench: Bench, oracle: Oracle, code: int, befores: Iterable[Before], kills: int, faults: int) -> None:
    """I1 to I11: what the state, the files and the executions say, without a command being run."""
    flow, befores = oracle.flow, list(befores)
    found = facts(bench)
    assert code == flow.code, f"I1: exit {code}: {bench.error_text()}"
    for what, expected in oracle.facts.items():
        assert found[what] == expected, f"I1: {what} {_short(found[what])} instead of {_short(expected)}"
    assert work_files(bench) == oracle.files, "I1/I9: files in the work root differ"
    lines = bench.lines()
    assert set(lines) == set(oracle.lines), f"I1/I4: executions {lines}"
    now = observe(bench)
    asked_again = _asked_again(bench)
    for before in befores:
        later = {line.split()[0] for line in lines[before.lines :]}
        for job, step in before.done:
            assert step not in later, f"I2: {job}.{step} was recorded and ran again"
            assert before.steps[job, step] == now.steps[job, step], f"I3: what {job}.{step} returned has changed"
        for path, row in before.artifacts.items():
            assert now.artifacts[path] == row, f"I3: the record of artifact {path} has changed"
        for job, row in before.jobs.items():
            if row[1] is not None and job not in asked_again:
                assert now.jobs[job][1] == row[1], f"I6: `when` of {job} was decided anew"
        for key, status in before.attempts.items():
            expected_status = "INTERRUPTED" if status == "RUNNING" else status
            assert now.attempts[key] == expected_status, f"I7: attempt {key} went from {status} to {now.attempts[key]}"
    _check_executions(bench, flow, kills, faults)
    assert not set(bench.ran()) & set(flow.never), "I5: a step ran that had to be skipped"
    bench.check_store()
    _check_leftovers(bench)
    check_journal(bench)


def _asked_again(bench: Bench) -> set[str]:
    """Jobs that were SKIPPED by a `when` over a job that had FAILED; the resume says so and asks again."""
    ends = [json.loads(detail) for (detail,) in bench.rows("SELECT detail FROM journal WHERE event = 'job_end'")]
    return {end["job"] for end in ends if end["status"] == "DISCARDED"}


def _check_executions(bench: Bench, flow: Reference, kills: int, faults: int) -> None:
    ran = bench.ran()
    interrupted = 0
    starts = bench.rows("SELECT generation FROM runs")[0][0]
    for step in dict.fromkeys(flow.runs):
        tries = flow.runs.count(step)  # of one attempt
        attempts = bench.rows(f"SELECT attempt, status FROM step_runs WHERE step_id = '{step}' ORDER BY attempt")
        assert [number for number, _ in attempts] == list(range(1, len(attempts) + 1)), f"I7: attempts of {step}"
        cut = sum(status == "INTERRUPTED" for _, status in attempts)
        interrupted += cut
        failed = sum(status == "FAILED" for _, status in attempts)
        assert step in flow.failing or failed <= faults, f"I4: {step} failed {failed} times"
        again = starts if step in flow.failing else 1 + failed
        assert 1 <= ran.count(step) <= len(attempts) * tries, f"I4: {step} ran {ran.count(step)} times"
        assert len(attempts) <= again + cut, f"I4: {step} has {len(attempts)} attempts"
    assert interrupted <= kills + faults, f"I4: {interrupted} interruptions after {kills} kills"


def _check_leftovers(bench: Bench) -> None:
    files = below(bench.disk)[0]
    parts = [name for name in files if name.endswith(".part") and "other" not in name.split("/")]
    assert parts == [], f"I9: left behind: {parts}"
    locks = [name for name in files if name.startswith(f"{bench.states.name}/") and name.endswith(".lock")]
    for lock in locks:
        with (bench.disk / lock).open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def check_journal(bench: Bench) -> None:
    """I11: the journal alone tells how each row came to its status, in a legal order, one line per transition."""
    run: Status | None = None
    jobs: dict[str, Status] = {}
    steps: dict[tuple[str, str], Status] = {}
    attempts: dict[tuple[str, str, int], str] = {}
    generation = 0
    for event, text in bench.rows("SELECT event, detail FROM journal ORDER BY seq"):
        detail = json.loads(text)
        if event == "run_start":
            generation += 1
            assert detail["generation"] == generation, "I11: a start is missing"
            run = _follow(RUN, run, Status.RUNNING, "run")
        elif event == "run_end":
            run = _follow(RUN, run, Status(detail["status"]), "run")
        elif event in ("job_start", "job_end"):
            jobs[detail["job"]] = _follow(JOB, jobs.get(detail["job"]), Status(detail["status"]), detail["job"])
        elif event in ("step_start", "step_end"):
            key = (detail["job"], detail["step"])
            status = Status.RUNNING if event == "step_start" else Status(detail["status"])
            steps[key] = _follow(STEP, steps.get(key), status, ".".join(key))
            attempts[*key, detail["attempt"]] = str(status)
    assert bench.rows("SELECT status, generation FROM runs") == [(str(run), generation)], "I11: run"
    recorded = dict(bench.rows("SELECT job_id, status FROM job_runs"))
    assert {job: str(status) for job, status in jobs.items()} == recorded, "I11: jobs"
    rows = {(job, step, number): status for job, step, number, status in bench.rows(ATTEMPTS)}
    assert attempts == rows, "I11: attempts"


def _follow(table: LegalChanges, old: Status | None, new: Status, what: str) -> Status:
    assert new in table[old], f"I11: the journal takes {what} from {old} to {new}"
    return new


def check_command(bench: Bench) -> None:
    """I12: `aetherflow state check --read-data` finds nothing, where the command exists."""
    if not _has_state_check():
        return
    arguments = ("state", "check", "flow.yaml", "--read-data")
    found = bench.errors.with_name("state-check.txt")
    code = bench.run(*arguments, output=found)
    assert code == 0, f"I12: state check: exit {code}: {bench.error_text()}{found.read_text()}"


_known: list[bool] = []


def _has_state_check() -> bool:
    if not _known:
        out = io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(io.StringIO()):
            code = main(["state", "check", "--help"])
        _known.append(code == 0 and "--read-data" in out.getvalue())
    return _known[0]


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) < 1500 else text[:700] + " ... " + text[-700:]
