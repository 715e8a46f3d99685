"""The heartbeat of a run, for readers on other hosts and for `status`."""

import contextlib
import sqlite3
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Self

from aetherflow.core.base import durable

if TYPE_CHECKING:
    from aetherflow.core.kernel.state.run_lease import RunLease

INTERVAL_SECONDS = 10.0


class Heartbeat:
    """Writes `heartbeat_at` of a run every ten seconds while the block runs, on a connection of its own."""

    def __init__(
        self,
        state: durable.Database,
        flow_id: str,
        run_id: str,
        generation: int,
        progress: Callable[[], str | None] = lambda: None,
        leased: "tuple[RunLease | None, Callable[[], None], Callable[[float], None]]" = (
            None,
            lambda: None,
            lambda _: None,
        ),
    ) -> None:
        """`progress` gives what is written with it: how far the run is, as a JSON object.

        `leased` is the lease with whose renewal it is written, and what `RunLease.beats_with` wants to know.
        """
        self._lease, self._lost, self._kept = leased
        self._state = state
        self._progress = progress
        self._values = (flow_id, run_id, generation)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def beat(self, connection: durable.Database) -> bool:
        """Write a heartbeat; False if another process owns the run."""
        with durable.transaction(connection, "heartbeat"):
            return self.write(connection)

    def write(self, connection: durable.Database) -> bool:
        """The same, in a transaction of the caller."""
        query = "UPDATE runs SET heartbeat_at=?, progress=? WHERE flow_id=? AND run_id=? AND generation=?"
        return connection.execute(query, (connection.now_ms(), self._progress(), *self._values)).rowcount == 1

    def _run(self) -> None:
        connection: durable.Database | None = None
        try:
            while not self._stop.wait(INTERVAL_SECONDS):
                # a missed beat harms nobody; the next transition of the run itself reports a real failure
                with contextlib.suppress(sqlite3.Error, OSError, durable.ReplacedFileError):
                    connection = connection or self._state.again(busy_seconds=INTERVAL_SECONDS)
                    self.beat(connection)
        finally:
            if connection is not None:
                connection.close()

    def __enter__(self) -> Self:
        if self._lease is None:
            self._thread.start()
        else:
            self._lease.beats_with(self.write, self._lost, self._kept)
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        if self._lease is None:
            self._thread.join()
        else:
            self._lease.beats_with(None, None, None)
