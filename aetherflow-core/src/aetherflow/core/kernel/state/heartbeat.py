"""The heartbeat of a run, for readers on other hosts and for `status`."""

import contextlib
import sqlite3
import threading
from collections.abc import Callable
from typing import Self

from aetherflow.core.base import durable
from aetherflow.core.kernel.state.records import now_ms

INTERVAL_SECONDS = 10.0


class Heartbeat:
    """Writes `heartbeat_at` of a run every ten seconds while the block runs, on a connection of its own."""

    def __init__(
        self,
        state: sqlite3.Connection,
        flow_id: str,
        run_id: str,
        generation: int,
        progress: Callable[[], str | None] = lambda: None,
    ) -> None:
        """`progress` gives what is written with it: how far the run is, as a JSON object."""
        self._state = state
        self._progress = progress
        self._values = (flow_id, run_id, generation)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def beat(self, connection: sqlite3.Connection) -> bool:
        """Write a heartbeat; False if another process owns the run."""
        query = "UPDATE runs SET heartbeat_at=?, progress=? WHERE flow_id=? AND run_id=? AND generation=?"
        with durable.transaction(connection, "heartbeat"):
            return connection.execute(query, (now_ms(), self._progress(), *self._values)).rowcount == 1

    def _run(self) -> None:
        connection: sqlite3.Connection | None = None
        try:
            while not self._stop.wait(INTERVAL_SECONDS):
                # a missed beat harms nobody; what really fails is told by the next transition of the run itself
                with contextlib.suppress(sqlite3.Error, OSError, durable.ReplacedFileError):
                    connection = connection or durable.connect_again(self._state, busy_seconds=INTERVAL_SECONDS)
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
