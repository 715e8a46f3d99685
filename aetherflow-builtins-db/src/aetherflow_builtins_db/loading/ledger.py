"""The table `aetherflow_loads`, which records finished loads in the transaction of the load itself.

A step that died after the database's commit and before the run recorded its success finds its load there.
"""

import datetime
import hashlib
from dataclasses import dataclass

from aetherflow.core.api import ConnectorError, SqlTransaction, StepError
from aetherflow_builtins_db.database import Database

TABLE = "aetherflow_loads"
MAX_ID = 600
"""Characters of a load id that are stored for people to read; the key is a hash of the whole id."""

_TYPES = {
    "load_key": "CHAR(64) NOT NULL PRIMARY KEY",
    "load_id": "VARCHAR(600) NOT NULL",
    "table_name": "VARCHAR(400) NOT NULL",
    "content": "CHAR(64) NOT NULL",
    "row_count": "DECIMAL(18, 0) NOT NULL",
    "rejected": "DECIMAL(18, 0) NOT NULL",
    "run_id": "VARCHAR(128) NOT NULL",
    "loaded_at": "VARCHAR(32) NOT NULL",
}


@dataclass(frozen=True, slots=True)
class Loaded:
    """A recorded load; `content` is the SHA-256 of its file."""

    content: str
    rows: int
    rejected: int
    run_id: str
    loaded_at: str

    def refuse_unfinished(self, what: str) -> None:
        """StepError for a load that began and did not end: only databases without transactions show such."""
        if not self.content:
            raise StepError(
                f"{what} was begun by run {self.run_id} and not finished; how far it came nobody knows, and this "
                "connector has no transaction that would have undone it",
                fix=f"look at the data and correct it, then delete the entry of run {self.run_id} from {TABLE}; a load "
                "with load_id_column deletes its own rows first",
            )


class LoadLedger:
    """The entry of one load id."""

    def __init__(self, database: Database, load_id: str, table: str) -> None:
        self._database = database
        self._table = database.quote(TABLE) if database.dialect.name != "oracle" else TABLE
        # Without quotes where tables of 1.0 have them so; elsewhere ROW_COUNT may be a word of the language.
        quoted = database.dialect.paramstyle != "flow"
        self._names = {name: database.quote(name) if quoted else name for name in _TYPES}
        self._id = load_id
        self._key = hashlib.sha256(f"{load_id}\0{table}".encode()).hexdigest()
        self._target = table

    def create(self) -> None:
        """Create the table if it is missing; StepError if that fails. Call it before the load: DDL may commit."""
        if self._exists():
            return
        try:
            columns = ", ".join(f"{self._names[name]} {kind}" for name, kind in _TYPES.items())
            self._database.script(f"CREATE TABLE {self._table} ({columns})")
        except ConnectorError as error:
            if not self._exists():  # else another process was faster
                raise StepError(
                    f"the table {TABLE}, which keeps a repeated load from doubling rows, cannot be made: {error}",
                    fix="let this user create it, or name a column for the load's id: load_id_column",
                ) from error

    def _listed(self, *names: str) -> str:
        return ", ".join(self._names[name] for name in names)

    def _exists(self) -> bool:
        try:
            self._database.read(f"SELECT {self._names['load_key']} FROM {self._table} WHERE 1 = 0")
        except ConnectorError:
            return False
        return True

    def find(self, tx: SqlTransaction) -> Loaded | None:
        """The recorded load of this id; None if there is none."""
        listed = self._listed("content", "row_count", "rejected", "run_id", "loaded_at")
        rows = tx.read(f"SELECT {listed} FROM {self._table} WHERE {self._names['load_key']} = :k", {"k": self._key})[1]
        if not rows:
            return None
        content, count, rejected, run_id, loaded_at = rows[0]
        return Loaded(str(content).strip(), int(count), int(rejected), str(run_id), str(loaded_at))

    def forget(self, tx: SqlTransaction) -> None:
        """Delete the entry: the table that was loaded is gone."""
        tx.execute(f"DELETE FROM {self._table} WHERE {self._names['load_key']} = :k", {"k": self._key})

    def claim(self, tx: SqlTransaction, run_id: str) -> None:
        """Insert the entry before the rows: a second process with the same id waits here and then gets an error."""
        tx.execute(
            f"INSERT INTO {self._table} ({self._listed(*_TYPES)}) VALUES (:k, :i, :t, '', 0, 0, :r, '')",
            {"k": self._key, "i": self._id[:MAX_ID], "t": self._target[:400], "r": run_id},
        )

    def complete(self, tx: SqlTransaction, content: str, rows: int, rejected: int) -> None:
        names = self._names
        tx.execute(
            f"UPDATE {self._table} SET {names['content']} = :c, {names['row_count']} = :n, {names['rejected']} = :j, "
            f"{names['loaded_at']} = :w WHERE {names['load_key']} = :k",
            {
                "c": content,
                "n": rows,
                "j": rejected,
                "w": datetime.datetime.now(datetime.UTC).isoformat(" ", "seconds"),
                "k": self._key,
            },
        )
