"""The transaction of DuckDB connectors."""

from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from aetherflow.core.api import ConnectorError, Row
from aetherflow_builtins_db.connectors.duckdb.contract import Sessions
from aetherflow_builtins_db.contract import Params
from aetherflow_builtins_db.params import translate

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection, Statement

_CHANGES_ROWS = frozenset({"INSERT", "UPDATE", "DELETE", "MERGE_INTO", "COPY", "CREATE"})


class DuckDBTransaction:
    """Implements `contract.Transaction` in its own session."""

    def __init__(self, connector: Sessions, session: "DuckDBPyConnection") -> None:
        self._connector = connector
        self.raw = session

    def execute(self, sql: str, params: Params = None) -> int | None:
        statement, values = self._connector.parse_one(self.raw, sql, params)
        with self._connector.mapped("statement"), self.limited():
            return run(self.raw, statement, values)

    def executemany(self, sql: str, rows: Iterable[Mapping[str, Any]]) -> int:
        """Run one statement for every map of values; return the number of changed rows.

        `statement_timeout` applies to all rows together. For many rows, `raw` offers faster ways.
        """
        translated, _names = translate(sql, lambda name: f"${name}", lexis="postgresql")
        changed = 0
        with self._connector.mapped("statement"), self.limited():
            (statement,) = self.raw.extract_statements(translated)
            for row in rows:
                changed += run(self.raw, statement, dict(row)) or 0
        return changed

    def read(self, sql: str, params: Params = None) -> tuple[list[str], list[Row]]:
        """Column names and all rows of a query."""
        statement, values = self._connector.parse_one(self.raw, sql, params)
        with self._connector.mapped("query"), self.limited():
            self.raw.execute(statement, values)
            return [name for name, *_ in self.raw.description or ()], self.raw.fetchall()

    def failed(self, operation: str, error: BaseException) -> ConnectorError:
        """Convert DuckDB's error; raise it `from error`."""
        return self._connector.failed(operation, error)

    def limited(self) -> AbstractContextManager[None]:
        """Apply `statement_timeout` to the block."""
        return self._connector.limit.on(self.raw.interrupt)


def run(session: "DuckDBPyConnection", statement: "Statement", values: dict[str, Any]) -> int | None:
    """Run a statement and consume its result; return the number of changed rows, None if it is no change of rows."""
    wanted = statement.named_parameters
    session.execute(statement, {name: value for name, value in values.items() if name in wanted})
    columns = [name for name, *_ in session.description or ()]
    first, count = None, 0
    while batch := session.fetchmany(10_000):  # DuckDB computes a result only as far as it is fetched
        first = first or batch[0]
        count += len(batch)
    if statement.type.name not in _CHANGES_ROWS:
        return None
    if columns == ["Count"]:
        return None if first is None else int(first[0])
    return count  # RETURNING: the result is the changed rows
