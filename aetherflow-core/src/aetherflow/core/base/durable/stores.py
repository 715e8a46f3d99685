"""What a store asks of its database, SQLite's or a server's, and the transaction in which all of it is changed.

Statements are written in the SQL that SQLite and PostgreSQL understand alike, with `?` for values: `INSERT ... ON
CONFLICT (columns) DO ...`, `RETURNING`, `CASE`; no truth of numbers, no `IS` between values. What the two do
differently has a method here.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol, Self, TypeVar

from aetherflow.core.base.durable.failpoint import hit
from aetherflow.core.base.engine_files import engine_folder
from aetherflow.core.base.errors import StateError

T = TypeVar("T")
Values = Sequence[Any] | Mapping[str, Any]


class StoreConflictError(OSError):
    """The server has undone a transaction, and others have changed rows that it had read: it can begin again."""


class StoreRows(Protocol):
    """What a statement has found or changed."""

    @property
    def rowcount(self) -> int:
        """How many rows it has changed."""
        ...

    def fetchone(self) -> Any:
        """The next row, a tuple; None at the end."""
        ...

    def fetchall(self) -> list[Any]:
        """All rows that are left."""
        ...

    def __iter__(self) -> Iterator[Any]: ...


class Database(Protocol):
    """A connection to the database of one store.

    Its errors are sqlite3.Error or OSError: StoreConflictError where the transaction can begin again.
    """

    row_lock: str
    """Ends a SELECT whose row must stay what it is until the transaction ends; empty where one writes at a time."""

    clock: str
    """The expression for the clock that all who use the database share, in UTC epoch milliseconds."""

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open."""
        ...

    def execute(self, statement: str, values: Values = ..., /) -> StoreRows:
        """Execute one statement; outside of a transaction only what may be done twice: an answer may be lost."""
        ...

    def executemany(self, statement: str, values: Iterable[Values], /) -> StoreRows:
        """Execute one statement for each of the values."""
        ...

    def attempt(self, statement: str, values: Values) -> bool:
        """Execute an INSERT; False if a unique index refuses the row, and the transaction goes on without it."""
        ...

    def await_turn(self, name: str) -> None:
        """In a transaction: wait until no other one that has given this name is open."""
        ...

    def begin(self) -> None:
        """Begin a transaction that will write; an error, which changes nothing, if one is open."""
        ...

    def commit(self) -> None:
        """Commit; what returns is durable."""
        ...

    def committed(self) -> None:
        """Raise if others do not see what was committed just now."""
        ...

    def rollback(self) -> None:
        """Undo all that the open transaction has done so far."""
        ...

    def require(self) -> None:
        """Raise if this is not the database any more that was opened."""
        ...

    def again(self, *, busy_seconds: float) -> Self:
        """Another connection to the same database; it makes none."""
        ...

    def wait_for_others(self, seconds: float) -> None:
        """Set how long a statement waits for a lock of others, and for the server."""
        ...

    def relax(self) -> None:
        """Let what is committed from now on survive this process, but not always a power cut."""
        ...

    def now_ms(self) -> int:
        """The same clock, as this process knows it without asking: for times that are shown, not for leases."""
        ...

    def tables(self) -> set[str]:
        """The names of what is in it; empty in a new one."""
        ...

    def schema_version(self) -> int:
        """The version of its tables; 0 in a new one."""
        ...

    def set_schema_version(self, version: int) -> None:
        """Note the version of the tables."""
        ...

    @property
    def total_changes(self) -> int:
        """What is more after each change by this connection."""
        ...

    def changes(self) -> object:
        """What is another one after each commit of others."""
        ...

    def size(self) -> int:
        """How many bytes its tables and indexes take."""
        ...

    def close(self) -> None:
        """Close the connection; what is not committed is undone."""
        ...


class StoreServer(Protocol):
    """A database server with a schema for each store: `state`, `locks`, `registry`, and one for each ledger."""

    name: str
    """`//BACKEND:RESOURCE`, the same on every host: what stands where else the path of a file or a state root does.

    `//BACKEND:RESOURCE/NAME` is one of the ledgers of schedules in it.
    """
    folder: Path
    """What stands beside a file, for the processes of this host: locks, alive files, logs."""
    error: type[OSError]
    """The class of the errors that its connections raise."""

    def database(self, store: str, *, busy_seconds: float, reading: bool = False) -> Database:
        """A connection to the schema of a store. OSError; FileNotFoundError if there is none, for `reading`.

        It creates the schema, unless it is for `reading`: then a transaction is one view of it, and changes nothing;
        FileNotFoundError where there is none.
        """
        ...

    def stores(self) -> list[str]:
        """The names of the stores that are there. OSError."""
        ...


class _NamedLedger:
    """One of the ledgers in a server, as a server of its own; its store is `ledger_NAME`."""

    def __init__(self, server: StoreServer, name: str) -> None:
        self._server, self._name = server, name
        self.name, self.folder, self.error = f"{server.name}/{name}", server.folder / name, server.error

    def database(self, store: str, *, busy_seconds: float, reading: bool = False) -> Database:
        if store != "ledger":
            raise self.error(f"it is a ledger, and no {store}")
        return self._server.database(f"ledger_{self._name}", busy_seconds=busy_seconds, reading=reading)

    def stores(self) -> list[str]:
        return ["ledger"] if f"ledger_{self._name}" in self._server.stores() else []


servers: dict[str, StoreServer] = {}
"""To which server the paths of a name lead, in this process."""


def in_server(path: Path | str) -> bool:
    """Whether a path names a server, known to this process or not, or a ledger in one."""
    server, _, store = str(path).removeprefix("//").partition("/")
    return str(path).startswith("//") and ":" in server and "/" not in store  # POSIX leaves `//` to the implementation


def server_at(path: Path) -> StoreServer | None:
    """The server that a path names; None for a file. StateError for one that this process does not know."""
    name = str(path)
    if not in_server(name):
        return None
    if (server := servers.get(name)) is None:
        parent, _, store = name.rpartition("/")
        if parent in servers:
            return _NamedLedger(servers[parent], store)
        fix = "call the command with the project file that has the resource"
        raise StateError(f"{name} is a database that nothing here says how to reach", fix=fix)
    return server


def engine_store(root: Path, name: str) -> Path:
    """The engine's file of this name under a state root; a server that is named as the root keeps its stores itself."""
    return engine_folder(root) / name if server_at(root) is None else root


def local_root(root: Path) -> Path:
    """The folder of this host for a state root, which may name a server."""
    server = server_at(root)
    return root if server is None else server.folder


def is_there(path: Path) -> bool:
    """Whether there is such a store; one in a server is, and what may not be looked at: its use says why."""
    try:
        return server_at(path) is not None or path.exists()
    except PermissionError:
        return True


class transaction:  # noqa: N801 a block, like those of `contextlib`; a generator costs three times as much, per step
    """One transaction that commits at the end, or rolls back on any exception.

    Raises ReplacedFileError if the file of the connection was removed or replaced, before or during the transaction.
    """

    __slots__ = ("_database", "_name")

    def __init__(self, database: Database, name: str) -> None:
        self._database = database
        self._name = name

    def __enter__(self) -> None:
        hit(f"begin {self._name}")
        self._database.begin()

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        database = self._database
        try:
            if kind is None:
                hit(f"commit {self._name}")
                database.commit()
        finally:
            if database.in_transaction:
                database.rollback()
        if kind is None:
            hit(f"committed {self._name}")
            database.committed()


def write(database: Database, name: str, work: Callable[[], T]) -> T:
    """Return the result of `work`, which runs in one transaction, again after each StoreConflictError.

    Raises what `transaction` and `work` raise.
    """
    while True:  # a conflict has let the transaction of another one through
        with suppress(StoreConflictError), transaction(database, name):
            return work()


def execute_all(database: Database, statements: str, version: int) -> None:
    """Execute statements separated by `;` (none may contain one) and note the version of the schema."""
    for statement in statements.split(";"):
        database.execute(statement)
    database.set_schema_version(version)
