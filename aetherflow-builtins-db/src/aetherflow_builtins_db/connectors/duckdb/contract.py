"""Protocol: what open results and transactions need from the DuckDB connector."""

from typing import TYPE_CHECKING, Any, Protocol

from aetherflow_builtins_db.connectors.common.contract import InProcess
from aetherflow_builtins_db.contract import Params

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection, Statement


class Sessions(InProcess, Protocol):
    """Sessions on one database; each has its own settings, temporary tables and transaction."""

    @property
    def root(self) -> "DuckDBPyConnection | None":
        """The connection that all sessions share, None if it is not open."""
        ...

    def open_query(self, sql: str, params: Params) -> "tuple[DuckDBPyConnection, Statement, dict[str, Any]]":
        """Open a session with a read-only transaction; return it with the one statement and its values."""
        ...

    def close_session(self, session: "DuckDBPyConnection") -> None:
        """Roll back the session's open transaction and close it; idempotent."""
        ...

    def parse_one(self, session: "DuckDBPyConnection", sql: str, params: Params) -> "tuple[Statement, dict[str, Any]]":
        """Parse SQL that must be one statement; return it and the values of its parameters."""
        ...
