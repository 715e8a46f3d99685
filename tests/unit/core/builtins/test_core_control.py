"""`assert`, `fail` and `sleep`: what they say, where they are wrong, and that they stop."""

import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from core_project import Project


def test_assert_reads_steps_jobs_params_and_run(project: "Project") -> None:
    project.write("""\
        version: 1
        flow: {id: f, params: {least: {type: integer, default: 2}}}
        jobs:
          - id: a
            steps: [{id: n, type: check_items, inputs: {items: [1, 2, 3]}, outputs: {n: "{{result.count}}"}}]
          - id: b
            steps:
              - {id: own, type: check_items, inputs: {items: [1]}}
              - id: all
                type: assert
                inputs:
                  condition: >-
                    jobs.a.outputs.n >= params.least and steps.own.count == 1 and run.id == "r"
                    and not steps.own.has_data == false
              - id: inner
                type: with_lock
                inputs: {lock_key: k, step: {type: assert, inputs: {condition: steps.own.count == 1}}}
              - {id: skip, type: assert, inputs: {condition: steps.own.count > 1, on_false: skip}, on_no_data: skip_job}
              - {id: never, type: fail, inputs: {message: reached}}
          - id: c
            steps:
              - id: no
                type: assert
                inputs: {condition: jobs.b.status == "SUCCESS", message: "b {{jobs.b.status}}"}
        """)
    found = project.cli("run", "flow.yaml", "--run-id", "r", "--json")
    assert found.code == 1
    summary = json.loads(found.out)
    assert [job["status"] for job in summary["jobs"]] == ["SUCCESS", "SKIPPED", "FAILED"]
    assert summary["jobs"][1]["skip_reason"] == "not true: steps.own.count > 1"
    assert summary["error"]["message"] == "b SKIPPED"
    assert summary["error"]["fix"] == 'the condition was: jobs.b.status == "SUCCESS"'


@pytest.mark.parametrize(
    ("condition", "told", "fix"),
    [
        ("steps.own.cont > 1", "'cont' is not among outputs of step 'own'", "count"),
        ("steps.later.count > 1", "no earlier step 'later' in this job", ""),
        ("steps.own.count >", "Syntax error: the expression ends too early", ""),
        ("'{{steps.own.count}}' > 1", "an expression holds no templates", "without braces"),
        ("env.HOME == 1", "Unsupported name: env.HOME", "a condition reads steps.<id>.<key>"),
        ("step.own.count == 1", "Unsupported name: step.own.count", "steps"),
        ("params.x == 1", "'x' is not among flow.params", ""),
    ],
)
def test_validate_finds_what_is_wrong_with_a_condition(project: "Project", condition: str, told: str, fix: str) -> None:
    steps = [
        {"id": "own", "type": "check_items", "inputs": {"items": [1]}},
        {"id": "s", "type": "assert", "inputs": {"condition": condition}},
        {"id": "later", "type": "check_items", "inputs": {"items": [1]}},
    ]
    project.write(json.dumps({"version": 1, "flow": {"id": "f"}, "jobs": [{"id": "a", "steps": steps}]}))
    found = json.loads(project.cli("validate", "flow.yaml", "--json").out)["errors"]
    assert [told in each["msg"] for each in found] == [True], found
    assert fix in found[0]["fix"]
    assert found[0]["loc"] == "jobs[0].steps[1].inputs.condition"


def test_a_condition_that_cannot_be_compared_fails_the_step(project: "Project") -> None:
    project.flow("""\
        jobs:
          - id: a
            steps:
              - {id: n, type: file_find, inputs: {on_empty: ok}}
              - {id: s, type: assert, inputs: {condition: steps.n.paths > 1}}
        """)
    found = project.cli("run", "flow.yaml")
    assert found.code == 1
    assert "cannot order a list and a number with >" in found.err


def test_a_changed_step_that_a_condition_reads_is_a_change(project: "Project") -> None:
    text = """\
        jobs:
          - id: a
            steps:
              - {id: n, type: check_items, inputs: {items: [ITEMS]}}
              - {id: s, type: assert, inputs: {condition: steps.n.count > 0}}
              - {id: end, type: fail, inputs: {message: stop}}
        """
    project.flow(text.replace("ITEMS", "1"))
    assert project.cli("run", "flow.yaml", "--run-id", "r").code == 1
    project.flow(text.replace("ITEMS", "1, 2"))
    found = project.cli("run", "flow.yaml", "--run-id", "r")
    assert found.code == 2
    assert "changed since they finished: a.n, a.s" in found.err


def test_fail_says_what_and_what_to_do(project: "Project") -> None:
    project.flow('jobs: [{id: a, steps: [{id: s, type: fail, inputs: {message: "no {{run_id}}", fix: ask}}]}]')
    found = project.cli("run", "flow.yaml", "--run-id", "r")
    assert found.code == 1
    assert "AF5001 no r\n  fix: ask" in found.err
