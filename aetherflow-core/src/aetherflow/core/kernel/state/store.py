"""The state file of a flow."""

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path

from aetherflow.core.base import durable
from aetherflow.core.base.said import read_reason
from aetherflow.core.kernel.state.blobs import Blobs, FileBlobs, TableBlobs
from aetherflow.core.kernel.state.records import Frozen, RunRecord
from aetherflow.core.kernel.state.schema import OF_SERVERS, SCHEMA_VERSION, TABLES
from aetherflow.core.kernel.state.transitions import Status
from aetherflow.core.kernel.state.unusable import require_schema, schema_of, unreadable

BUSY_SECONDS = 30.0


def create_schema(connection: durable.Database, path: Path, tables: tuple[durable.Table, ...]) -> bool:
    """Create the tables in a new state and accept one of this version; False: nothing was migrated.

    Raises StateError for a state of another version, and for a database that is not ours.
    """
    if schema_of(connection, path):
        require_schema(connection, path, SCHEMA_VERSION)
        return False
    with durable.transaction(connection, "create schema"):
        connection.await_turn("schema")
        if schema_of(connection, path) != SCHEMA_VERSION:  # no other process was first
            durable.execute_all(connection, durable.statements_of(*tables), SCHEMA_VERSION)
    return False


class StateStore:
    """One state: a file, which is created with its folder if it is missing, or a schema of a server.

    Raises StateError if it cannot be opened, or was made by another program or a newer engine.
    """

    def __init__(
        self,
        path: Path,
        *,
        connection: durable.Database | None = None,
        prepare: Callable[[durable.Database, Path, tuple[durable.Table, ...]], bool] = create_schema,
    ) -> None:
        """`connection` is an open connection to the file that is used instead, only for reading.

        `prepare` makes the tables, and returns whether the state was of an older version before.
        """
        self.path = path
        self.side = durable.side_folder(path)
        """Folder beside the state: run locks, logs, large outputs."""
        self.migrated = False
        """Whether the file was of an older version before."""
        server = self.server = durable.server_at(path)
        self.errors: type[Exception] = sqlite3.Error if server is None else server.error
        """The class of the errors that its connection raises."""
        if connection is not None:
            self.connection = connection
            return
        try:
            self.connection = durable.open_store(path, "state", busy_seconds=BUSY_SECONDS)
            try:
                self.migrated = prepare(self.connection, path, TABLES if server is None else TABLES + OF_SERVERS)
            except BaseException:
                self.connection.close()
                raise
        except (sqlite3.Error, OSError) as error:
            raise unreadable(path, error) from error

    def blobs(self, flow_id: str, run_id: str) -> Blobs:
        """The large outputs of one of its runs."""
        run = f"{flow_id}/{run_id}"
        return FileBlobs(self.side / "blobs", run) if self.server is None else TableBlobs(self.connection, run)

    def close(self) -> None:
        """Close the connection; run locks stay held."""
        self.connection.close()

    def find_run(self, flow_id: str, run_id: str) -> RunRecord | None:
        """The record of a run; None if it is not known."""
        row = self.connection.execute(
            "SELECT run_id, status, reason_code, reason, generation, started_at, finished_at, params, slot, run_date, "
            "data_date, part, host FROM runs WHERE flow_id=? AND run_id=?",
            (flow_id, run_id),
        ).fetchone()
        if row is None:
            return None
        run_id, status, code, reason, generation, started, finished, params, *dates, part, host = row
        frozen = Frozen(json.loads(params), *dates)
        why, jobs = read_reason(code, reason), tuple(json.loads(part or "[]"))
        return RunRecord(run_id, Status(status), why, generation, started, finished, frozen, jobs, host)
