"""Every lasting effect of a run is interrupted: by kill -9, by a full disk, by an I/O error; then it is resumed."""

import contextlib
import json
import signal
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from core_killed import attempt

from aetherflow.core.api import Step, StepResult, register_step
from aetherflow.core.base import durable
from torture_tier import sized

if TYPE_CHECKING:
    from core_project import Project

STRIDE = sized(5, 1)
"""At T0 full disks and I/O errors are tried at every fifth point, each kind at its own."""


@register_step("test_effect")
class Effect(Step[Any]):
    """Writes one line per execution, an artifact, and returns typed values."""

    def run(self) -> StepResult:
        with Path(self.ctx.env["EFFECTS"]).open("a") as file:
            file.write(f"{self.id} {json.dumps(self.inputs, sort_keys=True)}\n")
        with self.ctx.write_file(f"{self.id}.txt") as artifact:
            artifact.write(b"content of ")
            artifact.write(self.id.encode())
        self.ctx.ledger("seen").put(self.id, self.inputs)
        return StepResult(output={"n": 5, "list": [1, None, "x"], "big": "ä" * self.inputs.get("size", 1)})


FLOW = """\
version: 1
flow: {id: f, workspace: {cleanup_policy: never}}
jobs:
  - id: a
    steps:
      - {id: one, type: test_effect, inputs: {size: 140000}, outputs: {n: "{{result.n}}"}}
      - id: two
        type: test_effect
        inputs: {n: "{{job.outputs.n}}", list: "{{steps.one.list}}"}
        outputs: {m: "{{result.list}}"}
  - id: b
    depends_on: [a]
    when: jobs.a.outputs.n == 5
    steps:
      - {id: three, type: test_effect, inputs: {m: "{{jobs.a.outputs.m}}"}}
      - {id: none, type: check_items, inputs: {items: []}, on_no_data: skip_job}
      - {id: never, type: test_effect}
  - {id: c, when: jobs.b.status == "SUCCESS", steps: [{id: never, type: test_effect}]}
"""
LINES = ['one {"size": 140000}', 'two {"list": [1, null, "x"], "n": 5}', 'three {"m": [1, null, "x"]}']


def resume(project: "Project", point: object) -> None:
    """Go on with the run in this process: what is not killed needs no process of its own."""
    done = project.cli("run", "flow.yaml", "--run-id", "r")
    assert done.code == 0, (point, done.err)


def points(project: "Project") -> list[str]:
    names = project.folder / "points"
    assert attempt(f"log:{names}") == 0
    return names.read_text().splitlines()


def facts(project: "Project") -> dict[str, Any]:
    """What must be equal after every interruption: all but times and attempt numbers."""
    steps = "SELECT job_id, step_id, status, outputs, blob, reason FROM step_runs s WHERE attempt = "
    steps += "(SELECT max(attempt) FROM step_runs t WHERE t.job_id = s.job_id AND t.step_id = s.step_id) ORDER BY 1, 2"
    return {
        "run": project.rows("SELECT status FROM runs"),
        "jobs": project.rows("SELECT job_id, status, when_result, outputs, skip_reason FROM job_runs ORDER BY 1"),
        "steps": project.rows(steps),
        "artifacts": project.rows("SELECT step_id, path, size, sha256 FROM artifacts ORDER BY 2"),
        "ledger": project.rows("SELECT key, value FROM ledger ORDER BY 1"),
        "schema": project.rows("PRAGMA user_version"),
    }


def check_invariants(project: "Project", expected: dict[str, Any], point: str) -> None:
    assert facts(project) == expected, point
    assert project.rows("PRAGMA integrity_check") == [("ok",)], point
    assert list(project.folder.rglob("*.part")) == [], point
    for _, path, size, sha256 in expected["artifacts"]:
        assert durable.file_facts(Path(path)) == (size, sha256), point
    rows = project.rows("SELECT event, detail FROM journal ORDER BY seq")
    done = [json.loads(detail) for event, detail in rows if event == "step_end"]
    finished = [(entry["job"], entry["step"]) for entry in done if entry["status"] in ("SUCCESS", "SKIPPED")]
    assert len(finished) == len(set(finished)) == 5, point
    lines = project.lines()
    assert sorted(set(lines)) == sorted(LINES), point
    interrupted = project.rows("SELECT count(*) FROM step_runs WHERE status IN ('INTERRUPTED', 'FAILED')")[0][0]
    assert len(lines) <= len(LINES) + interrupted, point
    assert len(lines) <= len(LINES) + 1, point


def forget(project: "Project") -> None:
    durable.remove_tree(project.states)
    durable.remove_tree(project.work)
    project.effects.unlink(missing_ok=True)


@pytest.fixture
def swept(project: "Project") -> "Project":
    project.write(FLOW)
    assert project.cli("run", "flow.yaml").code == 0  # imports everything once, so that the forks are warm
    forget(project)
    return project


def test_the_flow_passes_the_points_that_matter(swept: "Project") -> None:
    names = points(swept)
    assert swept.lines() == LINES
    kinds = {name.split()[0] for name in names}
    assert {"create", "mkdir", "write", "fsync", "rename", "begin", "commit", "committed"} <= kinds
    assert len(names) > 60
    for state in ("run SUCCESS", "job SUCCESS", "job SKIPPED", "step RUNNING", "step SUCCESS", "step SKIPPED"):
        assert f"commit {state}" in names
    assert {"rename one.txt", "fsync one.txt", "begin begin run", "commit create schema"} <= set(names)


def expected_end(project: "Project") -> tuple[int, dict[str, Any]]:
    number = len(points(project))
    expected = facts(project)
    forget(project)
    return number, expected


def test_kill_9_at_every_point(swept: "Project") -> None:
    number, expected = expected_end(swept)
    for point in range(1, number + 1):
        assert attempt(f"{point}") == -signal.SIGKILL, point
        done = set()
        if swept.state.exists():
            with contextlib.suppress(sqlite3.OperationalError):
                done = {row[0] for row in swept.rows("SELECT step_id FROM step_runs WHERE status='SUCCESS'")}
        before = swept.lines()
        resume(swept, point)
        repeated = {line.split()[0] for line in swept.lines()[len(before) :]}
        assert not done & repeated, (point, "a finished step ran again")
        check_invariants(swept, expected, f"kill at {point}")
        forget(swept)


@pytest.mark.parametrize("kind", ["torn", "enospc", "eio"])
def test_errors_at_the_points(swept: "Project", kind: str) -> None:
    number, expected = expected_end(swept)
    names = points(swept)
    forget(swept)
    ended = names.index("committed run SUCCESS") + 1  # from then on the registry only says what the state says, too
    for point in range(1, number + 1):
        wanted = names[point - 1].startswith("write ") if kind == "torn" else point % STRIDE == len(kind) % 2
        if not wanted:
            continue
        code = attempt(f"{point}:{kind}")
        # without the registry of runs, and its folder, a run goes on, and at its end without the hash of its logs
        made = names[point - 1].startswith(("mkdir state", "mkdir engine", "mkdir bundles", "mkdir work-"))
        aside = made or "regist" in names[point - 1] or (point > ended and names[point - 1].startswith("fsync"))
        ends = (0,) if aside else (1, 4)
        ends = (2,) if names[point - 1] == "mkdir work" else ends  # a work root that cannot be made
        assert code == -signal.SIGKILL if kind == "torn" else code in ends, (point, code, names[point - 1])
        if kind != "torn" and not made and not (point > ended and aside):
            words = "No space left on device" if kind == "enospc" else "Input/output error"
            stderr = Path("stderr").read_text()
            assert words in stderr, (point, stderr)
            assert "internal error" not in stderr, (point, stderr)
        resume(swept, point)
        check_invariants(swept, expected, f"{kind} at {point}")
        forget(swept)


def test_no_success_after_a_failed_fsync(swept: "Project") -> None:
    names = points(swept)
    forget(swept)
    for point, name in enumerate(names, 1):
        if name.startswith("fsync ") and name.endswith(".txt"):
            assert attempt(f"{point}:eio") == 1
            step = name.removeprefix("fsync ").removesuffix(".txt")
            assert swept.rows(f"SELECT status FROM step_runs WHERE step_id='{step}'") == [("FAILED",)]
            assert not list(swept.work.rglob(f"{step}.txt")), "neither the file nor a part of it"
            assert not list(swept.folder.rglob("*.part"))
            forget(swept)


def test_a_second_kill_during_the_resume(swept: "Project") -> None:
    number, expected = expected_end(swept)
    for point in range(5, number, max(number // 6, 1)):
        assert attempt(f"{point}") == -signal.SIGKILL
        while attempt("9") == -signal.SIGKILL:  # again and again, each time a little further
            if (swept.rows("SELECT max(generation) FROM runs")[0][0] or 0) > 3:
                break
        resume(swept, point)
        assert facts(swept) == expected
        assert {line.split()[0] for line in swept.lines()} == {"one", "two", "three"}
        forget(swept)


def test_parts_of_a_dead_process_are_removed_and_other_files_are_not(
    swept: "Project", wait_for: Callable[..., None]
) -> None:
    names = points(swept)
    forget(swept)
    assert attempt(f"{names.index('rename two.txt') + 1}") == -signal.SIGKILL
    folder = swept.artifacts("a", "r")
    (part,) = folder.glob("*.part")
    assert part.name.startswith(".aetherflow-two.txt.")
    (folder / "other.part").write_text("a user's own")
    resume(swept, "rename two.txt")
    assert [path.name for path in folder.glob("*.part")] == ["other.part"]
