"""The launcher `celery`: each run is an order that a worker executes, `aetherflow-scheduler worker`, on any host."""

import contextlib
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from typing import Any

from aetherflow.scheduler.launchers.base import Launcher, Outcome, Running, RunRequest
from aetherflow.scheduler.launchers.broker import STOP, TASK, RunOrder, answers, application, queue

REPEAT_SECONDS = 900.0
"""Time without an answer after which an order is given once more, in case the broker has lost it; then twice that."""
KILLED_SECONDS = 10.0
"""Time after `kill` without an answer after which the order counts as withdrawn: no worker has it."""
WAIT_SECONDS = 1.0
"""Longest wait of the thread that reads the answers."""


class CeleryLauncher(Launcher):
    """Gives orders to the workers of a broker, and reads their answers in a thread of its own."""

    def __init__(self) -> None:
        self._app = application()
        self._name = f"aetherflow.answers.{socket.gethostname()}.{os.getpid()}.{uuid.uuid4().hex[:8]}"
        self._orders: dict[str, Ordered] = {}
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
            if self._thread is None:
                self._thread = threading.Thread(target=self._read_answers, name="answers", daemon=True)
                self._thread.start()
        try:
            self.give(ordered)
        except OSError:
            with self._lock:
                del self._orders[order.number]
            raise
        return ordered

    def give(self, ordered: "Ordered") -> None:
        """Give an order; OSError if the broker does not take it."""
        from kombu.exceptions import OperationalError

        try:
            self._app.send_task(
                TASK,
                kwargs={"order": ordered.order._asdict()},
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

            with contextlib.suppress(OperationalError, OSError):  # asked again by `kill`
                control, order = self._app.control, ordered.order
                control.revoke(order.number)
                control.broadcast(STOP, arguments={"number": order.number, "kill": kill})

        threading.Thread(target=tell, name="withdraw", daemon=True).start()

    def _read_answers(self) -> None:
        while True:
            with contextlib.suppress(Exception), self._app.connection_for_read() as connection:
                connection.ensure_connection(max_retries=None)
                with connection.Consumer([answers(self._name)], callbacks=[self.take], accept=["json"]):
                    while True:
                        with contextlib.suppress(socket.timeout):
                            connection.drain_events(timeout=WAIT_SECONDS)
                        connection.heartbeat_check()
            time.sleep(WAIT_SECONDS)  # the connection is lost

    def take(self, body: Mapping[str, Any], message: Any) -> None:
        """Take the answer of a worker; one that nobody waits for any more is dropped."""
        message.ack()
        with self._lock:
            ordered = self._orders.pop(str(body.get("number")), None)
        if ordered is not None:
            ordered.answered(Outcome(int(body["exit_code"]), body.get("summary")))

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
        self._stopped = False

    def answered(self, outcome: Outcome) -> None:
        """Take the answer of a worker."""
        self._outcome = outcome
        self._ended()

    def poll(self) -> Outcome | None:
        now = time.monotonic()
        if self._outcome is None and self._void_at is not None and now >= self._void_at:
            self._launcher.forget(self)
            self._outcome = Outcome(-9)
        elif self._outcome is None and not self._stopped and now >= self._repeat_at:
            self._wait *= 2
            self._repeat_at = now + self._wait
            with contextlib.suppress(OSError):  # tried again later
                self._launcher.give(self)
        return self._outcome

    def terminate(self) -> None:
        self._stopped = True
        self._launcher.withdraw(self, kill=False)

    def kill(self) -> None:
        self._stopped = True
        self._launcher.withdraw(self, kill=True)
        self._void_at = self._void_at or time.monotonic() + KILLED_SECONDS
