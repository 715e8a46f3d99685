"""The heartbeat of a run, for readers on other hosts and for `status`."""

import contextlib
import sqlite3
import threading
from collections.abc import Callable
from typing import Self

from aetherflow.core.base import durable

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
    ) -> None:
        """`progress` gives a JSON object that is written with it: how far the run is."""
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
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
