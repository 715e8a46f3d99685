"""No process of a run is left behind; an attempt ends by a signal, by its time limit, or alone."""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from aetherflow.core.api import ConnectorError, Step, StepCancelledError, StepTimeoutError, register_step
from aetherflow.core.host import catalog
from aetherflow.core.kernel.sequencing import worker
from aetherflow.core.kernel.sequencing.stopping import Control, Stop
from aetherflow.core.kernel.sequencing.worker import AttemptOutcome, Worker, run_turn
from aetherflow.core.runtime.context.context import StepContext
from aetherflow.core.runtime.processes import guard_program, processes

if TYPE_CHECKING:
    from core_project import Project

HEAD = "jobs:\n  - id: a\n    steps:\n"
SEEN: dict[str, Any] = {}


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalog, "_registered", {group: dict(known) for group, known in catalog._registered.items()})
    SEEN.clear()


@pytest.mark.parametrize(
    ("environment", "found"),
    [
        (b"AETHERFLOW_GUARD=mark\0", True), (b"A=b\0AETHERFLOW_GUARD=mark.3\0C=d\0", True),
        (b"AETHERFLOW_GUARD=outer.1:mark.2\0", True), (b"AETHERFLOW_GUARD=mark.2:inner.1", True),
        (b"AETHERFLOW_GUARD=marked\0", False), (b"AETHERFLOW_GUARD=other\0X=mark\0", False), (b"", False),
        (b"X=AETHERFLOW_GUARD=mark\0", False), (b"MY_AETHERFLOW_GUARD=mark\0", False), (b"X=mark\0", False),
    ],
)  # fmt: skip
def test_who_carries_a_mark(environment: bytes, found: bool) -> None:
    assert guard_program.carries(environment, b"mark") is found


# Ends of an attempt


class OneAttempt(NamedTuple):
    """A turn of one attempt, whose result counts unless it was cancelled."""

    work: Callable[[Control], Any]
    control: Control

    def run(self) -> Any:
        result = self.work(self.control)
        return result if self.control.error is None else None


class Wires:
    """What an attempt needs, without a run."""

    def __init__(self) -> None:
        self.stop = Stop()
        self.processes = processes.Processes(Path("state.sqlite"))
        self.worker = Worker()
        self.interrupts = 0

    def interrupt(self) -> None:
        self.interrupts += 1

    def run(self, work: Callable[[Control], Any], limit: float | None = None, grace: float = 0.3) -> Any:
        connectors: Any = self
        return run_turn(OneAttempt(work, Control(self.stop)), self.worker, self.processes, connectors, grace, limit)


@pytest.fixture
def wires() -> Iterator[Wires]:
    found = Wires()
    yield found
    found.worker.close()
    found.processes.close()


def until_cancelled(control: Control) -> None:
    while True:
        control.check()
        time.sleep(0.01)


def test_an_attempt_ends_by_itself(wires: Wires) -> None:
    result: Any = object()
    assert wires.run(lambda control: result) == AttemptOutcome(result=result)
    error = ValueError("x")

    def fail(control: Control) -> None:
        raise error

    assert wires.run(fail) == AttemptOutcome(error=error)
    assert wires.interrupts == 0


def test_one_thread_runs_all_attempts(wires: Wires) -> None:
    idents = {wires.run(lambda control: threading.get_ident()).result for _ in range(20)}
    assert len(idents) == 1
    assert threading.get_ident() not in idents


def test_the_time_limit_ends_one_attempt(wires: Wires) -> None:
    started = time.monotonic()
    outcome = wires.run(until_cancelled, 0.1)
    assert time.monotonic() - started >= 0.1
    assert isinstance(outcome.error, StepTimeoutError)
    assert isinstance(outcome.error, TimeoutError)
    assert str(outcome.error) == "still running after 0.1 s, the step's time limit"
    assert outcome.error.fix == "raise timeout_seconds, or look at the log for what it waits for"
    assert (outcome.stopped, outcome.result, wires.interrupts) == ("timeout", None, 1)
    assert wires.run(lambda control: 5, 0.1).result == 5, "the next attempt is not concerned"


def test_a_result_after_the_time_limit_does_not_count(wires: Wires) -> None:
    outcome = wires.run(lambda control: time.sleep(0.2), 0.1)
    assert (outcome.stopped, outcome.result) == ("timeout", None)


def test_an_attempt_that_lost_what_it_needs(wires: Wires) -> None:
    lost = ConnectorError("the lock was lost")

    def work(control: Control) -> None:
        threading.Timer(0.1, lambda: control.cancel(lost)).start()
        until_cancelled(control)

    outcome = wires.run(work)
    assert (outcome.error, outcome.stopped, wires.stop.requested) == (lost, "lost", False)
    assert wires.run(lambda control: 5).result == 5


def test_a_signal_and_a_result_that_came_all_the_same(wires: Wires) -> None:
    def work(control: Control) -> int:
        wires.stop.request(signal.SIGTERM)
        with pytest.raises(StepCancelledError):
            until_cancelled(control)
        return 5

    outcome = wires.run(work)
    assert (outcome.result, outcome.error, outcome.stopped) == (5, None, "signal")


def test_a_step_that_does_not_end_is_left_behind(wires: Wires, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "KILL_WAIT_SECONDS", 0.1)
    release, ended = threading.Event(), threading.Event()
    late: list[Any] = []

    def stuck(control: Control) -> None:
        release.wait(20)
        late.append(control.closed)
        with pytest.raises(StepCancelledError, match="is over"):
            control.check_open()
        ended.set()

    outcome = wires.run(stuck, 0.1, grace=0.1)
    assert isinstance(outcome.error, StepTimeoutError)
    assert wires.run(lambda control: 5).result == 5, "in another thread"
    release.set()
    assert wires.run(lambda control: ended.wait(20)).result is True, "the late end of the other one is dropped"
    assert late == [True]


def test_a_file_that_is_finished_too_late_is_not_published(project: "Project", steps: None) -> None:
    class TooLate(Step[Any]):
        """Its attempt ends while it writes."""

        def run(self) -> None:
            assert isinstance(self.ctx, StepContext)
            with self.ctx.write_file("x") as file:
                file.write(b"half")
                self.ctx._attempt.control.closed = True

    register_step("too_late")(TooLate)
    project.flow(HEAD + "      - {id: s, type: too_late}\n")
    assert project.cli("run", "flow.yaml", "--run-id", "r").code == 1
    assert list((project.artifacts("a", "r")).iterdir()) == []


def test_graces_stay_below_what_containers_allow() -> None:
    # 8 s of a stop, then the wait after SIGKILL and the end of what is left: within Docker's 10 s
    assert 8 + worker.KILL_WAIT_SECONDS + processes.LEFTOVER_GRACE_SECONDS < 10
