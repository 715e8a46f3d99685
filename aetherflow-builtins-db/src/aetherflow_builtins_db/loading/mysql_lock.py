"""Locks with a name on MySQL and MariaDB: no lock of a table is part of a transaction there."""

from collections.abc import Callable, Mapping
from typing import Any

from aetherflow.core.api import StepError
from aetherflow_builtins_db.contract import Transaction
from aetherflow_builtins_db.loading.table import Table

_SILENT_SECONDS, _LOCK_SECONDS = 1, 3600
_MERGE = "CONCAT('aetherflow ', MD5(LOWER(CONCAT(COALESCE(:schema, DATABASE()), '.', :table))))"


def take_lock(tx: Transaction, name: str, values: Mapping[str, Any], on_wait: Callable[[], None]) -> bool:
    """Take the lock whose name this SQL is; whether it was free in time. It goes with the connection.

    :param on_wait: is called when somebody has it and the long wait begins
    """
    for seconds in (_SILENT_SECONDS, _LOCK_SECONDS):
        ((got,),) = tx.read(f"SELECT GET_LOCK({name}, :seconds)", {**values, "seconds": seconds})[1]
        if got:
            return True
        if seconds == _SILENT_SECONDS:
            on_wait()
    return False


def wait_for_merges(tx: Transaction, table: Table, say: Callable[[str], None]) -> None:
    """Take the lock that all merges into the table take; the connection is not used again.

    Before the transaction has read anything: what it then sees is what the merges before have left. Row locks do not do
    that, for there may be no row yet.
    """
    values = {"schema": table.schema, "table": table.name}
    if not take_lock(tx, _MERGE, values, lambda: say(f"waiting for another merge into {table.sql}")):
        raise StepError(f"another process is merging into {table.sql}", fix="run it again when that one has ended")
