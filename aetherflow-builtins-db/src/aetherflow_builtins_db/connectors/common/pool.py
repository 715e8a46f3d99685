"""A thread-safe pool of connections to one server."""

import itertools
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Generic, TypeVar

from aetherflow_builtins_db.connectors.common.tls import forget_errors

ConnectionT = TypeVar("ConnectionT")


class PoolFullError(Exception):
    """All permitted connections are in use, and none was released within `wait_seconds`, or before `stop_waiting`."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Size of the pool and greatest age of its connections."""

    kept: int
    """Idle connections that stay open, at most."""
    most: int
    """Connections that are open at once, at most."""
    recycle_seconds: float
    wait_seconds: float


class Pool(Generic[ConnectionT]):
    """Opens connections on demand and checks idle ones before it lends them again. All methods are thread-safe.

    :param opened: opens a connection
    :param closed: closes a connection in any state; its errors are ignored
    :param alive: tells whether an idle connection still works; None skips the check
    """

    def __init__(
        self,
        opened: Callable[[], ConnectionT],
        closed: Callable[[ConnectionT], None],
        alive: Callable[[ConnectionT], bool] | None,
        limits: Limits,
    ) -> None:
        self._opened, self._closed, self._alive, self._limits = opened, closed, alive, limits
        self._changed = threading.Condition()
        self._idle: list[ConnectionT] = []
        self._born: dict[int, float] = {}
        self._used: dict[int, ConnectionT] = {}
        self._leases: dict[int, int] = {}
        self._numbers = itertools.count()
        self._opening = self._stops = 0

    def acquire(self) -> ConnectionT:
        """Lend a working connection to the caller; raises PoolFullError, or what opening raises."""
        while (connection := self._reserve()) is not None:
            if self._fresh(connection):
                return connection
            self.discard(connection)
        try:
            connection = self._opened()
        except BaseException:
            with self._changed:
                self._opening -= 1
                self._changed.notify()
            raise
        with self._changed:
            self._opening -= 1
            self._born[id(connection)] = time.monotonic()
            self._lend(connection)
        return connection

    def _lend(self, connection: ConnectionT) -> None:
        self._used[id(connection)] = connection
        self._leases[id(connection)] = next(self._numbers)

    def _reserve(self) -> ConnectionT | None:
        """An idle connection, or None: then the caller must open one, and its place is reserved."""
        deadline = time.monotonic() + self._limits.wait_seconds
        with self._changed:
            stops = self._stops
            while True:
                if self._idle:
                    connection = self._idle.pop()
                    self._lend(connection)
                    return connection
                if len(self._used) + self._opening < self._limits.most:
                    self._opening += 1
                    return None
                if not self._changed.wait(deadline - time.monotonic()) or self._stops != stops:
                    raise PoolFullError

    def stop_waiting(self) -> None:
        """Let all who wait for a connection fail."""
        with self._changed:
            self._stops += 1
            self._changed.notify_all()

    def _fresh(self, connection: ConnectionT) -> bool:
        age = time.monotonic() - self._born.get(id(connection), 0.0)
        return age <= self._limits.recycle_seconds and (self._alive is None or self._alive(connection))

    def release(self, connection: ConnectionT) -> None:
        """Take back a connection whose session state is unchanged."""
        with self._changed:
            keep = self._used.pop(id(connection), None) is not None and len(self._idle) < self._limits.kept
            if keep:
                self._idle.append(connection)
            self._changed.notify()
        if not keep:
            self.discard(connection)

    def discard(self, connection: ConnectionT) -> None:
        """Close a connection instead of taking it back; idempotent."""
        with self._changed:
            self._used.pop(id(connection), None)
            self._born.pop(id(connection), None)
            self._changed.notify()
        with suppress(Exception):
            self._closed(connection)
        forget_errors()

    @property
    def used(self) -> list[tuple[ConnectionT, int]]:
        """The lent connections, each with the number of its lease; a number is never used twice."""
        with self._changed:
            return [(connection, self._leases[key]) for key, connection in self._used.items()]

    def lends(self, connection: ConnectionT, number: int) -> bool:
        """Whether the connection is still lent under this lease number."""
        with self._changed:
            return id(connection) in self._used and self._leases.get(id(connection)) == number

    def close(self) -> None:
        """Close all connections, including lent ones."""
        with self._changed:
            everything = [*self._idle, *self._used.values()]
            self._idle.clear()
        for connection in everything:
            self.discard(connection)
