"""A program that runs a flow with the kernel alone: minimal stand-ins here implement the services that it needs.

`python kernel_alone.py FOLDER`: prints "in the middle" when the second of three steps has begun, and waits there to be
killed; if the file FOLDER/go exists, that step ends. At the end it prints the imported packages of the core.
"""

import sys
import threading
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, ClassVar

from aetherflow.core.base.redact import Redactor
from aetherflow.core.contracts.events import StepInfo
from aetherflow.core.contracts.handles import StepResult
from aetherflow.core.contracts.step import Step
from aetherflow.core.kernel.locks.run_locks import RunLocks
from aetherflow.core.kernel.sequencing.attempt import Attempt
from aetherflow.core.kernel.sequencing.definitions import FlowFacts, define
from aetherflow.core.kernel.sequencing.plan import RunOptions
from aetherflow.core.kernel.sequencing.run import FlowToRun, KernelRun
from aetherflow.core.kernel.sequencing.services import RunServices
from aetherflow.core.kernel.sequencing.stopping import Stop
from aetherflow.core.kernel.sequencing.verdicts import make_plan
from aetherflow.core.kernel.sequencing.worker import Worker
from aetherflow.core.kernel.state.ownership import RunLock, lock_path
from aetherflow.core.kernel.state.records import Frozen, RunFacts, StepKey
from aetherflow.core.kernel.state.run_state import RunState
from aetherflow.core.kernel.state.store import StateStore
from aetherflow.core.kernel.yaml.binder import bind
from aetherflow.core.kernel.yaml.flow import FlowSpec
from aetherflow.core.kernel.yaml.loader import parse_document

FOLDER = Path(sys.argv[1])
FLOW, RUN = "alone", "r"
TEXT = """\
version: 1
flow: {id: alone, locks: {scope: flow}}
jobs:
  - id: first
    steps:
      - {id: a, type: say, inputs: {text: one}, outputs: {said: "{{result.text}}"}}
      - {id: b, type: wait, inputs: {text: two}}
  - id: second
    depends_on: [first]
    when: "jobs.first.outputs.said == 'one'"
    steps:
      - {id: c, type: fold, for_each: [1, 2], inputs: {text: "{{jobs.first.outputs.said}} {{item}}"}}
"""


class Say(Step[Any]):
    """Writes down that it ran."""

    def run(self) -> StepResult:
        """Add its id, text and attempt to the file `ran`; the text is its output."""
        with (FOLDER / "ran").open("a") as file:
            file.write(f"{self.id} {self.inputs['text']} {self.ctx.attempt}\n")
        return StepResult(output={"text": self.inputs["text"]})


class Wait(Say):
    """Waits in the middle until the process is killed, unless the file `go` exists."""

    def run(self) -> StepResult:
        """Write as `say` does, then wait for ever unless the file `go` is there."""
        result = super().run()
        if not (FOLDER / "go").exists():
            print("in the middle", flush=True)
            threading.Event().wait()
        return result


class Fold(Say):
    """Runs another step inside itself."""

    def run(self) -> StepResult:
        """The result of the inner step, which is a `say`."""
        return self.ctx.call_step("say", self.inputs, step_id="inner")


class Classes:
    """The step classes of this program, by name; there are no connectors."""

    known: ClassVar[dict[str, type[Step[Any]]]] = {"say": Say, "wait": Wait, "fold": Fold}

    def step(self, name: str) -> Any:
        """The class of a step type; KeyError for any other."""
        return self.known[name]

    def outputs_of(self, cls: type, outputs: dict[str, Any], status: str) -> dict[str, Any]:
        """The steps of this program declare none."""
        return outputs

    def frames_of(self, error: BaseException, name: str, cls: type) -> str:
        """No step of this program is of a third party."""
        return ""

    def of_step(self, name: str) -> Mapping[str, Any]:
        """No fact of a step's class belongs to its definition."""
        return {}

    def of_connector(self, kind: str, driver: str) -> Mapping[str, Any]:
        """No fact of a connector's class belongs to a definition."""
        return {}

    def conditions_of(self, step: Mapping[str, Any]) -> list[str]:
        """There are none."""
        return []


class Nothing:
    """Empty implementations of the services for child processes, connectors, folders and locks."""

    def keep_until(self, deadline: float) -> None:
        """Nothing."""

    def tend(self) -> None:
        """Nothing."""

    def signal_all(self, number: int) -> None:
        """Nothing."""

    def end_all(self, grace: float = 0) -> None:
        """Nothing."""

    def end_orphans(self, step_key: str) -> None:
        """Nothing."""

    def interrupt(self) -> None:
        """Nothing."""

    def end_attempt(self) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""

    def remove_parts(self, job_id: str) -> None:
        """Nothing."""

    def call(self, step: StepInfo, inputs: Mapping[str, Any], work: Callable[[], StepResult]) -> StepResult:
        """The work."""
        return work()

    def entering(self) -> None:
        """Nothing."""

    def running(self) -> AbstractContextManager[None]:
        """Nothing."""
        return nullcontext()

    def jobs_ended(self, *, failed: bool, whole: bool) -> None:
        """Nothing."""


class Delivery:
    """Writes events to a file."""

    bound = False

    def emit(self, event: str, **fields: Any) -> None:
        """Write one."""
        with (FOLDER / "events").open("a") as file:
            file.write(f"{event} {fields.get('job_id', '')} {fields.get('step_id', '')} {fields.get('status', '')}\n")

    defer = emit


class NoLog:
    """A log that drops all output."""

    path = Path("no log")
    used = False
    tail: ClassVar[deque[str]] = deque()

    def feed(self, stream: str, data: bytes) -> None:
        """Drop it."""

    def close(self) -> None:
        """Nothing."""


class Context:
    """The parts of `RunContext` that these steps use."""

    def __init__(self, attempt: Attempt) -> None:
        self._attempt = attempt
        self.attempt = attempt.number

    def call_step(self, step_type: str, inputs: Mapping[str, Any], *, step_id: str) -> StepResult:
        """Run a step inside this one."""
        return self._attempt.call_step(step_type, inputs, step_id, inputs)


def open_context(attempt: Attempt) -> Any:
    """The context of an attempt."""
    return Context(attempt)


def open_log(key: StepKey, number: int) -> NoLog:
    """The log of an attempt."""
    return NoLog()


def run() -> str:
    """Run or resume the flow; returns its final status."""
    document = parse_document(TEXT, "alone.yaml")
    spec, problems = bind(FlowSpec, document.data, document.source)
    assert spec is not None, problems
    classes, nothing, redactor = Classes(), Nothing(), Redactor()
    store = StateStore(FOLDER / "state.sqlite")
    lock = RunLock(lock_path(store.path, FLOW, RUN))
    lock.acquire(RUN)
    found = store.find_run(FLOW, RUN)
    state = RunState(store, FLOW, RUN)
    state.load()
    facts = FlowFacts(document.data, document.source.texts, spec, {}, {}, {}, frozenset(), classes)
    definitions = define(facts, redactor)
    plan = make_plan(spec, state, definitions, RunOptions(), exists=lambda path: True)
    generation = found.generation + 1 if found else 1
    services = RunServices(
        flow_id=FLOW,
        run_id=RUN,
        constants={"env": {}, "params": {}, "run": {"id": RUN}},
        state=state,
        locks=RunLocks(FOLDER / "locks.sqlite", (FLOW, RUN, generation), Delivery()),
        stop=Stop(),
        redactor=redactor,
        events=Delivery(),
        classes=classes,
        wrapper=nothing,
        processes=nothing,
        connectors=nothing,
        folders=nothing,
        open_log=open_log,
        open_context=open_context,
        grace=1,
        jobs={},
        worker=Worker(),
    )
    frozen = Frozen({}, None, "2026-01-02", "2026-01-02")
    about = RunFacts("test", "alone.yaml", "", "somebody", "here", 1, "test", "kernel_alone")
    kernel = KernelRun(FlowToRun(spec, document.source, definitions, plan), services)
    try:
        return str(kernel.execute(about, frozen, {}, nothing, wait=False))
    finally:
        services.close()
        lock.release()
        store.close()


if __name__ == "__main__":
    print(run())
    print(*sorted({name.split(".")[2] for name in sys.modules if name.startswith("aetherflow.core.")}))
