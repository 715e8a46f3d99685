"""What open results and transactions need of the DuckDB connector."""

from typing import TYPE_CHECKING, Any, Protocol

from aetherflow_builtins_db.connectors.common.contract import InProcess
from aetherflow_builtins_db.contract import Params

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection, Statement


class Sessions(InProcess, Protocol):
    """Sessions on one database, each with a state and a transaction of its own."""

    @property
    def root(self) -> "DuckDBPyConnection | None":
        """The connection that all sessions share, while it is open."""
        ...

    def open_query(self, sql: str, params: Params) -> "tuple[DuckDBPyConnection, Statement, dict[str, Any]]":
        """A session in a read-only transaction, the one statement of the SQL, and its values."""
        ...

    def close_session(self, session: "DuckDBPyConnection") -> None:
        """Undo what the session left open and close it; twice is fine."""
        ...

    def parse_one(self, session: "DuckDBPyConnection", sql: str, params: Params) -> "tuple[Statement, dict[str, Any]]":
        """The one statement of the SQL, and its values."""
        ...
