"""Cases that a review found: once steps ended by force, discarded outputs, odd text, literal secrets, verdicts."""

import contextlib
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from core_hard_cases import RUN, stored

from aetherflow.core.base.errors import UsageError
from aetherflow.core.runner import plan_flow, run_flow

if TYPE_CHECKING:
    from core_project import Project


def touch(project: "Project", name: str) -> Path:
    """Create a file that tells a step what to do."""
    path = project.effects.with_name(name)
    path.touch()
    return path


# Effects


def test_a_once_step_that_loses_its_lock_is_asked_about(project: "Project") -> None:
    project.flow("jobs: [{id: a, steps: [{id: one, type: hard_once, retry: {max_attempts: 2}}]}]\n")
    touch(project, "lose_one")
    ended = project.cli(*RUN)
    assert ended.code == 1
    assert "--decide a.one=done" in ended.err
    assert project.lines() == ["one "]
    assert project.rows("SELECT status FROM runs") == [("UNKNOWN",)]


def test_a_once_step_inside_another_that_is_ended_by_force_is_asked_about(project: "Project") -> None:
    step = "{id: one, type: hard_outer, inputs: {step: {type: hard_once, inputs: {}}}, retry: {max_attempts: 2}}"
    project.flow(f"jobs: [{{id: a, steps: [{step}]}}]\n")
    touch(project, "lose_inner")
    ended = project.cli(*RUN)
    assert ended.code == 1
    assert "--decide a.one.inner=done" in ended.err
    assert project.lines() == ["inner "]
    assert project.cli("resume", "r", "--decide", "a.one.inner=again").code == 0
    assert project.lines() == ["inner ", "inner "]


def test_a_once_step_whose_outputs_cannot_be_kept_is_not_repeated(project: "Project") -> None:
    project.flow("""\
        jobs:
          - id: a
            steps: [{id: one, type: hard_once, retry: {max_attempts: 3}, outputs: {x: "{{result.nope}}"}}]
        """)
    ended = project.cli(*RUN)
    assert ended.code == 1
    assert "--decide a.one=done" in ended.err
    assert project.lines() == ["one "]


def test_outputs_that_verify_does_not_give_are_a_question_still(project: "Project") -> None:
    step = '{id: one, type: hard_once, outputs: {x: "{{result.nope}}"}, verify: {type: hard_note}}'
    project.flow(f"jobs: [{{id: a, steps: [{step}]}}]\n")
    touch(project, "lose_one")
    assert project.cli(*RUN).code == 1
    ended = project.cli(*RUN)
    assert ended.code == 1
    assert "AF1303" in ended.err
    assert project.rows("SELECT status FROM runs") == [("UNKNOWN",)]
    assert project.cli("resume", "r", "--decide", "a.one=done").code == 0


def test_an_inner_step_left_behind_does_not_spoil_the_next_attempt(
    project: "Project", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AETHERFLOW_STOP_GRACE_SECONDS", "0.2")
    project.flow("""\
        jobs:
          - id: a
            steps:
              - id: one
                type: hard_outer
                timeout_seconds: 0.3
                retry: {max_attempts: 2, backoff_seconds: 0.1}
                inputs: {step: {type: hard_deaf, inputs: {}}}
              - {id: wait, type: hard_note}
        """)
    assert project.cli(*RUN).code == 0
    deadline = time.monotonic() + 5
    while project.lines() != ["woke up"] and time.monotonic() < deadline:
        time.sleep(0.05)
    assert project.rows("SELECT step_id, status FROM step_runs WHERE step_id <> 'wait' ORDER BY step_id, attempt") == [
        ("one", "FAILED"),
        ("one", "SUCCESS"),
        ("one.inner", "INTERRUPTED"),
        ("one.inner", "SUCCESS"),
    ]


# What is set aside


def test_outputs_of_a_discarded_job_do_not_come_back(project: "Project") -> None:
    project.flow("""\
        jobs:
          - id: a
            steps:
              - {id: one, type: hard_note, on_no_data: skip_job}
              - {id: two, type: hard_note, inputs: {v: 7}, outputs: {x: "{{result.v}}"}}
          - {id: b, steps: [{id: three, type: hard_note, inputs: {v: "{{jobs.a.outputs.x:none}}"}}]}
        """)
    assert project.cli(*RUN).code == 0
    touch(project, "skip_one")
    fail = touch(project, "fail_three")
    assert project.cli(*RUN, "--from-step", "a").code == 1
    fail.unlink()
    assert project.cli(*RUN).code == 0
    assert project.lines()[-2:] == ["three none", "three none"]


def test_a_finished_step_of_a_job_that_is_cut_short_is_told_as_what_it_is(project: "Project") -> None:
    rest = "{id: two, type: hard_note}, {id: three, type: hard_note}"
    project.flow(f"jobs: [{{id: a, steps: [{rest}]}}]\n")
    touch(project, "fail_three")
    assert project.cli(*RUN).code == 1
    project.flow(f"jobs: [{{id: a, steps: [{{id: one, type: hard_note, on_no_data: skip_job}}, {rest}]}}]\n")
    touch(project, "skip_one")
    (job,) = json.loads(project.cli(*RUN, "--json").out)["jobs"]
    assert (job["status"], job["skip_reason"]) == ("SKIPPED", "told to")
    told = [(step["step_id"], step["status"], step["reused"], step["reason"]) for step in job["steps"]]
    assert told == [
        ("one", "SKIPPED", False, "told to"),
        ("two", "SUCCESS", True, None),
        ("three", "SKIPPED", False, "told to"),
    ]


def test_an_output_that_a_discarded_step_replaced_is_the_earlier_one_again(project: "Project") -> None:
    project.flow("""\
        jobs:
          - id: a
            steps:
              - {id: one, type: hard_note, inputs: {v: 1}, outputs: {x: "{{result.v}}"}}
              - {id: two, type: hard_note, inputs: {v: "{{job.outputs.x}}2"}, outputs: {x: "{{result.v}}"}}
        """)
    assert project.cli(*RUN).code == 0
    assert project.cli(*RUN, "--from-step", "a.two").code == 0
    assert project.lines() == ["one 1", "two 12", "two 12"]


def test_a_file_of_an_inner_step_that_is_gone_is_made_again(project: "Project") -> None:
    project.flow("""\
        jobs:
          - id: a
            steps:
              - {id: one, type: hard_outer, inputs: {step: {type: hard_note, inputs: {file: x.txt}}}}
              - {id: two, type: hard_note, inputs: {v: "{{steps.one.file}}"}}
        """)
    fail = touch(project, "fail_two")
    assert project.cli(*RUN).code == 1
    fail.unlink()
    (project.artifacts("a", "r") / "x.txt").unlink()
    assert project.cli(*RUN).code == 0
    assert project.lines() == ["inner ", "two x.txt", "inner ", "two x.txt"]


def test_from_is_refused_together_with_another_job_or_a_decision(project: "Project") -> None:
    project.flow("jobs: [{id: a, steps: [{id: one, type: hard_once}]}, {id: b, steps: [{id: two, type: hard_note}]}]\n")
    touch(project, "lose_one")
    assert project.cli(*RUN).code == 1
    refused = project.cli(*RUN, "--from-step", "a", "--flow-job", "b")
    assert refused.code == 2
    assert "--from-step a discards results" in refused.err
    with pytest.raises(UsageError, match="does not ask"):
        run_flow("flow.yaml", run_id="r", from_step="a.one", decisions={"a.one": "again"})
    assert run_flow("flow.yaml", run_id="r", from_step="a.one", flow_job="a").status == "SUCCESS"


# Verdicts


def test_the_plan_does_not_promise_steps_of_a_job_that_has_ended(project: "Project") -> None:
    project.flow("""\
        jobs:
          - {id: a, when: "1 == 2", steps: [{id: one, type: hard_note}]}
          - {id: b, steps: [{id: two, type: hard_note}]}
        """)
    touch(project, "fail_two")
    assert project.cli(*RUN).code == 1
    (step,) = plan_flow("flow.yaml", run_id="r").jobs[0].steps
    assert (step.verdict, step.reason) == ("leave", "its job ended SKIPPED")


def test_the_date_of_the_data_may_be_given_again_as_it_was(project: "Project") -> None:
    project.flow("jobs: [{id: a, steps: [{id: two, type: hard_note}]}]\n")
    fail = touch(project, "fail_two")
    assert project.cli(*RUN, "--data-date", "20261124").code == 1
    fail.unlink()
    assert project.cli(*RUN, "--data-date", "20261125").code == 2
    assert project.cli(*RUN, "--data-date", "20261124").code == 0


def test_items_that_are_not_text_fail_their_step(project: "Project", monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ODD", "a\udcff")
    project.flow('jobs: [{id: a, steps: [{id: one, type: hard_note, for_each: ["{{env.ODD}}"]}]}]\n')
    ended = project.cli(*RUN)
    assert ended.code == 1
    assert "FAILED a.one" in ended.err
    assert project.rows("SELECT status FROM runs") == [("FAILED",)]


def test_a_flow_file_whose_name_is_not_utf8_is_refused_with_advice(project: "Project") -> None:
    path = project.flow("jobs: [{id: a, steps: [{id: one, type: hard_note}]}]\n")
    with contextlib.suppress(OSError):  # not every file system takes such a name
        path = path.rename(path.with_name("fl\udcff.yaml"))
        refused = project.cli("run", str(path))
        assert refused.code == 2
        assert "rename" in refused.err


# Secrets


def test_a_list_of_items_that_holds_a_secret_is_not_stored(project: "Project", monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_TOKEN", "s3cr3tvalue")
    project.flow("""\
        jobs: [{id: a, steps: [{id: one, type: hard_note, for_each: ["{{env.MY_TOKEN}}", b], inputs: {v: "{{item}}"}}]}]
        """)
    fail = touch(project, "fail_one")
    assert project.cli(*RUN).code == 1
    assert stored(project, "s3cr3tvalue") == []
    fail.unlink()
    assert project.cli(*RUN).code == 0
    assert project.lines() == ["one s3cr3tvalue", "one s3cr3tvalue", "one b"]


def test_thousands_of_files_neither_flood_the_failure_nor_slow_the_plan(project: "Project") -> None:
    project.flow("""\
        jobs:
          - id: a
            steps:
              - {id: many, type: hard_many}
              - {id: two, type: hard_note, inputs: {v: "{{steps.many.names}}"}}
        """)
    touch(project, "fail_two")
    failed = project.cli(*RUN)
    assert failed.err.count("kept:") == 21
    assert "kept: 2,980 more files, see aetherflow runs show r" in failed.err
    for path in project.artifacts("a", "r").iterdir():
        path.unlink()
    started = time.process_time()
    assert project.cli("plan", "flow.yaml", "--run-id", "r").code == 0
    assert time.process_time() - started < 10


def test_a_plan_that_is_refused_is_one_json_document_too(project: "Project") -> None:
    project.flow("jobs: [{id: a, steps: [{id: one, type: hard_note}]}]\n")
    refused = project.cli("plan", "flow.yaml", "--from-step", "a", "--json")
    document = json.loads(refused.out)
    assert (refused.code, document["schema"], document["exit_code"]) == (2, 1, 2)


def test_a_secret_that_comes_or_goes_is_no_change_of_the_flow(
    project: "Project", monkeypatch: pytest.MonkeyPatch
) -> None:
    flow = """\
        jobs:
          - id: a
            steps:
              - {id: one, type: hard_note, inputs: {v: production}}
              - {id: two, type: hard_note, inputs: {v: "x {{steps.one.v}}", w: PLACE}}
              - {id: three, type: hard_note}
        """
    project.flow(flow)
    fail = touch(project, "fail_three")
    assert project.cli(*RUN).code == 1
    monkeypatch.setenv("DEPLOY_TOKEN", "production")
    assert project.cli(*RUN).code == 1
    assert project.cli(*RUN, "--from-step", "a.one").code == 1
    monkeypatch.delenv("DEPLOY_TOKEN")
    assert project.cli(*RUN).code == 1
    project.flow(flow.replace("PLACE", "another"))
    assert project.cli(*RUN).code == 2
    project.flow(flow)
    fail.unlink()
    assert project.cli(*RUN).code == 0
    assert [line for line in project.lines() if line.startswith("one")] == ["one production"] * 2
