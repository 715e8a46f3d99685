"""The worker of the launcher `celery`: executes orders as processes of this host, and answers how they ended."""

import contextlib
import json
import logging
import os
import signal
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aetherflow.core.api import AetherflowError, UsageError
from aetherflow.core.embedding import ForkServer, durable, find_state_root, host_root
from aetherflow.scheduler.launchers.base import Outcome, Running
from aetherflow.scheduler.launchers.broker import HERE, STOP, TASK, RunOrder, answers, application, queue
from aetherflow.scheduler.launchers.celery import CeleryLauncher
from aetherflow.scheduler.launchers.fan_out import FanOut
from aetherflow.scheduler.launchers.signing import MessageKind, Opened, RefusedError, opened, signed
from aetherflow.scheduler.launchers.subprocess import SubprocessLauncher, summary_file

if TYPE_CHECKING:
    from celery import Celery

BUSY = 3
"""Exit code of a start that found the run's owner alive, or its lock held."""
AGAIN_SECONDS, LONGEST_AGAIN_SECONDS = 5, 60
"""Time after which an order comes back that was delivered while its run was under way: at first, and at most. To find
that out takes the start of a process."""
WITHDRAWN = 50_000
"""Most orders that a worker remembers as withdrawn."""
LOOKS_SECONDS = 0.5
"""How often an idle worker looks whether it is to end."""
LONGEST_NUMBER = 200
"""Characters of an order's number in the log: a refused order has whatever its sender wrote."""
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

    def __init__(self, queues: Sequence[str], at_a_time: int, variables: Collection[str] = ()) -> None:
        """Raises UsageError if the worker's answers would be refused. `variables` are those that orders may set."""
        self._app = application()
        self._app.conf.task_queues = [queue(name) for name in queues or (None,)]
        self._queues = [each.name for each in self._app.conf.task_queues]
        self._variables = frozenset(variables)
        for name in self._queues:
            try:
                opened(signed(MessageKind.ANSWER, name, {}), MessageKind.ANSWER, [name])
            except RefusedError as error:
                fix = f"add the key to the signers, with the principal {name}"
                raise UsageError(f"the answers of this worker would be refused: {error}", fix=fix) from error
        self._at_a_time = at_a_time
        self._forks = ForkServer()
        self._here = SubprocessLauncher(self._forks.start)
        self._running: dict[str, Running] = {}
        self._lock = threading.Lock()
        self._void: set[str] = set()
        self._withdrawn: dict[str, None] = {}
        """Numbers of orders that aren't begun any more, the oldest first."""
        self._repeated: set[str] = set()
        """Orders that were delivered here once more while they were executed, and that therefore come back."""
        self._gives: CeleryLauncher | None = None
        """Gives the orders for runs inside of those that are executed here."""
        self._asked_by: dict[str, str] = {}
        """Names of queues for answers, of those that have asked for heartbeats, to the queue they asked about."""
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

    def read(self, message: Any) -> tuple[RunOrder, str]:
        """Return the order of a message, and its queue. RefusedError for one that this worker doesn't carry out."""
        found = self._opened(message, MessageKind.ORDER)
        try:
            return RunOrder.read(found.body), found.queue
        except ValueError as error:
            raise RefusedError(str(error)) from error

    def _opened(self, message: Any, kind: MessageKind) -> Opened:
        found = opened(message, kind, self._queues)
        if found.ahead:
            log.warning("the clock of a scheduler is %.0f seconds ahead of that of this host", found.ahead)
        return found

    def why_not(self, order: RunOrder) -> str | None:
        """Why an order of an allowed key isn't carried out on this host; None if it is."""
        if unknown := sorted(order.env.keys() - self._variables):
            return f"it sets {', '.join(unknown)}: start the worker with --variable for each that orders may set"
        root = os.path.realpath(host_root(find_state_root(Path(order.folder), os.environ)))
        if not Path(os.path.realpath(order.log)).is_relative_to(root):
            return f"its log {order.log} isn't in the state root of this worker, {root}"
        return None

    def stop(self, message: Any) -> None:
        """Stop one run, by the number of its order, because its scheduler says so. RefusedError."""
        body = self._opened(message, MessageKind.STOP).body
        number, kill = str(body.get("number")), bool(body.get("kill"))
        with self._lock:
            self._withdrawn[number] = None
            while len(self._withdrawn) > WITHDRAWN:
                del self._withdrawn[next(iter(self._withdrawn))]
            if (running := self._running.get(number)) is not None:
                self._void.add(number)
                (running.kill if kill else running.terminate)()

    def execute(self, order: RunOrder) -> Outcome | None:
        """Execute an order to its end; None if its run is under way elsewhere, or goes on elsewhere.

        Raises CoveredError if that order is on its way once more already.
        """
        ended = threading.Event()
        if order.number in self._withdrawn:
            return Outcome(128 + signal.SIGTERM)
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
            given = order.request.encode()
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

    def here(self, messages: Any, orders: Sequence[str]) -> None:
        """Answer that this worker is there, and which orders it has. RefusedError if none of the messages asks it."""
        refused = RefusedError("it asks no worker of these queues")
        for each in messages if isinstance(messages, list) else ():
            try:
                found = self._opened(each, MessageKind.ASK)
            except RefusedError as error:
                refused = error
                continue
            asked_by = str(found.body.get("answer_to"))
            self._asked_by[asked_by] = found.queue
            with contextlib.suppress(OSError):  # asked again soon
                self._tell(asked_by, MessageKind.HEARTBEAT, found.queue, {**self._facts, "orders": list(orders)})
            return
        raise refused

    def _say_goodbye(self) -> None:
        """Tell those who have asked that this worker was stopped, so that nobody waits for its heartbeats."""
        for each, name in self._asked_by.items():
            with contextlib.suppress(Exception):  # the broker may be gone: then its heartbeats are late
                self._tell(each, MessageKind.HEARTBEAT, name, {**self._facts, "left": True})

    @property
    def _facts(self) -> dict[str, Any]:
        return {"worker": self._name, "host": os.uname().nodename, "queues": self._queues}

    def answer(self, order: RunOrder, queue: str, outcome: Outcome, *, begun: bool = True) -> None:
        """Tell the scheduler that gave the order. It asks the state where the answer is lost."""
        summary = outcome.summary or {}
        told: dict[str, Any] | None = {name: summary[name] for name in TOLD if name in summary} or None
        if order.request:
            told = dict(summary) or None
        elif told is not None and isinstance(error := summary.get("error"), Mapping):
            told["error"] = {name: error.get(name) for name in ("job", "step", "code", "message")}
        body = {"number": order.number, "exit_code": outcome.exit_code, "summary": told}
        self._tell(order.answer_to, MessageKind.ANSWER, queue, body)
        if begun:  # else the log may be where nothing is written
            durable.write_bytes(_answer_file(order), json.dumps(body).encode())

    def answered_before(self, order: RunOrder, queue: str) -> bool:
        """Whether an order was carried out in this state root; its answer is given once more."""
        try:
            body = json.loads(_answer_file(order).read_bytes())
        except (OSError, ValueError):
            return False
        log.warning("%s: its order was carried out before, and is refused; the answer is given again", order.run_id)
        self._tell(order.answer_to, MessageKind.ANSWER, queue, body)
        return True

    def _tell(self, name: str, kind: MessageKind, queue: str, body: Mapping[str, Any]) -> None:
        to, message = answers(name), signed(kind, queue, body)
        with self._app.producer_or_acquire() as producer:
            # by the exchange that knows each queue by its name: with Redis nothing needs to be looked up
            producer.publish(
                {"kind": kind.value, "message": message}, exchange="", routing_key=to.name, serializer="json",
                declare=[to], retry=True, retry_policy={"max_retries": 3},
            )  # fmt: skip


def _answer_file(order: RunOrder) -> Path:
    """The file with the answer to an order, beside its log: what is there isn't executed again."""
    return Path(order.log).with_suffix(".answer")


def _register(app: "Celery", worker: Worker) -> None:
    """Give Celery its task and its commands. All others are removed, since nobody signs them."""
    from celery import signals
    from celery.worker.control import Panel

    for name in [each for each in app.tasks if each != TASK]:
        del app.tasks[name]
    Panel.data.clear()
    Panel.meta.clear()
    _register_task(app, worker)
    _register_commands(worker)

    def ready(sender: Any, **_: Any) -> None:
        # an idle event loop of Celery sleeps up to ten seconds, and hears of a signal only then
        if sender.hub is not None:
            sender.hub.call_repeatedly(LOOKS_SECONDS, lambda: None)

    def ends(**_: Any) -> None:
        worker.stop_all()

    signals.worker_ready.connect(ready, weak=False)
    signals.worker_shutting_down.connect(ends, weak=False)


def _register_task(app: "Celery", worker: Worker) -> None:
    @app.task(bind=True, name=TASK, max_retries=None)  # type: ignore[untyped-decorator]
    def execute(task: Any, order: Any = None, **_: Any) -> None:
        try:
            found, name = worker.read(order)
        except RefusedError as error:
            number = str(task.request.id)[:LONGEST_NUMBER]  # that of an order begins with its run's id
            log.error("order %r on the broker is refused: %s", number, error)
            return
        try:
            if worker.answered_before(found, name):
                return
            if (why := worker.why_not(found)) is not None:
                raise OSError(why)
            outcome = worker.execute(found)
        except CoveredError:
            return
        except (OSError, AetherflowError) as error:
            log.error("%s: cannot be started: %s", found.run_id, error)
            summary = {"status": None, "error": {"message": f"the worker on {os.uname().nodename}: {error}"}}
            worker.answer(found, name, Outcome(1, summary), begun=False)
            return
        if outcome is not None:
            worker.answer(found, name, outcome)
        else:  # given again before this delivery is acknowledged
            longest = min(LONGEST_AGAIN_SECONDS, app.conf.broker_transport_options.get("visibility_timeout", 3600) / 2)
            wait = min(AGAIN_SECONDS << min(task.request.retries, 8), longest)
            raise task.retry(countdown=0 if worker.ends.is_set() else wait, queue=queue(name))


def _register_commands(worker: Worker) -> None:
    from celery.worker import state as worker_state
    from celery.worker.control import control_command

    @control_command(name=HERE, args=[("messages", list)])  # type: ignore[untyped-decorator]
    def here(state: Any, messages: Any = None, **_: Any) -> None:
        timed = (getattr(each.entry, "args", ())[:1] for each in list(state.consumer.timer.schedule.queue))
        later = [request[0].id for request in timed if request and hasattr(request[0], "id")]
        try:
            worker.here(messages, [*worker_state.requests, *later])
        except RefusedError as error:
            log.warning("a question on the broker is refused: %s", error)

    @control_command(name=STOP, args=[("message", dict)])  # type: ignore[untyped-decorator]
    def stop(_state: Any, message: Any = None, **_: Any) -> None:
        try:
            worker.stop(message)
        except RefusedError as error:
            log.warning("a command on the broker is refused: %s", error)


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
