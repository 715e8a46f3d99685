"""The transaction that all database servers hand out."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from aetherflow.core.api import ConnectorError
from aetherflow_builtins_db.contract import Params, Row
from aetherflow_builtins_db.statements import changes_rows

if TYPE_CHECKING:
    from aetherflow_builtins_db.connectors.server import ServerBase


class ServerTransaction:
    """See `contract.Transaction`."""

    def __init__(self, connector: "ServerBase[Any, Any]", connection: Any) -> None:
        self._connector = connector
        self.raw = connection

    def execute(self, sql: str, params: Params = None) -> int | None:
        """Run one statement."""
        text, names = self._connector.markers(sql)
        with self._connector.mapped("statement"):
            count = self._connector.run(self.raw, text, self._connector.bound(names, params))
        return count if changes_rows(sql) else None

    def executemany(self, sql: str, rows: Iterable[Mapping[str, Any]]) -> int:
        """Run one statement for every map of values."""
        text, _names = self._connector.markers(sql)
        with self._connector.mapped("statement"):
            return self._connector.run_many(self.raw, text, rows)

    def read(self, sql: str, params: Params = None) -> tuple[list[str], list[Row]]:
        """Names of the columns and all rows of a query."""
        text, names = self._connector.markers(sql)
        with self._connector.mapped("query"):
            return self._connector.fetch(self.raw, text, self._connector.bound(names, params))

    def failed(self, operation: str, error: BaseException) -> ConnectorError:
        """The driver's error in our words."""
        return self._connector.failed(operation, error)
