"""The same run id again: what is done is not repeated, also after kill -9; one process per run; stops by signal."""

import signal
import threading
import time
from typing import TYPE_CHECKING, Any

from aetherflow.core.api import Step, register_step

if TYPE_CHECKING:
    from core_project import Project


@register_step("test_signal_elsewhere")
class SignalElsewhere(Step[Any]):
    """The kernel may hand a signal to any thread; here it comes to the step's own."""

    def run(self) -> None:
        """Signal this thread, wait for the stop."""
        signal.pthread_kill(threading.get_ident(), signal.SIGTERM)
        for _ in range(500):
            self.ctx.check_cancelled()
            time.sleep(0.01)
        raise AssertionError("the stop request was not seen")


def test_a_signal_that_does_not_wake_the_main_thread_is_seen(project: "Project") -> None:
    project.flow("jobs: [{id: a, steps: [{id: s, type: test_signal_elsewhere}]}]\n")
    assert project.cli("run", "flow.yaml").code == 143


def test_the_handlers_of_the_embedding_program_come_back(project: "Project") -> None:
    from aetherflow.core.runner import run_flow

    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
    run_flow(project.flow("jobs: [{id: a, steps: [{id: s, type: check_items, inputs: {items: [1]}}]}]\n"))
    assert {number: signal.getsignal(number) for number in before} == before
