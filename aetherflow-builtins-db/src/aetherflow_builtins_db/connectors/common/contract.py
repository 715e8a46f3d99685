"""What open results and transactions need of the connector that made them."""

from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from typing import Any, Protocol

from aetherflow.core.api import ConnectorError
from aetherflow_builtins_db.connectors.common.progress import Progress
from aetherflow_builtins_db.connectors.common.time_limit import TimeLimit
from aetherflow_builtins_db.contract import Params, Row


class ErrorMapping(Protocol):
    """Tells a driver's errors in our words."""

    def mapped(self, operation: str, progress: Progress | None = None) -> AbstractContextManager[None]:
        """The driver's errors inside the block become ConnectorError, with the progress made before."""
        ...

    def failed(self, operation: str, error: BaseException, detail: str = "") -> ConnectorError: ...
    def refuse(self, message: str, fix: str = "") -> ConnectorError: ...


class Connections(ErrorMapping, Protocol):
    """The connections to a server."""

    def give_back(self, connection: Any) -> None:
        """Take a connection back; what is open in its transaction is undone."""
        ...

    def discard(self, connection: Any) -> None: ...
    def cancel(self, connection: Any) -> None:
        """Ask the server to stop what runs on the connection."""
        ...


class Statements(ErrorMapping, Protocol):
    """Runs statements on one connection."""

    def markers(self, sql: str) -> tuple[Any, list[str]]:
        """The SQL as `run` takes it, and the names of its parameters."""
        ...

    def bound(self, names: list[str], params: Params) -> dict[str, Any]: ...
    def run(self, connection: Any, sql: Any, values: Mapping[str, Any]) -> int | None:
        """Run a statement to its end; the number of rows that it changed as the driver counts."""
        ...

    def run_many(self, connection: Any, sql: Any, rows: Iterable[Mapping[str, Any]]) -> int: ...
    def fetch(self, connection: Any, sql: Any, values: Mapping[str, Any]) -> tuple[list[str], list[Row]]: ...
    def restart_transaction(self, connection: Any, sql: str) -> None:
        """Start a transaction again if this statement has ended the one that it was in."""
        ...


class InProcess(ErrorMapping, Protocol):
    """A database that works in this process."""

    @property
    def limit(self) -> TimeLimit: ...
