"""The heartbeats of the workers of a broker: which workers are late, which queues have none, which orders are lost."""

import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from aetherflow.core.embedding import ReasonCode, said
from aetherflow.scheduler.launchers.base import LateHeartbeat

LATE_LEASES = 3
"""Lease times without an answer after which a worker, or the broker, is late."""
FORGOTTEN_SECONDS = 24 * 3600.0
"""A worker that was replaced by none is forgotten after this time."""


class WorkerReason(ReasonCode):
    """Codes of late heartbeats of a broker and its workers."""

    BROKER = "broker_unreachable", "the broker does not answer: no order can be given"
    NO_WORKER = "no_worker", "no worker takes orders of the queue {queue}"
    LATE = "worker_late", "the worker {worker} does not answer: it was killed, it is frozen, or its host is gone"
    LOST = "orders_lost", "the broker has lost {count} orders of the queue {queue}; they were given again"


@dataclass(slots=True)
class _Heard:
    host: str
    queues: frozenset[str]
    first: float
    last: float
    """Of the monotonic clock, as `first`."""
    at: int
    """The same in UTC epoch milliseconds."""


class Heartbeats:
    """What the workers of a broker have answered to one launcher. Not thread-safe: the launcher holds its lock."""

    def __init__(self) -> None:
        now, at = time.monotonic(), _now_ms()
        self.lease = 10.0
        self._reached = now, at
        self._workers: dict[str, _Heard] = {}
        self._served: dict[str, tuple[float, int]] = {}
        """Queue to when a worker that takes its orders was heard last."""
        self._left: set[str] = set()
        """Queues whose last worker was stopped in a planned way."""

    def reached(self) -> None:
        """The broker has taken a question for the workers."""
        self._reached = time.monotonic(), _now_ms()

    def heard(self, body: Mapping[str, Any]) -> None:
        """A worker has answered, or says that it ends."""
        now, name = time.monotonic(), str(body["worker"])
        queues = frozenset(map(str, body.get("queues", ())))
        if body.get("left"):
            self._workers.pop(name, None)
            self._left |= {queue for queue in queues if not self.serves(queue, now - LATE_LEASES * self.lease)}
            return
        first = known.first if (known := self._workers.get(name)) is not None else now
        self._workers[name] = _Heard(str(body.get("host")), queues, first, now, _now_ms())
        self._left -= queues
        self._served |= dict.fromkeys(queues, (now, _now_ms()))

    def serves(self, queue: str, since: float) -> bool:
        """Whether a worker that takes orders of a queue has answered after a time of the monotonic clock."""
        return any(queue in each.queues and each.last > since for each in self._workers.values())

    def late(self, queues: Iterable[str], waiting: Collection[str]) -> list[LateHeartbeat]:
        """The late heartbeats. `queues` need workers; of those in `waiting`, orders wait for them."""
        now, limit = time.monotonic(), LATE_LEASES * self.lease
        if now - self._reached[0] > limit:  # nothing is known of the workers
            return [LateHeartbeat.of(said(WorkerReason.BROKER), self._reached[1])]
        found = []
        for name, worker in self._without_replacement(now, limit):
            found.append(LateHeartbeat.of(said(WorkerReason.LATE, worker=name), worker.at))
        for queue in queues:
            last, at = self._served.setdefault(queue, (now, _now_ms()))
            if now - last > limit and (queue not in self._left or queue in waiting):
                found.append(LateHeartbeat.of(said(WorkerReason.NO_WORKER, queue=queue), at))
        return found

    def _without_replacement(self, now: float, limit: float) -> list[tuple[str, _Heard]]:
        """The workers that are late; forgets those that a later one of the same host and queues has replaced."""
        late = sorted((each for each in self._workers.items() if now - each[1].last > limit), key=lambda each: each[0])
        found, taken = [], set[str]()
        for name, worker in late:
            other = next(
                (
                    each
                    for each, by in self._workers.items()
                    if each not in taken
                    and now - by.last <= limit
                    and by.first > worker.last
                    and (by.host, by.queues) == (worker.host, worker.queues)
                ),
                None,
            )
            if other is not None or now - worker.last > FORGOTTEN_SECONDS:
                del self._workers[name]
                if other is not None:
                    taken.add(other)
                    self._workers[other].first = worker.last  # it replaces no second one
            else:
                found.append((name, worker))
        return found


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
