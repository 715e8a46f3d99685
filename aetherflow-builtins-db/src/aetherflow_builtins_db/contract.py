"""What the connectors of this package have beyond the published contract; only their own loaders use it."""

from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from typing import Any, Protocol, TypeAlias, runtime_checkable

from aetherflow.core.api import ConnectorError, SqlTransaction

Params: TypeAlias = Mapping[str, Any] | None
"""Values of the `:name` markers of a query."""


class Transaction(SqlTransaction, Protocol):
    """A transaction whose connection a loader may use."""

    @property
    def raw(self) -> Any:
        """The driver's own connection with the open transaction, for COPY, LOAD DATA and the like."""
        ...

    def failed(self, operation: str, error: BaseException) -> ConnectorError:
        """Convert a driver's error from work on `raw`; raise it `from error`."""
        ...

    def limited(self) -> AbstractContextManager[None]:
        """Apply `statement_timeout` to a block of work on `raw`, if the database itself has no such limit."""
        ...


@runtime_checkable
class CopyTransaction(Protocol):
    """A transaction that loads rows from a stream of bytes: PostgreSQL's COPY … FROM STDIN."""

    def copy_in(self, sql: str, blocks: Iterable[bytes]) -> int:
        """Run a COPY statement with these bytes; return the number of copied rows."""
        ...
