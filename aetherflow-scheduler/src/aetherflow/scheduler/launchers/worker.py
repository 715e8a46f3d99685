"""The worker of the launcher `celery`: executes orders as processes of this host, and answers how they ended."""

import base64
import contextlib
import json
import logging
import os
import signal
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aetherflow.core.embedding import ForkServer
from aetherflow.scheduler.launchers.base import Outcome, Running
from aetherflow.scheduler.launchers.broker import HERE, STOP, TASK, URL, RunOrder, answers, application, queue
from aetherflow.scheduler.launchers.celery import CeleryLauncher
from aetherflow.scheduler.launchers.fan_out import FanOut
from aetherflow.scheduler.launchers.subprocess import SubprocessLauncher, summary_file

if TYPE_CHECKING:
    from celery import Celery

BUSY = 3
"""Exit code of a start that found the run's owner alive, or its lock held."""
AGAIN_SECONDS, LONGEST_AGAIN_SECONDS = 5, 60
"""Time after which an order comes back that was delivered while its run was under way: at first, and at most. To find
that out takes the start of a process."""
LOOKS_SECONDS = 0.5
"""How often an idle worker looks whether it is to end."""
LONGEST_OUTPUT = 64 << 10
"""Bytes of the output of a run inside another one that go with the answer; all of it stands in its log."""
CHILD_PROGRAM = "aetherflow.core.child_run"
TOLD = ("status", "flow_id", "state_path", "nothing_to_do", "finished_at")
"""What an answer says of a run's summary."""
log = logging.getLogger("aetherflow.worker")


class CoveredError(Exception):
    """An order need not come back: another delivery of it does."""


class Worker:
    """Executes the orders of some queues, so many at a time."""

    def __init__(self, queues: Sequence[str], at_a_time: int) -> None:
        self._app = application()
        os.environ.pop(URL, None)  # runs are not to see the password of the broker
        self._app.conf.task_queues = [queue(name) for name in queues or (None,)]
        self._at_a_time = at_a_time
        self._forks = ForkServer()
        self._here = SubprocessLauncher(self._forks.start)
        self._running: dict[str, Running] = {}
        self._lock = threading.Lock()
        self._void: set[str] = set()
        self._repeated: set[str] = set()
        """Orders that were delivered here once more while they were executed, and that therefore come back."""
        self._gives: CeleryLauncher | None = None
        """Gives the orders for runs inside of those that are executed here."""
        self._asked_by: set[str] = set()
        """Who has asked for heartbeats: names of queues for answers."""
        self._name = f"aetherflow-{os.getpid()}@{os.uname().nodename}"  # several workers of a host have several names
        self.ends = threading.Event()
        """Set when the worker is being stopped: what it executes is stopped, and goes on elsewhere."""

    def run(self) -> int:
        """Execute orders until a signal ends it; returns the exit code."""
        _register(self._app, self)
        self._forks.prepare()
        logging.captureWarnings(capture=True)  # of Celery, about accounts and settings: lines of the log like others
        worker = self._app.Worker(
            hostname=self._name,
            concurrency=self._at_a_time,
            pool="threads",
            loglevel="INFO",
            optimization="fair",
            without_gossip=True,
            without_mingle=True,
            without_heartbeat=True,
            quiet=True,
        )
        try:
            worker.start()
        finally:
            self._say_goodbye()
        self._forks.close()
        return int(worker.exitcode or 0)

    def stop_all(self) -> None:
        """Stop what runs here; each goes on where its order is delivered next."""
        self.ends.set()
        with self._lock:
            for running in self._running.values():
                running.terminate()

    def stop(self, number: str, *, kill: bool) -> None:
        """Stop one run, by the number of its order, because its scheduler says so."""
        with self._lock:
            if (running := self._running.get(number)) is not None:
                self._void.add(number)
                (running.kill if kill else running.terminate)()

    def execute(self, order: RunOrder) -> Outcome | None:
        """Execute an order to its end; None if its run is under way elsewhere, or goes on elsewhere.

        Raises CoveredError if that order is on its way once more already.
        """
        ended = threading.Event()
        at = _unused(Path(order.log))
        with contextlib.ExitStack() as stack:
            with self._lock:
                if self.ends.is_set() or order.number in self._running:  # the broker has delivered it here once more
                    self._repeated.add(order.number)
                    return None
                running = self._running[order.number] = self._start(order, at, stack, ended.set)
            ended.wait()
        with self._lock:
            del self._running[order.number]
            void, repeated = order.number in self._void, order.number in self._repeated
            self._void.discard(order.number)
            self._repeated.discard(order.number)
        outcome = running.poll()
        assert outcome is not None  # noqa: S101 it has ended
        if order.request:
            outcome = _with_output(outcome, at)
        if outcome.exit_code == BUSY and repeated:  # else one order becomes two, and two four
            raise CoveredError
        stopped = outcome.exit_code in (-signal.SIGTERM, 128 + signal.SIGTERM)
        return None if outcome.exit_code == BUSY or (self.ends.is_set() and stopped and not void) else outcome

    def _start(self, order: RunOrder, at: Path, stack: contextlib.ExitStack, ended: Callable[[], None]) -> Running:
        if order.request:
            given = base64.b64decode(order.request)
            return self._here.spawn(CHILD_PROGRAM, [order.run_id, "--here"], order.for_launcher(at, {}), ended, given)
        env: dict[str, str] = {}
        if order.fan_out_queue is not None:
            fan_out = FanOut(order, order.fan_out_queue, self._giver().order)
            stack.callback(fan_out.close)
            env = fan_out.env
        return self._here.start(order.for_launcher(at, env), ended)

    def _giver(self) -> CeleryLauncher:
        if self._gives is None:
            self._gives = CeleryLauncher()
        return self._gives

    def here(self, asked_by: str, orders: Sequence[str]) -> None:
        """Answer that this worker is there, and which orders it has."""
        self._asked_by.add(asked_by)
        with contextlib.suppress(OSError):  # asked again soon
            self._tell(asked_by, {**self._facts, "orders": list(orders)})

    def _say_goodbye(self) -> None:
        """Tell those who have asked that this worker was stopped, so that nobody waits for its heartbeats."""
        for each in self._asked_by:
            with contextlib.suppress(Exception):  # the broker may be gone: then its heartbeats are late
                self._tell(each, {**self._facts, "left": True})

    @property
    def _facts(self) -> dict[str, Any]:
        queues = [each.name for each in self._app.conf.task_queues]
        return {"worker": self._name, "host": os.uname().nodename, "queues": queues}

    def answer(self, order: RunOrder, outcome: Outcome) -> None:
        """Tell the scheduler that gave the order. It asks the state where the answer is lost."""
        summary = outcome.summary or {}
        told: dict[str, Any] | None = {name: summary[name] for name in TOLD if name in summary} or None
        if order.request:
            told = dict(summary) or None
        elif told is not None and isinstance(error := summary.get("error"), Mapping):
            told["error"] = {name: error.get(name) for name in ("job", "step", "code", "message")}
        self._tell(order.answer_to, {"number": order.number, "exit_code": outcome.exit_code, "summary": told})

    def _tell(self, name: str, body: Mapping[str, Any]) -> None:
        to = answers(name)
        with self._app.producer_or_acquire() as producer:
            # by the exchange that knows each queue by its name: with Redis nothing needs to be looked up
            producer.publish(
                json.loads(json.dumps(body)), exchange="", routing_key=to.name, serializer="json",
                declare=[to], retry=True, retry_policy={"max_retries": 3},
            )  # fmt: skip


def _register(app: "Celery", worker: Worker) -> None:
    """Give Celery its task, and tell it what to call."""
    from celery import signals
    from celery.exceptions import Reject
    from celery.worker import state as worker_state
    from celery.worker.control import control_command

    @app.task(bind=True, name=TASK, max_retries=None)  # type: ignore[untyped-decorator]
    def execute(task: Any, order: Mapping[str, Any]) -> None:
        try:
            found = RunOrder.read(order)
        except (KeyError, TypeError, ValueError) as error:
            raise Reject(f"not an order: {error}", requeue=False) from error
        try:
            outcome = worker.execute(found)
        except CoveredError:
            return
        except OSError as error:
            log.error("%s: cannot be started: %s", found.run_id, error)
            summary = {"status": None, "error": {"message": f"the worker on {os.uname().nodename}: {error}"}}
            outcome = Outcome(1, summary)
        if outcome is not None:
            worker.answer(found, outcome)
        else:  # given again before this delivery is acknowledged
            longest = min(LONGEST_AGAIN_SECONDS, app.conf.broker_transport_options.get("visibility_timeout", 3600) / 2)
            wait = min(AGAIN_SECONDS << min(task.request.retries, 8), longest)
            routing = task.request.delivery_info or {}
            raise task.retry(countdown=0 if worker.ends.is_set() else wait, queue=queue(routing.get("routing_key")))

    @control_command(name=HERE, args=[("answer_to", str)])  # type: ignore[untyped-decorator]
    def here(state: Any, answer_to: str) -> None:
        timed = (getattr(each.entry, "args", ())[:1] for each in list(state.consumer.timer.schedule.queue))
        later = [request[0].id for request in timed if request and hasattr(request[0], "id")]
        worker.here(answer_to, [*worker_state.requests, *later])

    @control_command(name=STOP, args=[("number", str), ("kill", bool)])  # type: ignore[untyped-decorator]
    def stop(_state: Any, number: str, kill: bool) -> None:
        worker.stop(number, kill=kill)

    def ready(sender: Any, **_: Any) -> None:
        # an idle event loop of Celery sleeps up to ten seconds, and hears of a signal only then
        if sender.hub is not None:
            sender.hub.call_repeatedly(LOOKS_SECONDS, lambda: None)

    def ends(**_: Any) -> None:
        worker.stop_all()

    def revoked(request: Any = None, **_: Any) -> None:
        with contextlib.suppress(KeyError, TypeError, ValueError):
            worker.answer(RunOrder.read(request.kwargs["order"]), Outcome(128 + signal.SIGTERM))

    signals.worker_ready.connect(ready, weak=False)
    signals.worker_shutting_down.connect(ends, weak=False)
    signals.task_revoked.connect(revoked, weak=False)


def _with_output(outcome: Outcome, log: Path) -> Outcome:
    """The result of a run inside another one, with its last output, for the log of the step around."""
    if outcome.summary is None:
        return outcome
    with log.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - LONGEST_OUTPUT))
        text = file.read(LONGEST_OUTPUT).decode(errors="replace")
    return Outcome(outcome.exit_code, {**outcome.summary, "output": text})


def _unused(path: Path) -> Path:
    """The log of a delivery: the one that the ledger names, or for a later one a name beside it."""
    number, found = 1, path
    while summary_file(found).exists():
        number += 1
        found = path.with_name(f"{path.stem}-{number}{path.suffix}")
    return found
