"""The connector `db.firebird`: the primitives of `SqlConnector` over the driver of Firebird, and nothing else."""

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import Field, SecretStr

from aetherflow.core.api import (
    Arguments,
    Column,
    ColumnType,
    ConnectorConfig,
    ConnectorError,
    ConnectorInit,
    ConnectorOptions,
    Holds,
    PlainText,
    Row,
    SqlConnector,
    SqlDialect,
)

if TYPE_CHECKING:
    from firebird.driver import Connection  # type: ignore[import-untyped]

CANCELLED, NO_TABLE = 335544794, 335544580
_KINDS: dict[str, ColumnType] = {
    "bool": ColumnType("bool"), "int": ColumnType("int"), "float": ColumnType("float"), "str": ColumnType("string"),
    "date": ColumnType("date"), "datetime": ColumnType("datetime"), "time": ColumnType("time"),
}  # fmt: skip


def _holds(database: Any, _resource: Mapping[str, Any]) -> Iterator[tuple[str, Any, Holds]]:
    yield "", database, Holds.HOST if ":" in str(database) else Holds.WRITES


class Config(ConnectorConfig):
    """Where the database is."""

    database: Annotated[str, Arguments(_holds)] = Field(
        min_length=1, description="A file, which is created if it is missing, or `host:path` of a server."
    )
    user: PlainText = Field("sysdba", description="The user.")
    password: SecretStr | None = Field(None, description="The password, for a server.")


class Options(ConnectorOptions):
    """How the database is used."""

    lock_seconds: int = Field(10, ge=0, description="Seconds to wait for another transaction's lock.")


class Firebird(SqlConnector[Config, Options]):
    """A Firebird database: a file that this process opens by the embedded engine, or one on a server.

    Every call has a connection and a transaction of its own; that of a query only reads.

        resources:
          shop:
            kind: db
            driver: firebird
            config: {database: shop.fdb}
    """

    requires = ("firebird",)
    dialect = SqlDialect("firebird", "qmark")

    def __init__(self, init: ConnectorInit) -> None:
        super().__init__(init)
        self._lock = threading.Lock()
        self._open: dict[int, Connection] = {}

    # Connections

    @property
    def _place(self) -> str:
        name = self.conf.database
        if ":" in name or self.ctx is None:
            return name
        return self.ctx.database_path(name)

    def _connect(self) -> "tuple[int, Connection]":
        from firebird.driver import connect, create_database

        password = self.conf.password.get_secret_value() if self.conf.password else None
        place = self._place
        with self._lock, self.telling("connecting"):
            if ":" not in place and not Path(place).exists():
                Path(place).parent.mkdir(parents=True, exist_ok=True)
                create_database(place, user=self.conf.user, password=password, charset="UTF8").close()
            made = connect(place, user=self.conf.user, password=password, charset="UTF8")
            cursor = made.cursor()
            cursor.execute("SELECT current_connection FROM rdb$database")
            (number,) = cursor.fetchone()
            cursor.close()
            made.commit()
            self._open[number] = made
        return number, made

    def _release(self, number: int) -> None:
        with self._lock:
            made = self._open.pop(number, None)
        if made is not None:
            end(made.rollback)  # first: an error of it within `close` would leave statements, and the memory they hold
            end(made.close)

    @contextmanager
    def telling(self, what: str) -> Iterator[None]:
        """Turn errors of the driver into ConnectorErrors."""
        from firebird.driver import Error

        try:
            yield
        except (Error, OSError, TypeError, ValueError, OverflowError) as error:
            codes = getattr(error, "gds_codes", None) or ()
            said = "interrupted" if CANCELLED in codes else " ".join(str(error).split())
            fix = "check config.database and the user" if what == "connecting" else "look at the SQL and its values"
            if NO_TABLE in codes:
                fix = "check the name of the table"
            text = f"resource {self.name} ({self.kind}:{self.driver}): {what} failed: {said}"
            raise ConnectorError(text, fix=fix) from error

    def _begin(self, made: "Connection", *, reads: bool) -> None:
        from firebird.driver import Isolation, TraAccessMode, tpb

        mode = TraAccessMode.READ if reads else TraAccessMode.WRITE
        made.begin(tpb(Isolation.SNAPSHOT, self.opts.lock_seconds, mode))

    # The contract

    @contextmanager
    def transaction(self) -> Iterator["FirebirdTransaction"]:
        """A transaction on a connection of its own."""
        number, made = self._connect()
        try:
            with self.telling("begin"):
                self._begin(made, reads=False)
            yield FirebirdTransaction(self, made)
            with self.telling("commit"):
                made.commit()
        finally:
            self._release(number)

    def stream(self, sql: str, params: Any = None, *, fetch_size: int = 5000) -> "FirebirdRows":
        """Open a query in a transaction that only reads."""
        number, made = self._connect()
        try:
            with self.telling("query"):
                self._begin(made, reads=True)
                cursor = made.cursor()
                cursor.execute(sql, params or ())
            if cursor.description is None:
                text = f"resource {self.name} ({self.kind}:{self.driver}): the statement gives no rows"
                raise ConnectorError(text, fix="use db_execute to change data")
            return FirebirdRows(self, cursor, fetch_size, lambda: self._release(number))
        except BaseException:
            self._release(number)
            raise

    def ping(self) -> bool:
        """Whether a connection can be opened."""
        try:
            number, _ = self._connect()
        except ConnectorError:
            return False
        self._release(number)
        return True

    def interrupt(self) -> None:
        """Cancel all statements of this connector, by a connection of its own."""
        with self._lock:
            numbers = list(self._open)
        if not numbers:
            return
        with suppress(ConnectorError), self.transaction() as tx:
            for number in numbers:
                tx.execute("DELETE FROM mon$statements WHERE mon$attachment_id = ?", (number,))

    def close(self) -> None:
        """Close all connections, also those that a statement still uses."""
        for number in list(self._open):
            self._release(number)


def end(closing: Callable[[], None]) -> None:
    """Close something of a connection that may be gone.

    In a second attempt where the first fails: a cancel that comes late ends the first call after its statement.
    """
    for _ in range(2):
        with suppress(Exception):
            closing()
            return


def column_of(described: Sequence[Any]) -> Column:
    """The column of an entry of `cursor.description`."""
    name, python, _, _, precision, scale, *_ = described
    said = getattr(python, "__name__", "")  # None for INT128, of which sums are
    if said == "Decimal":
        return Column(name, ColumnType("decimal", min(max(precision or 18, 1), 38), abs(scale or 0)))
    return Column(name, _KINDS.get(said, ColumnType("unknown")))


class FirebirdTransaction:
    """One transaction on a connection of its own; the end of its block commits it, or rolls it back."""

    def __init__(self, connector: Firebird, connection: "Connection") -> None:
        self._connector, self._connection = connector, connection

    @contextmanager
    def _cursor(self, what: str) -> Iterator[Any]:
        cursor = self._connection.cursor()
        try:
            with self._connector.telling(what):
                yield cursor
        finally:
            end(cursor.close)

    def execute(self, sql: str, params: Any = None) -> int | None:
        """Run one statement; the number of changed rows, 0 for a statement that changes none."""
        with self._cursor("statement") as cursor:
            cursor.execute(sql, params or ())
            return max(int(cursor.affected_rows), 0)

    def executemany(self, sql: str, rows: Iterable[Any]) -> int:
        """Run one prepared statement for every row."""
        count = 0
        with self._cursor("statement") as cursor:
            prepared = cursor.prepare(sql)
            try:
                for row in rows:
                    cursor.execute(prepared, row)
                    count += max(int(cursor.affected_rows), 0)
            finally:
                end(prepared.free)
        return count

    def read(self, sql: str, params: Any = None) -> tuple[list[str], list[Row]]:
        """All rows of a query."""
        with self._cursor("query") as cursor:
            cursor.execute(sql, params or ())
            return [each[0] for each in cursor.description], [tuple(row) for row in cursor.fetchall()]


class FirebirdRows:
    """The open result of a query."""

    exact = True

    def __init__(self, connector: Firebird, cursor: Any, size: int, release: Callable[[], None]) -> None:
        self._connector, self._cursor, self._size, self._release = connector, cursor, size, release
        self.columns = [column_of(each) for each in cursor.description]

    def batches(self) -> Iterator[list[Row]]:
        """The rows, a list at a time."""
        while True:
            with self._connector.telling("query"):
                batch = [tuple(row) for row in self._cursor.fetchmany(self._size)]
            if not batch:
                return
            yield batch

    def close(self) -> None:
        """End the transaction and the connection."""
        end(self._cursor.close)
        self._release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()
