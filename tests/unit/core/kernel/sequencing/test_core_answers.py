"""Answers to the questions of `once` steps, given twice: the same one continues, another one is refused."""

from typing import TYPE_CHECKING

import pytest
from core_hard_cases import RUN

from aetherflow.core.kernel.sequencing.answers import AnswerRecordedError
from aetherflow.core.runner import run_flow

if TYPE_CHECKING:
    from core_project import Project

FLOW = """\
jobs:
  - id: a
    steps:
      - {id: one, type: hard_once}
      - {id: two, type: hard_note}
"""


@pytest.fixture
def asking(project: "Project") -> "Project":
    """A run whose first step asks, and whose second one will fail."""
    project.flow(FLOW)
    for name in ("lose_one", "fail_two"):
        project.effects.with_name(name).touch()
    assert project.cli(*RUN).code == 1
    return project


def mend(project: "Project") -> None:
    project.effects.with_name("fail_two").unlink()


@pytest.mark.parametrize(
    ("answer", "done"), [("done", ["one ", "two ", "two "]), ("again", ["one ", "one ", "two ", "two "])]
)
def test_the_same_answer_again_continues(asking: "Project", answer: str, done: list[str]) -> None:
    typed = ("resume", "r", "--decide", f"a.one={answer}")
    assert asking.cli(*typed).code == 1  # step two fails
    mend(asking)
    assert asking.cli(*typed).code == 0
    assert asking.lines() == done
    ended = asking.cli(*typed)
    assert (ended.code, "nothing to do" in ended.err) == (0, True)
    assert asking.rows("SELECT count(*) FROM journal WHERE event='decided'") == [(1,)]


def test_the_same_answer_of_another_user_continues(asking: "Project", monkeypatch: pytest.MonkeyPatch) -> None:
    asking.cli("resume", "r", "--decide", "a.one=done")
    mend(asking)
    monkeypatch.setattr("aetherflow.core.runner.actor", lambda: "another")
    assert asking.cli("resume", "r", "--decide", "a.one=done").code == 0


@pytest.mark.parametrize("ended", [False, True])
def test_another_answer_is_refused(asking: "Project", ended: bool) -> None:
    asking.cli("resume", "r", "--decide", "a.one=done")
    if ended:
        mend(asking)
        assert asking.cli("resume", "r").code == 0
    refused = asking.cli("resume", "r", "--decide", "a.one=again")
    assert (refused.code, "AF3006 --decide a.one=again: " in refused.err) == (2, True)
    assert "answered done at 20" in refused.err
    assert "aetherflow resume r; or do the step again: aetherflow resume r --from-step a.one" in refused.err
    with pytest.raises(AnswerRecordedError):
        run_flow("flow.yaml", run_id="r", decisions={"a.one": "again"})


def test_done_after_again_is_refused(asking: "Project") -> None:
    asking.cli("resume", "r", "--decide", "a.one=again")
    refused = asking.cli("resume", "r", "--decide", "a.one=done")
    assert (refused.code, "answered again at" in refused.err, "--from-step" in refused.err) == (2, True, False)


def test_an_answer_about_a_step_that_never_asked_is_refused_as_before(asking: "Project") -> None:
    asking.cli("resume", "r", "--decide", "a.one=done")
    assert "--decide a.two: this step does not ask" in asking.cli("resume", "r", "--decide", "a.two=done").err


def test_an_answer_about_an_inner_step_counts_for_that_step(project: "Project") -> None:
    step = "{id: one, type: hard_outer, inputs: {step: {type: hard_once, inputs: {}}}}"
    project.flow(f"jobs: [{{id: a, steps: [{step}, {{id: two, type: hard_note}}]}}]\n")
    for name in ("lose_inner", "fail_two"):
        project.effects.with_name(name).touch()
    assert project.cli(*RUN).code == 1
    assert project.cli("resume", "r", "--decide", "a.one.inner=again").code == 1
    mend(project)
    assert project.cli("resume", "r", "--decide", "a.one.inner=again").code == 0
    assert project.lines() == ["inner ", "inner ", "two ", "two "]
