"""The transaction of connectors that have a pool."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from typing import Any, TypeVar

from aetherflow.core.api import ConnectorError, Row
from aetherflow_builtins_db.connectors.common.contract import Statements
from aetherflow_builtins_db.connectors.common.progress import Progress
from aetherflow_builtins_db.contract import Params
from aetherflow_builtins_db.statements import changes_rows

_PART_ROWS = 10_000
_Item = TypeVar("_Item")


def _parts(rows: Iterable[_Item]) -> Iterator[list[_Item]]:
    """Split the rows into lists for the driver: all rows at once may not fit in memory."""
    left = iter(rows)
    while some := list(islice(left, _PART_ROWS)):
        yield some


class PooledTransaction:
    """Implements `contract.Transaction` on a pooled connection."""

    def __init__(self, connector: Statements, connection: Any, progress: Progress) -> None:
        self._connector = connector
        self.raw = connection
        self.progress = progress

    def execute(self, sql: str, params: Params = None) -> int | None:
        text, names = self._connector.markers(sql)
        with self._connector.mapped("statement", self.progress):
            count = self._connector.run(self.raw, text, self._connector.bound(names, params))
            self._connector.restart_transaction(self.raw, sql)
        return count if changes_rows(sql, self._connector.dialect.lexis) else None

    def executemany(self, sql: str, rows: Iterable[Mapping[str, Any]]) -> int:
        """Run one statement for every map of values; return the number of changed rows."""
        text, _names = self._connector.markers(sql)
        count = 0
        for some in _parts(rows):
            with self._connector.mapped("statement", self.progress):
                count += self._connector.run_many(self.raw, text, some)
            self.progress.rows += len(some)
        return count

    def read(self, sql: str, params: Params = None) -> tuple[list[str], list[Row]]:
        """Column names and all rows of a query."""
        text, names = self._connector.markers(sql)
        with self._connector.mapped("query", self.progress):
            return self._connector.fetch(self.raw, text, self._connector.bound(names, params))

    def failed(self, operation: str, error: BaseException) -> ConnectorError:
        """Convert a driver's error; the message includes the progress so far."""
        return self._connector.failed(operation, error, str(self.progress))

    @contextmanager
    def limited(self) -> Iterator[None]:
        """Do nothing: the server itself enforces `statement_timeout`."""
        yield
