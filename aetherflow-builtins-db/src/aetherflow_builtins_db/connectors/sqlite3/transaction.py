"""The transaction of SQLite connectors."""

import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from typing import Any

from aetherflow.core.api import ConnectorError, Row
from aetherflow_builtins_db.connectors.sqlite3.contract import OneConnection
from aetherflow_builtins_db.connectors.sqlite3.sql import bindable
from aetherflow_builtins_db.contract import Params
from aetherflow_builtins_db.params import bind, translate


class Sqlite3Transaction:
    """Implements `contract.Transaction` on the shared connection, whose lock the connector holds meanwhile."""

    def __init__(self, connector: OneConnection, connection: sqlite3.Connection) -> None:
        self._connector = connector
        self.raw = connection

    def execute(self, sql: str, params: Params = None) -> int | None:
        translated, names = translate(sql, lambda name: f":{name}", lexis="sqlite")
        return self._connector.run(self.raw, translated, bindable(bind(names, params)), "statement")

    def executemany(self, sql: str, rows: Iterable[Mapping[str, Any]]) -> int:
        """Run one statement for every map of values; `statement_timeout` applies to all of them together."""
        translated, _names = translate(sql, lambda name: f":{name}", lexis="sqlite")
        before = self.raw.total_changes
        with self._connector.mapped("statement"):
            self.send(translated, map(bindable, rows))
        return self.raw.total_changes - before

    def send(self, sql: str, rows: Iterable[Any]) -> None:
        """Run one statement for every row of driver values; raises the driver's errors and StatementTimeoutError."""
        with self.limited():
            self.raw.executemany(sql, self._connector.limit.in_time(rows))

    def read(self, sql: str, params: Params = None) -> tuple[list[str], list[Row]]:
        """Column names and all rows of a query."""
        translated, names = translate(sql, lambda name: f":{name}", lexis="sqlite")
        with self._connector.mapped("query"), self.limited():
            cursor = self.raw.execute(translated, bindable(bind(names, params)))
            return [each[0] for each in cursor.description or ()], cursor.fetchall()

    def failed(self, operation: str, error: BaseException) -> ConnectorError:
        """Convert SQLite's error; raise it `from error`."""
        return self._connector.failed(operation, error)

    def limited(self) -> AbstractContextManager[None]:
        """Apply `statement_timeout` to the block."""
        return self._connector.limit.on(self.raw.interrupt)
