"""Named locks (GET_LOCK) of MySQL and MariaDB, which have no table locks inside a transaction."""

from collections.abc import Callable, Mapping
from typing import Any

from aetherflow.core.api import SqlTable, SqlTransaction, StepError

_SILENT_SECONDS, _LOCK_SECONDS = 1, 3600
_MERGE = "CONCAT('aetherflow ', MD5(LOWER(CONCAT(COALESCE(:schema, DATABASE()), '.', :table))))"


def take_lock(tx: SqlTransaction, name: str, values: Mapping[str, Any], on_wait: Callable[[], None]) -> bool:
    """Take the named lock; return whether it became free within an hour. It is released with the connection.

    :param name: an SQL expression for the lock's name
    :param on_wait: called when another session has the lock and the long wait begins
    """
    for seconds in (_SILENT_SECONDS, _LOCK_SECONDS):
        ((got,),) = tx.read(f"SELECT GET_LOCK({name}, :seconds)", {**values, "seconds": seconds})[1]
        if got:
            return True
        if seconds == _SILENT_SECONDS:
            on_wait()
    return False


def wait_for_merges(tx: SqlTransaction, table: SqlTable, say: Callable[[str], None]) -> None:
    """Take the named lock of all merges into the table; it is held until the connection is closed.

    Call it before the transaction has read anything, so that its snapshot contains the earlier merges. Row locks are
    not enough: a row may not exist yet. StepError if another merge takes longer than an hour.
    """
    values = {"schema": table.schema, "table": table.name}
    if not take_lock(tx, _MERGE, values, lambda: say(f"waiting for another merge into {table.sql}")):
        raise StepError(f"another process is merging into {table.sql}", fix="run it again when that one has ended")
