"""The launcher `celery`: each run is an order that a worker executes, `aetherflow-scheduler worker`, on any host."""

import contextlib
import logging
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any

from aetherflow.core.api import UsageError
from aetherflow.core.embedding import said
from aetherflow.scheduler.launchers.base import LateHeartbeat, Launcher, Outcome, Running, RunRequest
from aetherflow.scheduler.launchers.broker import (
    DEFAULT_QUEUE,
    HERE,
    STOP,
    TASK,
    RunOrder,
    answers,
    application,
    queue,
    ready_in,
)
from aetherflow.scheduler.launchers.heartbeats import LATE_LEASES, Heartbeats, WorkerReason
from aetherflow.scheduler.launchers.signing import MessageKind, RefusedError, opened, require_keys, signed

if TYPE_CHECKING:
    from kombu import Connection

REPEAT_SECONDS = 900.0
"""Time without an answer after which an order is given once more whatever workers say; then twice that."""
KILLED_SECONDS = 10.0
"""Time after `kill` without an answer after which the order counts as withdrawn: no worker has it."""
WAIT_SECONDS = 1.0
"""Longest wait of the thread that reads the answers."""
log = logging.getLogger("aetherflow.scheduler")


class CeleryLauncher(Launcher):
    """Gives orders to the workers of a broker, and reads their answers in a thread of its own."""

    def __init__(self) -> None:
        self._app = application()
        self._name = f"aetherflow.answers.{socket.gethostname()}.{os.getpid()}.{uuid.uuid4().hex[:8]}"
        self._orders: dict[str, Ordered] = {}
        self._heartbeats = Heartbeats()
        self._watches = False
        self._accepted: dict[str, list[int]] = {}
        """Name of a queue to the minute, and the times of the keys, in which an order for it was checked."""
        self._queues: set[str] = set()
        """Queues whose workers are asked for heartbeats."""
        self._lock = threading.Lock()
        self._ready = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, request: RunRequest, ended: Callable[[], None]) -> Running:
        return self.order(RunOrder.of(request, self._name), request.queue, ended)

    def order(self, order: RunOrder, name: str | None, ended: Callable[[], None]) -> Running:
        """Give an order to the queue of that name; otherwise as `start`."""
        ordered = Ordered(self, order._replace(answer_to=self._name), name, ended)
        order = ordered.order
        with self._lock:
            self._orders[order.number] = ordered
            self._queues.add(ordered.queue_name)
            self._begin_to_read()
        try:
            self.give(ordered)
        except Exception:
            with self._lock:
                del self._orders[order.number]
            raise
        return ordered

    def _begin_to_read(self) -> None:
        if self._thread is None:
            self._heartbeats.reached()
            self._thread = threading.Thread(target=self._read_answers, name="answers", daemon=True)
            self._thread.start()

    def late_heartbeats(self, lease_seconds: float, queues: Collection[str | None]) -> list[LateHeartbeat]:
        now = time.monotonic()
        with self._lock:
            self._heartbeats.lease = lease_seconds
            self._watches = True
            self._queues |= {name or DEFAULT_QUEUE for name in queues}
            self._begin_to_read()
            orders = list(self._orders.values())
            waiting = {each.queue_name for each in orders if now - each.last > LATE_LEASES * lease_seconds}
            found = self._heartbeats.late(sorted(name or DEFAULT_QUEUE for name in queues), waiting)
        lost: dict[str, list[Ordered]] = {}
        for each in orders:
            if each.lost_at is not None:
                lost.setdefault(each.queue_name, []).append(each)
        for name, those in sorted(lost.items()):
            why = said(WorkerReason.LOST, count=len(those), queue=name)
            found.append(LateHeartbeat.of(why, min(each.lost_at or 0 for each in those)))
        return found

    def give(self, ordered: "Ordered") -> None:
        """Give an order; OSError if the broker does not take it, UsageError if no worker would carry it out."""
        from kombu.exceptions import OperationalError

        message = signed(MessageKind.ORDER, ordered.queue_name, ordered.order._asdict())
        # to check takes as long as to sign: once for these keys, and again in the next minute, since a key may expire
        now = [int(time.time() // 60), *(path.stat().st_mtime_ns for path in require_keys())]
        try:
            if self._accepted.get(ordered.queue_name) != now:
                opened(message, MessageKind.ORDER, [ordered.queue_name])
                self._accepted[ordered.queue_name] = now
        except RefusedError as error:
            fix = f"add the key to the signers, with the principal {ordered.queue_name}"
            raise UsageError(f"the order would be refused: {error}", fix=fix) from error
        try:
            self._app.send_task(
                TASK,
                kwargs={"order": message},
                task_id=ordered.order.number,
                queue=queue(ordered.queue),
                retry_policy={"max_retries": 2, "interval_start": 0.2},
            )
        except OperationalError as error:
            raise OSError(f"the broker takes no order: {error}") from error

    def withdraw(self, ordered: "Ordered", *, kill: bool) -> None:
        """Tell all workers that a run is to stop, and that its order is void; in a thread, since brokers may hang."""

        def tell() -> None:
            from kombu.exceptions import OperationalError

            body = {"number": ordered.order.number, "kill": kill}
            with contextlib.suppress(OperationalError, OSError):  # asked again by `kill`
                message = signed(MessageKind.STOP, ordered.queue_name, body)
                self._app.control.broadcast(STOP, arguments={"message": message})

        threading.Thread(target=tell, name="withdraw", daemon=True).start()

    def _read_answers(self) -> None:
        while True:
            with contextlib.suppress(Exception), self._app.connection_for_read() as connection:
                connection.ensure_connection(max_retries=None, interval_start=1, interval_step=1, interval_max=5)
                with connection.Consumer([answers(self._name)], callbacks=[self.take], accept=["json"]):
                    ask_at = 0.0
                    while True:
                        if time.monotonic() >= ask_at and (self._watches or self._orders):
                            ask_at = time.monotonic() + self._heartbeats.lease / 2
                            self._ask(connection)
                        wait = min(WAIT_SECONDS, self._heartbeats.lease / 4)
                        with contextlib.suppress(socket.timeout):
                            connection.drain_events(timeout=wait)
                        connection.heartbeat_check()
            time.sleep(WAIT_SECONDS)  # the connection is lost

    def _ask(self, connection: "Connection") -> None:
        """Give again what the broker has lost, as far as the last answers tell, and ask the workers again."""
        self._restore(connection)
        with self._lock:
            queues = sorted(self._queues)
        messages = [signed(MessageKind.ASK, each, {"answer_to": self._name}) for each in queues]
        self._app.control.broadcast(HERE, arguments={"messages": messages}, connection=connection)
        with self._lock:
            self._heartbeats.reached()

    def _restore(self, connection: "Connection") -> None:
        """Give orders again that no worker has, although workers of their queue answer, and that don't wait in it."""
        now = time.monotonic()
        with self._lock:
            lease = self._heartbeats.lease
            missing: dict[str, list[Ordered]] = {}
            for each in self._orders.values():
                serves = self._heartbeats.serves(each.queue_name, each.last + lease / 2)
                if not each.stopped and serves and now - each.last >= max(lease, each.patience):
                    missing.setdefault(each.queue_name, []).append(each)
        for name, orders in missing.items():
            if len(orders) <= ready_in(connection, name):
                continue  # they wait for a worker that is free
            for each in orders:
                each.given_again(lease)
                with contextlib.suppress(OSError):  # tried again later
                    self.give(each)

    def take(self, body: Mapping[str, Any], message: Any) -> None:
        """Take the answer of a worker; one that nobody waits for any more is dropped."""
        message.ack()
        try:
            self._take(body)
        except (KeyError, TypeError, ValueError) as error:
            log.warning("an answer on the broker is refused: %s", error)

    def _take(self, sent: Any) -> None:
        if not isinstance(sent, dict):
            raise TypeError("it isn't a message of a worker")
        kind = MessageKind.HEARTBEAT if sent.get("kind") == MessageKind.HEARTBEAT else MessageKind.ANSWER
        with self._lock:
            queues = frozenset(self._queues)
        found = opened(sent.get("message"), kind, queues)
        body = found.body
        if found.ahead:
            log.warning("the clock of a worker is %.0f seconds ahead of that of this host", found.ahead)
        if kind is MessageKind.HEARTBEAT:
            numbers = [str(each) for each in body.get("orders", ())]
            with self._lock:
                self._heartbeats.heard(body)
                for number in numbers:
                    if (known := self._orders.get(number)) is not None:
                        known.seen()
            return
        number, code, summary = body["number"], body["exit_code"], body["summary"]
        if type(code) is not int or not isinstance(summary, dict | None):
            raise ValueError("it holds no outcome")
        with self._lock:
            ordered = self._orders.get(str(number))
            if ordered is None or ordered.queue_name != found.queue:
                return
            del self._orders[str(number)]
        ordered.answered(Outcome(code, summary))

    def forget(self, ordered: "Ordered") -> None:
        """Expect no answer to an order any more."""
        with self._lock:
            self._orders.pop(ordered.order.number, None)


class Ordered(Running):
    """An order without an answer yet."""

    def __init__(self, launcher: CeleryLauncher, order: RunOrder, name: str | None, ended: Callable[[], None]) -> None:
        self.order = order
        self.queue = name
        self._launcher = launcher
        self._ended = ended
        self._outcome: Outcome | None = None
        self._wait = REPEAT_SECONDS
        self._repeat_at = time.monotonic() + self._wait
        self._void_at: float | None = None
        self.stopped = False
        self.last = time.monotonic()
        """When it was given, or when a worker last said that it has it."""
        self.lost_at: int | None = None
        """When it was given again because it was lost, in UTC epoch milliseconds; None once a worker has it."""
        self.patience = 0.0
        """Seconds for which it's waited for at least before it is given again."""

    @property
    def queue_name(self) -> str:
        """The name of its queue."""
        return self.queue or DEFAULT_QUEUE

    def seen(self) -> None:
        """A worker has the order."""
        self.last, self.lost_at, self.patience = time.monotonic(), None, 0.0

    def given_again(self, lease: float) -> None:
        """The order was lost; the next time it is waited for longer."""
        self.patience = min(max(lease, self.patience * 2), REPEAT_SECONDS)
        self.last, self.lost_at = time.monotonic(), self.lost_at or time.time_ns() // 1_000_000

    def answered(self, outcome: Outcome) -> None:
        """Take the answer of a worker."""
        self._outcome = outcome
        self._ended()

    def poll(self) -> Outcome | None:
        now = time.monotonic()
        if self._outcome is None and self._void_at is not None and now >= self._void_at:
            self._launcher.forget(self)
            self._outcome = Outcome(-9)
        elif self._outcome is None and not self.stopped and now >= self._repeat_at:
            self._wait *= 2
            self._repeat_at = now + self._wait
            with contextlib.suppress(OSError):  # tried again later
                self._launcher.give(self)
        return self._outcome

    def terminate(self) -> None:
        self.stopped = True
        self._launcher.withdraw(self, kill=False)

    def kill(self) -> None:
        self.stopped = True
        self._launcher.withdraw(self, kill=True)
        self._void_at = self._void_at or time.monotonic() + KILLED_SECONDS
