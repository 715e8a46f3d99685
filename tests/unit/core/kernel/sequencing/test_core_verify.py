"""What `verify` answers of a `once` step that was cut off: done, not done, or nothing."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from core_hard_cases import RUN

from aetherflow.core.api import Step, StepResult, register_step

if TYPE_CHECKING:
    from core_project import Project

Cut = Callable[[str], None]


@register_step("verify_stops")
class Stops(Step[Any]):
    """Ends the run while it is asked, the first time."""

    def run(self) -> StepResult:
        effects = Path(self.ctx.env["EFFECTS"])
        if not effects.with_name("stopped").exists():
            effects.with_name("stopped").touch()
            os.kill(os.getpid(), signal.SIGTERM)
            deadline = time.monotonic() + 60
            while time.monotonic() < deadline:
                self.ctx.check_cancelled()
                time.sleep(0.01)
        return StepResult(output={"v": "found"})


@pytest.fixture
def cut(project: "Project") -> Cut:
    """Run job `a`, whose step `one` is cut off once it has begun; `verify` is what asks afterwards."""

    def run(verify: str) -> None:
        one = f'{{id: one, type: hard_once, inputs: {{v: 1}}, outputs: {{x: "{{{{result.v}}}}"}}, verify: {verify}}}'
        two = '{id: two, type: hard_note, inputs: {v: "{{job.outputs.x}}"}}'
        project.flow(f"jobs: [{{id: a, steps: [{one}, {two}]}}]\n")
        project.effects.with_name("lose_one").touch()
        assert project.cli(*RUN).code == 1
        assert project.lines() == ["one 1"]

    return run


def test_what_verify_finds_is_the_result_and_goes_on(project: "Project", cut: Cut) -> None:
    cut("{type: hard_note, inputs: {v: 7}}")
    done = project.cli(*RUN)
    assert done.code == 0, done.err
    assert project.lines() == ["one 1", "one.verify 7", "two 7"]
    assert project.rows("SELECT outputs FROM job_runs") == [('{"x":7}',)]


def test_skipped_means_that_it_was_not_done(project: "Project", cut: Cut) -> None:
    cut("{type: hard_note, inputs: {v: 7}}")
    project.effects.with_name("skip_one.verify").touch()
    assert project.cli(*RUN).code == 0
    assert project.lines() == ["one 1", "one.verify 7", "one 1", "two 1"]


def test_a_verify_that_fails_answers_nothing(project: "Project", cut: Cut) -> None:
    cut("{type: hard_note, inputs: {v: 7}}")
    fails = project.effects.with_name("fail_one.verify")
    fails.touch()
    asked = project.cli(*RUN)
    assert asked.code == 1
    assert "told to fail" in asked.err
    assert "--decide a.one=done" in asked.err
    assert project.rows("SELECT status FROM runs") == [("UNKNOWN",)]
    fails.unlink()
    assert project.cli(*RUN).code == 0


def test_a_stop_while_verify_asks_leaves_the_question(project: "Project", cut: Cut) -> None:
    cut("{type: verify_stops}")
    assert project.cli(*RUN).code == 143
    assert project.lines() == ["one 1"]
    done = project.cli(*RUN)
    assert done.code == 0, done.err
    assert project.lines() == ["one 1", "two found"]


def test_an_answer_of_verify_that_cannot_be_kept_is_not_asked_for_again(project: "Project") -> None:
    step = '{id: one, type: hard_once, outputs: {x: "{{result.nope}}"}, verify: {type: hard_note}}'
    project.flow(f"jobs: [{{id: a, steps: [{step}]}}]\n")
    project.effects.with_name("lose_one").touch()
    assert project.cli(*RUN).code == 1
    for _ in range(2):
        asked = project.cli(*RUN)
        assert asked.code == 1
        assert "AF1303" in asked.err
    assert project.lines() == ["one ", "one.verify "]


@pytest.mark.parametrize("verify", ["", ", verify: {type: hard_note, inputs: {v: checked}}"])
def test_each_of_a_list_is_asked_about_for_itself(project: "Project", verify: str) -> None:
    step = f'{{id: one, type: hard_once, for_each: [x, y], inputs: {{v: "{{{{item}}}}"}}{verify}}}'
    project.flow(f"jobs: [{{id: a, steps: [{step}]}}]\n")
    project.effects.with_name("lose_one").touch()
    assert project.cli(*RUN).code == 1
    again = project.cli(*RUN)
    if verify:
        assert again.code == 0, again.err
        assert project.lines() == ["one x", "one.verify checked", "one y"]
    else:
        assert again.code == 1
        assert "--decide" in again.err
        assert project.lines() == ["one x"]
