"""Open results: the base class, and results that a driver's cursor reads."""

from collections.abc import Iterator
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

from aetherflow.core.api import Column, Row
from aetherflow_builtins_db.columns import UNKNOWN
from aetherflow_builtins_db.connectors.common.contract import Connections
from aetherflow_builtins_db.connectors.common.progress import Progress


class OpenRows:
    """An open result. Subclasses fetch the rows and release the connection."""

    def __init__(self, columns: list[Column]) -> None:
        self.columns = columns
        self.exact = all(column.type != UNKNOWN for column in columns)
        self.progress = Progress()

    def batches(self) -> Iterator[list[Row]]:
        """The rows in lists of at most `fetch_size`; call it once."""
        raise NotImplementedError

    def close(self) -> None:
        """Release the result; more calls have no effect."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class CursorRows(OpenRows):
    """The rows of a driver's cursor, fetched on demand. Closing rolls back the query's transaction."""

    def __init__(
        self, connector: Connections, connection: Any, cursor: Any, columns: list[Column], fetch_size: int
    ) -> None:
        super().__init__(columns)
        self._connector, self._connection, self._cursor, self._fetch_size = connector, connection, cursor, fetch_size

    def batches(self) -> Iterator[list[Row]]:
        """The rows in lists of at most `fetch_size`."""
        while True:
            with self._connector.mapped("fetching rows", self.progress):
                batch = self._cursor.fetchmany(self._fetch_size)
            if not batch:
                return
            self.progress.rows += len(batch)
            yield batch

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(Exception):  # the connection may be lost; give_back detects that
                self._cursor.close()
            self._connector.give_back(connection)
