"""CrashSuite notices effects that are lost or doubled by a kill; a step with such a fault passes StepSuite."""

from pathlib import Path
from typing import Any, ClassVar, Literal

import pytest

from aetherflow.core.api import Step, StepInputs, StepOutputs, StepResult, register_step
from aetherflow.core.testing import CrashSuite, FlowProject, StepSuite
from aetherflow.core.testing.crash_runs import chosen
from torture_tier import full


class NoInputs(StepInputs):
    """None."""


def deliver(text: str) -> None:
    """The effect of the steps below: another line at their peer."""
    with Path("peer.txt").open("a", encoding="utf-8") as lines:
        lines.write(f"{text}\n")


def take() -> str:
    """Another effect: the message in the inbox is taken."""
    inbox = Path("inbox.txt")
    text = inbox.read_text(encoding="utf-8") if inbox.exists() else "nothing"
    inbox.unlink(missing_ok=True)
    return text


class Posting(Step[NoInputs]):
    Outputs = StepOutputs

    def run(self) -> StepResult:
        self.post()
        return StepResult()

    def post(self) -> None:
        raise NotImplementedError


@register_step("crash_asks")
class Asks(Posting):
    """Post a line unless the peer has it.

    - id: post
      type: crash_asks
    """

    def post(self) -> None:
        if not Path("peer.txt").exists():
            deliver("hello")


@register_step("crash_once")
class Once(Posting):
    """Post a line; a person decides about an interrupted attempt.

    - id: post
      type: crash_once
    """

    effect: ClassVar[Literal["repeatable", "once"]] = "once"

    def post(self) -> None:
        deliver("hello")


@register_step("crash_doubles")
class Doubles(Posting):
    """Post a line, whatever the peer has.

    - id: post
      type: crash_doubles
    """

    def post(self) -> None:
        deliver("hello")


@register_step("crash_notes")
class NotesFirst(Posting):
    """Note what is about to be posted, and believe the note.

    - id: post
      type: crash_notes
    """

    def post(self) -> None:
        note = Path("noted.txt")
        if not note.exists():
            note.touch()
            deliver("hello")


@register_step("crash_takes")
class TakesFirst(Posting):
    """Take the message before it is written.

    - id: post
      type: crash_takes
    """

    def post(self) -> None:
        text = take()
        with self.ctx.write_file("taken.txt") as file:
            file.write(text.encode())
        Path("peer.txt").write_text(text, encoding="utf-8")


class PostSuite(CrashSuite):
    """A flow of one of these steps."""

    step: ClassVar[str]
    kills = None if full() else 4

    def arrange(self, project: FlowProject) -> None:
        project.write("hello", "inbox.txt")
        project.flow({"id": "post", "type": self.step})

    def effects(self, project: FlowProject) -> Any:
        peer = project.folder / "peer.txt"
        return peer.read_text().splitlines() if peer.exists() else []


class TestAsks(PostSuite):
    step = "crash_asks"
    marks = (f"{__name__}:deliver",)


class TestOnce(PostSuite):
    step = "crash_once"
    marks = (f"{__name__}:deliver",)


class DoublesSuite(PostSuite):
    step = "crash_doubles"


class NotesSuite(PostSuite):
    step = "crash_notes"
    marks = (f"{__name__}:deliver",)


class TakesSuite(PostSuite):
    step = "crash_takes"


class BlindSuite(PostSuite):
    step = "crash_asks"

    def effects(self, project: FlowProject) -> Any:
        return "peer"


CAUGHT: list[tuple[type[PostSuite], str, str]] = [
    (DoublesSuite, "begin step SUCCESS", "effects=['hello', 'hello']) instead of Ended(status='SUCCESS', "),
    (NotesSuite, "mark before deliver", "effects=[]) instead of"),
    (TakesSuite, "begin step SUCCESS", "effects=['nothing']) instead of"),
]


@pytest.mark.parametrize(("suite", "where", "ends"), CAUGHT)
def test_a_fault_is_caught(suite: type[PostSuite], where: str, ends: str, tmp_path: Path) -> None:
    with pytest.raises(AssertionError) as caught:
        suite().test_a_killed_run_ends_as_an_undisturbed_one(tmp_path)
    told = next(text for text in str(caught.value).split("\n\n") if where in text)
    assert ends in told


@pytest.mark.parametrize(("cls", "step"), [(Doubles, "crash_doubles"), (NotesFirst, "crash_notes")])
def test_the_suite_of_steps_does_not_see_it(
    cls: type[Posting], step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    suite: Any = type("Suite", (StepSuite,), {"step": cls, "name": step})()
    for name in dir(StepSuite):
        if name.startswith(("test_the_", "test_outputs_")):
            project = [FlowProject(tmp_path)] if "project" in getattr(suite, name).__code__.co_varnames else []
            getattr(suite, name)(*project)


def test_a_flow_whose_effect_cannot_be_seen_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=r"effects\(\) does not see the run: 'peer' twice"):
        BlindSuite().test_a_killed_run_ends_as_an_undisturbed_one(tmp_path)


def test_what_cannot_be_imported_is_said(tmp_path: Path) -> None:
    class Local(PostSuite):
        step = "crash_asks"

    with pytest.raises(AssertionError, match="defined at the top of its module"):
        Local().test_a_killed_run_ends_as_an_undisturbed_one(tmp_path)


def test_the_points_next_to_an_effect_are_chosen_first() -> None:
    names = [
        "mkdir",
        "begin step RUNNING",
        "mark before x",
        "mark after x",
        "begin step SUCCESS",
        "commit step SUCCESS",
    ]
    assert chosen(names, 4) == [2, 3, 4, 5]
    assert chosen(names, 2) == [3, 5]
    assert chosen(names, 5) == [2, 3, 4, 5, 6]
    assert chosen(names, None) == chosen(names, 100) == [1, 2, 3, 4, 5, 6]
