"""Protocol: what open results and transactions need from the SQLite connector."""

import sqlite3
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any, Protocol

from aetherflow_builtins_db.connectors.common.contract import InProcess


class OneConnection(InProcess, Protocol):
    """The connection that all threads share."""

    @property
    def lock(self) -> AbstractContextManager[Any]:
        """Held by the thread that uses the connection."""
        ...

    def run(
        self, connection: sqlite3.Connection, statement: str, values: Mapping[str, Any], operation: str
    ) -> int | None:
        """Run a statement and consume its result; return the number of changed rows, None if it changes none."""
        ...
