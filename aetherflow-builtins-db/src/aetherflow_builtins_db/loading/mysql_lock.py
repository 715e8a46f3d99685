"""One merge at a time on MySQL and MariaDB: no lock of a table is part of a transaction there."""

from aetherflow.core.api import StepError
from aetherflow_builtins_db.contract import Transaction
from aetherflow_builtins_db.loading.table import Table

LOCK_SECONDS = 3600
_LOCK = (
    "SELECT GET_LOCK(CONCAT('aetherflow ', MD5(LOWER(CONCAT(COALESCE(:schema, DATABASE()), '.', :table)))), :seconds)"
)


def wait_for_merges(tx: Transaction, table: Table) -> None:
    """Take the lock that all merges into the table take. It goes with the connection, which is not used again.

    Before the transaction has read anything: what it then sees is what the merges before have left. Row locks do not do
    that, for there may be no row yet.
    """
    ((got,),) = tx.read(_LOCK, {"schema": table.schema, "table": table.name, "seconds": LOCK_SECONDS})[1]
    if not got:
        raise StepError(f"another process is merging into {table.sql}", fix="run it again when that one has ended")
