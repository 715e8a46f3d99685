"""Protocols: what open results and transactions need from their connector."""

from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from typing import Any, Protocol

from aetherflow.core.api import ConnectorError, Row, SqlDialect
from aetherflow_builtins_db.connectors.common.progress import Progress
from aetherflow_builtins_db.connectors.common.time_limit import TimeLimit
from aetherflow_builtins_db.contract import Params


class ErrorMapping(Protocol):
    """Converts a driver's errors to ConnectorError."""

    def mapped(self, operation: str, progress: Progress | None = None) -> AbstractContextManager[None]:
        """Convert the driver's errors inside the block; the message includes the progress so far."""
        ...

    def failed(self, operation: str, error: BaseException, detail: str = "") -> ConnectorError: ...
    def refuse(self, message: str, fix: str = "") -> ConnectorError: ...


class Connections(ErrorMapping, Protocol):
    """The connections to a server."""

    def give_back(self, connection: Any) -> None:
        """Roll back the connection's open transaction and return it to the pool."""
        ...

    def discard(self, connection: Any) -> None: ...
    def cancel(self, connection: Any) -> None:
        """Ask the server to cancel the statement that runs on the connection."""
        ...


class Statements(ErrorMapping, Protocol):
    """Runs statements on one connection."""

    dialect: SqlDialect

    def markers(self, sql: str) -> tuple[Any, list[str]]:
        """The SQL with the driver's parameter markers, for `run`, and the names of its parameters."""
        ...

    def bound(self, names: list[str], params: Params) -> dict[str, Any]: ...
    def run(self, connection: Any, sql: Any, values: Mapping[str, Any]) -> int | None:
        """Run a statement and consume its result; return the driver's row count."""
        ...

    def run_many(self, connection: Any, sql: Any, rows: Iterable[Mapping[str, Any]]) -> int: ...
    def fetch(self, connection: Any, sql: Any, values: Mapping[str, Any]) -> tuple[list[str], list[Row]]: ...
    def restart_transaction(self, connection: Any, sql: str) -> None:
        """Start a new transaction if this statement implicitly committed the one it ran in."""
        ...


class InProcess(ErrorMapping, Protocol):
    """A database engine that runs inside this process."""

    @property
    def limit(self) -> TimeLimit: ...
