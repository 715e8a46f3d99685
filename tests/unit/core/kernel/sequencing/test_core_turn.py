"""Steps that one thread runs in a row: how each of them ends, and what the thread of the run decides."""

import os
import re
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from aetherflow.core.api import RunInterruptedError, Step, register_step
from aetherflow.core.kernel.sequencing import worker
from aetherflow.core.kernel.sequencing.worker import Turn, Worker
from aetherflow.core.kernel.state.step_state import StepStates
from aetherflow.core.runner import run_flow

if TYPE_CHECKING:
    from core_project import Project

RELEASE = threading.Event()
STEPS = "SELECT step_id, status, error FROM step_runs ORDER BY step_id, attempt"
EVENTS = "SELECT event || ' ' || coalesce(json_extract(detail, '$.step'), '') FROM journal WHERE event LIKE 'step%'"


@register_step("turn_does")
class Does(Step[Any]):
    """Does what its input says."""

    def run(self) -> dict[str, Any]:
        what = self.inputs["what"]
        if what == "fail":
            raise ValueError("it cannot be done")
        if what in ("stop", "stuck"):
            os.kill(os.getpid(), signal.SIGTERM)
            while not self.ctx.cancelled:
                RELEASE.wait(0.01)
        if what == "stuck":
            assert RELEASE.wait(30)
        return {"said": b"" if what == "bytes" else what, "thread": threading.get_ident()}


@pytest.fixture(autouse=True)
def released() -> Iterator[None]:
    RELEASE.clear()
    yield
    RELEASE.set()


@pytest.fixture
def turns(monkeypatch: pytest.MonkeyPatch) -> list[Turn]:
    """The turns of worker threads in the test."""
    found: list[Turn] = []
    submit = Worker.submit

    def noted(self: Worker, turn: Turn) -> None:
        found.append(turn)
        submit(self, turn)

    monkeypatch.setattr(Worker, "submit", noted)
    return found


def steps(project: "Project", *lines: str) -> Path:
    """The file of a flow of one job; each line is the map of a step without its type, `what` its input."""
    given = "\n".join(f"      - {{type: turn_does, {line}}}" for line in lines)
    return project.flow(f"jobs:\n  - id: a\n    steps:\n{given}\n")


def go(what: str) -> str:
    return f"inputs: {{what: {what}}}"


class Ours:
    """An observer that may be called in any thread."""

    any_thread = True

    def __init__(self, seen: Callable[[str, dict[str, Any]], None]) -> None:
        self.seen = seen

    def __call__(self, event: str, fields: dict[str, Any]) -> None:
        self.seen(event, fields)


def test_steps_that_need_nothing_more_take_one_turn(project: "Project", turns: list[Turn]) -> None:
    path = steps(project, *(f"id: s{number}, {go('go')}" for number in range(5)))
    seen: list[str] = []
    summary = run_flow(path, run_id="r", observers=[Ours(lambda event, fields: seen.append(event))])
    assert [(step.step_id, step.status) for step in summary.jobs[0].steps] == [
        (f"s{number}", "SUCCESS") for number in range(5)
    ]
    assert len(turns) == 1
    assert [event for event in seen if event.startswith("step")] == ["step_start", "step_end"] * 5


def test_an_observer_of_a_program_is_called_in_its_thread(project: "Project", turns: list[Turn]) -> None:
    path = steps(project, *(f"id: s{number}, {go('go')}" for number in range(3)))
    seen: list[tuple[str, int]] = []
    run_flow(path, run_id="r", observers=[lambda event, fields: seen.append((event, threading.get_ident()))])
    assert {thread for _, thread in seen} == {threading.get_ident()}
    assert [event for event, _ in seen if event.startswith("step")] == ["step_start", "step_end"] * 3
    assert len(turns) == 3


@pytest.mark.parametrize("needs", ["timeout_seconds: 20", "retry: {max_attempts: 2}", "effect: once"])
def test_a_step_that_needs_more_has_a_turn_of_its_own(project: "Project", turns: list[Turn], needs: str) -> None:
    steps(project, f"id: s1, {go('go')}", f"id: s2, {needs}, {go('go')}", f"id: s3, {go('go')}")
    assert project.cli("run", "flow.yaml", "--run-id", "r").code == 0
    assert len(turns) == (2 if needs.startswith("effect") else 3)
    assert project.rows(STEPS) == [(name, "SUCCESS", None) for name in ("s1", "s2", "s3")]


def test_a_later_step_that_fails_is_the_one_that_is_told(project: "Project", turns: list[Turn]) -> None:
    retry = "retry: {max_attempts: 3}"
    path = steps(project, f"id: s1, {retry}, {go('go')}", f"id: s2, {go('go')}", f"id: s3, {go('fail')}")
    line = next(n for n, text in enumerate(path.read_text().splitlines(), 1) if "s3" in text)
    ended = project.cli("run", "flow.yaml", "--run-id", "r")
    assert ended.code == 1
    assert f"flow.yaml:{line}:" in ended.err
    found = project.rows(STEPS)
    assert [row[:2] for row in found] == [("s1", "SUCCESS"), ("s2", "SUCCESS"), ("s3", "FAILED")]
    assert re.fullmatch(r"ValueError: it cannot be done \(.*test_core_turn\.py:\d+\)", found[2][2])
    assert len(turns) == 2
    assert project.rows(EVENTS) == [
        ("step_start s1",), ("step_end s1",), ("step_start s2",), ("step_end s2",), ("step_start s3",),
        ("step_end s3",),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("second", "words"),
    [
        (go('"{{steps.s1.nothing}}"'), "steps.s1.nothing"),
        (go("bytes"), "is of type bytes, which cannot be stored"),
        (f'outputs: {{x: "{{{{result.nothing}}}}"}}, {go("go")}', "result.nothing"),
    ],
)
def test_a_value_of_a_later_step_that_is_none_fails_that_step(project: "Project", second: str, words: str) -> None:
    steps(project, f"id: s1, {go('go')}", f"id: s2, {second}", f"id: s3, {go('go')}")
    ended = project.cli("run", "flow.yaml", "--run-id", "r")
    assert ended.code == 1
    assert words in ended.err
    found = project.rows(STEPS)
    assert [row[:2] for row in found] == [("s1", "SUCCESS"), ("s2", "FAILED")]
    assert words in found[1][2]


def test_a_stop_lets_no_other_step_begin(project: "Project") -> None:
    path = steps(project, f"id: s1, {go('go')}", f"id: s2, {go('stop')}", f"id: s3, {go('go')}")
    with pytest.raises(RunInterruptedError) as raised:
        run_flow(path, run_id="r")
    assert raised.value.exit_code == 128 + signal.SIGTERM
    assert [row[:2] for row in project.rows(STEPS)][:2] == [("s1", "SUCCESS"), ("s2", "SUCCESS")]
    assert project.rows("SELECT count(*) FROM step_runs WHERE status='RUNNING'") == [(0,)]
    assert project.cli("resume", "r").code == 0
    assert project.rows("SELECT status, count(*) FROM step_runs WHERE step_id='s2'") == [("SUCCESS", 1)]


def test_a_stop_between_two_steps_finds_the_second_not_begun(project: "Project") -> None:
    path = steps(project, f"id: s1, {go('go')}", f"id: s2, {go('go')}", f"id: s3, {go('go')}")

    def stop(event: str, fields: dict[str, Any]) -> None:
        if event == "step_start" and fields["step_id"] == "s2":
            os.kill(os.getpid(), signal.SIGTERM)
            while not signalled.is_set():
                signalled.wait(0.01)

    signalled = threading.Event()
    before = worker._Ending.step

    def step(self: Any, what: str) -> None:
        before(self, what)
        signalled.set()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(worker._Ending, "step", step)
        with pytest.raises(RunInterruptedError):
            run_flow(path, run_id="r", observers=[Ours(stop)])
    assert [row[:2] for row in project.rows(STEPS)] == [("s1", "SUCCESS"), ("s2", "SUCCESS")]
    assert project.rows("SELECT status FROM runs") == [("INTERRUPTED",)]


def test_an_end_that_is_recorded_slowly_counts(project: "Project", monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AETHERFLOW_STOP_GRACE_SECONDS", "0.1")
    monkeypatch.setattr(worker, "KILL_WAIT_SECONDS", 0.1)
    path = steps(project, f"id: s1, {go('stop')}", f"id: s2, {go('go')}")
    finish, waits, late = StepStates.finish, worker._next, threading.Event()
    seen: list[str] = []

    def slow(self: StepStates, *arguments: Any) -> int:
        assert late.wait(30)
        return finish(self, *arguments)

    def waited(turn: Turn, deadline: float | None) -> tuple[str, Any]:
        found = waits(turn, deadline)
        seen.append(found[0])
        if seen.count("due") == 4:  # an attempt that has not ended is abandoned at the second one
            late.set()
        return found

    monkeypatch.setattr(StepStates, "finish", slow)
    monkeypatch.setattr(worker, "_next", waited)
    with pytest.raises(RunInterruptedError):
        run_flow(path, run_id="r")
    assert project.rows(STEPS)[0] == ("s1", "SUCCESS", None)


def test_what_has_begun_since_the_first_interrupt_is_interrupted_after_the_grace() -> None:
    done: list[str] = []

    class Told:
        def __getattr__(self, name: str) -> Any:
            return lambda *_: done.append(name)

    told: Any = Told()
    told.control = told
    ending = worker._Ending(told, told, told, grace=0)
    for message in ("cancel", "due", "due"):
        ending.step(message)
    assert done == ["stop_flows", "signal_all", "interrupt"] * 2


def test_a_later_step_that_does_not_end_is_left_behind(project: "Project", monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AETHERFLOW_STOP_GRACE_SECONDS", "0.1")
    monkeypatch.setattr(worker, "KILL_WAIT_SECONDS", 0.1)
    path = steps(project, f"id: s1, {go('go')}", f"id: s2, {go('stuck')}", f"id: s3, {go('go')}")
    with pytest.raises(RunInterruptedError):
        run_flow(path, run_id="r")
    assert [row[:2] for row in project.rows(STEPS)] == [("s1", "SUCCESS"), ("s2", "INTERRUPTED")]
    RELEASE.set()
    assert project.cli("resume", "r").code != 0, "it stops the run again"
    rows = project.rows("SELECT status FROM step_runs WHERE step_id='s2' ORDER BY attempt")
    assert rows == [("INTERRUPTED",), ("SUCCESS",)]
