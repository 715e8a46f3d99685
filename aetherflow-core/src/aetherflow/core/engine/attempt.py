"""One attempt of a step: a worker thread runs it, the main thread waits for its end or for a signal."""

import signal
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from queue import Empty
from typing import Any

from aetherflow.core.contracts.context import RunContext
from aetherflow.core.contracts.step import STEP_SKIPPED, STEP_SUCCESS, Step, StepResult
from aetherflow.core.engine.connections import RunConnectors
from aetherflow.core.engine.stopping import Processes, Stop
from aetherflow.core.errors import StepError

POLL_SECONDS = 0.2
"""Longest single wait of the main thread. A signal that arrives just before a wait, or in another thread, does not end
it: without a limit 4 of 80 stop requests were seen only when the step ended by itself."""
KILL_WAIT_SECONDS = 1.0
"""Time a step has after its children were killed; then the run ends without it."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an attempt ended: a result, an error, or neither when it did not end within the grace of a stop."""

    result: StepResult | None = None
    error: BaseException | None = None


def call(cls: type[Step[Any]], step_id: str, inputs: Mapping[str, Any], ctx: RunContext, job_id: str) -> StepResult:
    """Build a step, check its inputs, run it; a plain map or None means SUCCESS."""
    step = cls(step_id, inputs, ctx, job_id)
    step.validate()
    result = step.run()
    if result is None or isinstance(result, Mapping):
        return StepResult(output=result)
    if not isinstance(result, StepResult):
        raise StepError(f"the step returned {type(result).__name__}; it must return a StepResult, a map or None")
    if result.status not in (STEP_SUCCESS, STEP_SKIPPED):
        raise StepError(f"the step returned status {result.status!r}; it must be SUCCESS or SKIPPED")
    return result


def run_attempt(
    work: Callable[[], StepResult], stop: Stop, processes: Processes, connectors: RunConnectors, grace: float
) -> Outcome:
    """Run `work` in a thread of its own and wait.

    On a stop request: children get SIGTERM, open connectors are interrupted, the step has `grace` seconds; then, or
    on a second signal, children get SIGKILL.
    """
    outcome: list[Outcome] = []

    def body() -> None:
        try:
            outcome.append(Outcome(result=work()))
        except BaseException as error:  # noqa: BLE001 handed to the main thread, which decides
            outcome.append(Outcome(error=error))
        finally:
            stop.inbox.put(("done", None))

    worker = threading.Thread(target=body, name="step", daemon=True)
    worker.start()
    deadline: float | None = None
    killed = False
    while True:
        left = POLL_SECONDS if deadline is None else deadline - time.monotonic()
        try:
            what, _ = stop.inbox.get(timeout=max(0.0, min(left, POLL_SECONDS)))
        except Empty:
            if left > 0:
                continue  # the pending signal, if there is one, is handled here
            what = "late"
        if what == "done":
            worker.join()
            return outcome[0]
        if what == "signal" and deadline is None:
            deadline = time.monotonic() + grace
            processes.signal_all(signal.SIGTERM)
            connectors.interrupt()
        elif killed:
            return Outcome()
        else:
            killed = True
            processes.signal_all(signal.SIGKILL)
            deadline = time.monotonic() + KILL_WAIT_SECONDS
