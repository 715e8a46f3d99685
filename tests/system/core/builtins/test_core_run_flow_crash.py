"""A flow as a step, killed at its failpoints: the same command again ends like an undisturbed run."""

import contextlib
import json
import shutil
import signal
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core_killed import attempt

from aetherflow.core.api import Step, StepResult, register_step
from torture_tier import sample, sized

if TYPE_CHECKING:
    from core_project import Project

SAMPLE = sized(25, 10_000)
"""Points that are tried, of some hundred."""


@register_step("test_line")
class Line(Step[Any]):
    """Writes one line per execution, and an artifact."""

    def run(self) -> StepResult:
        with Path(self.ctx.env["EFFECTS"]).open("a") as file:
            file.write(f"{self.ctx.flow_id}.{self.id}\n")
        with self.ctx.write_file(f"{self.id}.txt") as artifact:
            artifact.write(json.dumps(self.inputs, sort_keys=True).encode())
        return StepResult(output={"n": self.inputs.get("n", 1)})


PARENT = """\
version: 1
flow: {id: f, workspace: {cleanup_policy: never}}
jobs:
  - id: a
    steps:
      - {id: before, type: test_line}
      - id: sub
        type: run_flow
        inputs: {flow: child.yaml, params: {n: 5}}
        outputs: {n: "{{result.jobs.y.outputs.n}}"}
      - {id: after, type: test_line, inputs: {n: "{{job.outputs.n}}"}}
"""
CHILD = """\
version: 1
flow: {id: c, params: {n: {type: integer}}, workspace: {cleanup_policy: never}}
jobs:
  - {id: x, steps: [{id: one, type: test_line, inputs: {n: "{{params.n}}"}, outputs: {n: "{{result.n}}"}}]}
  - id: y
    when: jobs.x.outputs.n == 5
    steps: [{id: two, type: test_line, inputs: {n: "{{jobs.x.outputs.n}}"}, outputs: {n: "{{result.n}}"}}]
  - {id: z, when: jobs.x.outputs.n == 6, steps: [{id: never, type: test_line}]}
"""


def rows(project: "Project", flow: str, sql: str) -> list[tuple[Any, ...]]:
    path = project.states / f"{flow}.sqlite"
    if not path.exists():
        return []
    try:
        with contextlib.closing(sqlite3.connect(path)) as connection:
            return connection.execute(sql).fetchall()
    except sqlite3.OperationalError:  # killed before the tables were there
        return []


LATEST = """SELECT job_id, step_id, status, outputs FROM step_runs s WHERE attempt =
    (SELECT max(attempt) FROM step_runs t WHERE t.job_id = s.job_id AND t.step_id = s.step_id) ORDER BY 1, 2"""


def facts(project: "Project") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for flow in "fc":
        found[flow] = {
            "runs": rows(project, flow, "SELECT run_id, status, parent FROM runs"),
            "jobs": rows(project, flow, "SELECT job_id, status, outputs FROM job_runs ORDER BY 1"),
            "steps": rows(project, flow, LATEST),
            "artifacts": rows(project, flow, "SELECT path, size, sha256 FROM artifacts ORDER BY 1"),
        }
    return found


def done(project: "Project") -> set[str]:
    query = "SELECT flow_id || '.' || step_id FROM step_runs WHERE status = 'SUCCESS'"
    return {name for flow in "fc" for (name,) in rows(project, flow, query)}


def forget(project: "Project") -> None:
    for folder in (project.states, project.work):
        shutil.rmtree(folder, ignore_errors=True)
    project.effects.unlink(missing_ok=True)


def test_kill_at_every_point(project: "Project") -> None:
    project.write(PARENT)
    project.write(CHILD, "child.yaml")
    assert attempt("") == 0, Path("stderr").read_text()  # and all modules are imported
    forget(project)
    log = project.folder / "points"
    assert attempt(f"log:{log}") == 0
    names = log.read_text().splitlines()
    expected = facts(project)
    undisturbed = project.lines()
    assert undisturbed == ["f.before", "c.one", "c.two", "f.after"]
    assert [row[1] for row in expected["c"]["runs"]] == ["SUCCESS"]
    forget(project)
    points = list(range(1, len(names) + 1))
    for point in sample(points, SAMPLE, "run_flow_crash"):
        where = f"killed at {point}, {names[point - 1]}"
        assert attempt(f"{point}") == -signal.SIGKILL, where
        finished, lines = done(project), project.lines()
        assert attempt("") == 0, f"{where}: {Path('stderr').read_text()}"
        assert facts(project) == expected, where
        assert not finished & set(project.lines()[len(lines) :]), f"{where}: a finished step ran again"
        cut = {name for name in lines if name not in finished}
        assert len(cut) <= 1, where
        assert sorted(project.lines()) == sorted([*undisturbed, *cut]), where
        forget(project)
