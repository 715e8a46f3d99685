"""`effect: once`: an interrupted step that may have had its effect is asked about, never silently repeated."""

import json
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from aetherflow.core import durable
from aetherflow.core.api import Step, StepResult, UsageError, register_step
from aetherflow.core.cli import main
from aetherflow.core.durable import failpoint
from aetherflow.core.errors import RunUnknownError
from aetherflow.core.runner import run_flow

if TYPE_CHECKING:
    from tests.core.conftest import Project


@register_step("once_send")
class Send(Step[Any]):
    """Has its effect, then dies with its process while the file `die` stands."""

    def run(self) -> StepResult:
        """Do it."""
        effects = Path(self.ctx.env["EFFECTS"])
        with effects.open("a") as file:
            file.write(f"{self.id} {self.inputs.get('v', '')}\n")
        if effects.with_name("die").exists() and self.inputs.get("v") == self.inputs.get("die_at"):
            os.kill(os.getpid(), signal.SIGKILL)
        return StepResult(output={"sent": True})


@register_step("once_ask")
class Ask(Step[Any]):
    """Answers as the file `answer` says: done, again, or by failing."""

    def run(self) -> StepResult:
        """Do it."""
        answer = Path(self.ctx.env["EFFECTS"]).with_name("answer").read_text()
        if answer == "fail":
            raise ValueError("cannot tell")
        return StepResult("SUCCESS" if answer == "done" else "SKIPPED", {"sent": "verified"})


FLOW = """\
jobs:
  - id: a
    steps:
      - {{id: before, type: check_items, inputs: {{items: [1]}}}}
      - {{id: send, type: once_send, effect: once{more}, outputs: {{sent: "{{{{{output}}}}}"}}}}
  - {{id: b, depends_on: [a], steps: [{{id: after, type: once_send, inputs: {{v: after, die_at: never}}}}]}}
  - {{id: aside, steps: [{{id: other, type: once_send, inputs: {{v: other, die_at: never}}}}]}}
"""


def interrupted(project: "Project", more: str = "", output: str = "result.sent") -> None:
    """Leave a run whose `once` step died over its effect."""
    project.flow(FLOW.format(more=more, output=output))
    die = project.effects.with_name("die")
    die.touch()
    child = os.fork()
    if child == 0:  # pragma: no cover
        try:
            main(["run", "flow.yaml", "--run-id", "r", "-q"])
        finally:
            os._exit(99)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    die.unlink()


def jobs(project: "Project") -> dict[str, str]:
    return dict(project.rows("SELECT job_id, status FROM job_runs"))


def test_the_run_asks_and_goes_on_elsewhere(project: "Project") -> None:
    interrupted(project)
    done = project.cli("run", "flow.yaml", "--run-id", "r")
    assert done.code == 1
    assert jobs(project) == {"a": "UNKNOWN", "b": "BLOCKED", "aside": "SUCCESS"}
    assert project.rows("SELECT status FROM runs") == [("UNKNOWN",)]
    assert "UNKNOWN a.send at flow.yaml:7:9" in done.err
    assert "AF5007 a.send was interrupted in attempt 1 and must not be repeated unasked" in done.err
    assert "next, if it was done: aetherflow resume r --decide a.send=done" in done.err
    assert "next, if it was not:  aetherflow resume r --decide a.send=again" in done.err
    assert "      send    UNKNOWN" in done.out
    assert project.lines() == ["send ", "other other"]
    assert project.cli("run", "flow.yaml", "--run-id", "r").code == 1, "asked again, not repeated"
    assert project.lines() == ["send ", "other other"]


def test_decided_done(project: "Project") -> None:
    interrupted(project)
    project.cli("run", "flow.yaml", "--run-id", "r")
    summary = run_flow("flow.yaml", run_id="r", decisions={"a.send": "done"}, reason="seen in the mailbox")
    assert summary.status == "SUCCESS"
    assert project.lines() == ["send ", "other other", "after after"]
    (detail,) = project.rows("SELECT detail FROM journal WHERE event='decided'")
    found = json.loads(detail[0])
    assert (found["answer"], found["reason"], found["step"]) == ("done", "seen in the mailbox", "send")


def test_decided_again_without_a_run_in_between(project: "Project") -> None:
    interrupted(project)
    run_flow("flow.yaml", run_id="r", decisions={"a.send": "again"})
    assert project.lines() == ["send ", "send ", "after after", "other other"]
    assert project.rows("SELECT attempt, status FROM step_runs WHERE step_id='send' ORDER BY 1") == [
        (1, "DISCARDED"), (2, "SUCCESS"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("decisions", "words"),
    [({"a.before": "done"}, "does not ask"), ({"a.send": "maybe"}, "the answer is not known")],
)
def test_answers_that_do_not_fit(project: "Project", decisions: dict[str, str], words: str) -> None:
    interrupted(project)
    with pytest.raises(UsageError, match=words):
        run_flow("flow.yaml", run_id="r", decisions=decisions)


@pytest.mark.parametrize(
    ("answer", "code", "lines"),
    [
        ("done", 0, ["send ", "after after", "other other"]),
        ("again", 0, ["send ", "send ", "after after", "other other"]),
        ("fail", 1, ["send ", "other other"]),
    ],
)
def test_verify_answers(project: "Project", answer: str, code: int, lines: list[str]) -> None:
    interrupted(project, ", verify: {type: once_ask}")
    project.effects.with_name("answer").write_text(answer)
    done = project.cli("run", "flow.yaml", "--run-id", "r")
    assert (done.code, project.lines()) == (code, lines), done.err
    if answer == "fail":
        assert jobs(project)["a"] == "UNKNOWN"
        assert "cannot tell" in done.err
        project.effects.with_name("answer").write_text("done")
        assert project.cli("run", "flow.yaml", "--run-id", "r").code == 0
    if answer == "done":
        outputs = json.loads(project.rows("SELECT outputs FROM job_runs WHERE job_id='a'")[0][0])
        assert outputs == {"sent": "verified"}


def test_an_item_asks_for_itself(project: "Project") -> None:
    interrupted(project, ', for_each: [1, 2, 3], inputs: {v: "{{item}}", die_at: 2}', output="result.items")
    assert project.lines() == ["send 1", "send 2"]
    assert project.cli("run", "flow.yaml", "--run-id", "r").code == 1
    assert project.lines() == ["send 1", "send 2", "other other"]
    assert jobs(project)["a"] == "UNKNOWN"
    run_flow("flow.yaml", run_id="r", decisions={"a.send": "again"})
    assert project.lines() == ["send 1", "send 2", "other other", "send 2", "send 3", "after after"]


def test_a_failed_once_step_is_tried_again_on_resume(project: "Project") -> None:
    project.flow(
        """\
        jobs:
          - id: a
            steps:
              - id: s
                type: external.process
                effect: once
                inputs: {command: [test, -e, "{{env.EFFECTS}}"]}
        """
    )
    assert project.cli("run", "flow.yaml", "--run-id", "r").code == 1
    project.effects.touch()
    assert project.cli("run", "flow.yaml", "--run-id", "r").code == 0


def test_kill_9_at_every_point_of_a_once_step(project: "Project") -> None:
    """Wherever it is killed: the effect is there at most once, and if nobody was asked, exactly once."""
    project.flow("jobs: [{id: a, steps: [{id: send, type: once_send, effect: once}, {id: t, type: once_send}]}]")
    assert project.cli("run", "flow.yaml", "--run-id", "r").code == 0

    def attempt(setting: str) -> int:
        child = os.fork()
        if child == 0:  # pragma: no cover
            code = 99
            try:
                failpoint.setting = setting
                code = main(["run", "flow.yaml", "--run-id", "r", "-q"])
            finally:
                os._exit(code)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    asked = 0
    for point in range(1, 400):
        durable.remove_tree(project.states)
        project.effects.unlink()
        project.effects.touch()
        if attempt(str(point)) == 0:
            break
        code = attempt("")
        sent = project.lines().count("send ")
        if code == 1:
            asked += 1
            with pytest.raises(RunUnknownError):
                run_flow("flow.yaml", run_id="r")
            assert sent <= 1, point
            run_flow("flow.yaml", run_id="r", decisions={"a.send": "done" if sent else "again"})
            sent = project.lines().count("send ")
        assert sent == 1, point
        assert project.rows("SELECT status FROM runs") == [("SUCCESS",)]
    else:
        raise AssertionError("never came to the end")
    assert asked >= 2
