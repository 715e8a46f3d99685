"""The metrics module: callbacks with the documented arguments, never fatal."""

import json
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from core_project import Project

RECORDER = """\
import json, os

class Metrics:
    def __getattr__(self, name):
        if not name.startswith("on_"):
            raise AttributeError(name)
        def callback(**arguments):
            with open(os.environ["EFFECTS"], "a") as file:
                file.write(json.dumps([name, arguments]) + "\\n")
            %s
        return callback

METRICS = Metrics()
"""
STEP = "flow_id run_id job_id step_id step_type"


def run(project: "Project", body: str) -> tuple[int, str]:
    project.module("my_metrics", body)
    project.flow(
        """\
        jobs:
          - {id: a, steps: [{id: s, type: check_items, inputs: {items: [1]}}]}
          - {id: b, when: jobs.a.status == "FAILED", steps: []}
        """
    )
    done = project.command("run", "flow.yaml", "--run-id", "r", env={"AETHERFLOW_METRICS_MODULE": "my_metrics"})
    return done.code, done.err


def calls(project: "Project") -> list[tuple[str, dict[str, Any]]]:
    return [tuple(json.loads(line)) for line in project.lines()]


def test_every_callback_with_its_arguments(project: "Project") -> None:
    assert run(project, RECORDER % "pass")[0] == 0
    assert [(name, set(arguments)) for name, arguments in calls(project)] == [
        ("on_run_start", {"flow_id", "run_id"}),
        ("on_job_start", {"flow_id", "run_id", "job_id"}),
        ("on_step_start", set(STEP.split())),
        ("on_step_end", {*STEP.split(), "status", "duration_ms"}),
        ("on_job_end", {"flow_id", "run_id", "job_id", "status", "duration_ms"}),
        ("on_job_end", {"flow_id", "run_id", "job_id", "status", "duration_ms"}),
        ("on_run_end", {"flow_id", "run_id", "summary"}),
    ]
    last = calls(project)[-1][1]["summary"]
    assert last["status_counts"] == {"SUCCESS": 1, "SKIPPED": 1}
    assert [job["job_id"] for job in last["jobs"]] == ["a", "b"]


def test_a_callback_that_fails_decides_nothing(project: "Project") -> None:
    code, err = run(project, RECORDER % 'raise ValueError("no counter")')
    assert code == 0
    assert err.count("metrics: on_step_end failed: ValueError: no counter") == 1
    assert len(calls(project)) == 7


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("x = 1", "AF0005 my_metrics must expose METRICS"),
        ("import nowhere_to_be_found", "AF0002 the metrics module my_metrics cannot be imported"),
    ],
)
def test_a_module_that_is_none(project: "Project", body: str, words: str) -> None:
    code, err = run(project, body)
    assert code == 2
    assert words in err
    assert "Traceback" not in err
    assert project.rows("SELECT count(*) FROM runs") == [(0,)]
