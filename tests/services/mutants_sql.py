"""A stranger's database that is sound, and connectors like it with one fault each."""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any, ClassVar, Self

from aetherflow.core.api import (
    Column,
    ColumnType,
    ConnectorError,
    ConnectorInit,
    Row,
    Rows,
    SqlConnector,
    SqlDialect,
    SqlTransaction,
    TableColumn,
)
from aetherflow.core.testing import SqlSuite
from aetherflow_builtins_db.connectors.sqlite3.connector import Config, Options, Sqlite3Connector

LONG = "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < 5000000) SELECT count(*) FROM r"
"""It takes longer than until the interruption, and ends for a connector that cannot be interrupted."""


class Transaction:
    """The operations of another transaction."""

    def __init__(self, inner: SqlTransaction) -> None:
        self.inner = inner

    def execute(self, sql: str, params: Any = None) -> int | None:
        return self.inner.execute(sql, params)

    def executemany(self, sql: str, rows: Iterable[Any]) -> int:
        return self.inner.executemany(sql, rows)

    def read(self, sql: str, params: Any = None) -> tuple[list[str], list[Row]]:
        return self.inner.read(sql, params)


class Result:
    """The rows of another result."""

    def __init__(self, inner: Rows) -> None:
        self.inner = inner
        self.columns: Sequence[Column] = inner.columns
        self.exact = inner.exact

    def batches(self) -> Iterator[list[Row]]:
        return self.inner.batches()

    def close(self) -> None:
        self.inner.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()


class Lite(SqlConnector[Config, Options]):
    """SQLite with the primitives of the contract and no capability."""

    requires = ("sqlite3",)
    dialect = SqlDialect("sqlite", "flow")
    TRANSACTION: ClassVar[type[Transaction]] = Transaction
    RESULT: ClassVar[type[Result]] = Result

    def __init__(self, init: ConnectorInit) -> None:
        super().__init__(init)
        self.inner = Sqlite3Connector(init)

    @contextmanager
    def transaction(self) -> Iterator[SqlTransaction]:
        with self.inner.transaction() as tx:
            yield self.TRANSACTION(tx)
        self.reset()

    def reset(self) -> None:
        """Undo what the suite changes in the session, which is the same for all calls."""
        with self.inner.transaction() as tx:
            tx.execute("PRAGMA case_sensitive_like = 0")

    def stream(self, sql: str, params: Any = None, *, fetch_size: int = 5000) -> Rows:
        return self.RESULT(self.inner.stream(sql, params, fetch_size=fetch_size))

    def ping(self) -> bool:
        return self.inner.ping()

    def probe(self) -> None:
        self.inner.probe()

    def interrupt(self) -> None:
        self.inner.interrupt()

    def close(self) -> None:
        self.inner.close()


class LiteSuite(SqlSuite):
    endless = LONG
    changed_values: ClassVar = {"t": 1, "d": "2024-02-29", "dec": "0.10", "ts": "2024-02-29 01:02:03.000004"}
    session_changes: ClassVar = [("PRAGMA case_sensitive_like = 1", "SELECT 'a' LIKE 'A' AS same")]

    def config(self, place: Path) -> dict[str, Any]:
        return {"path": "wh.db"}

    def options(self, place: Path) -> dict[str, Any]:
        return {"busy_timeout_seconds": 0.5}

    def unreachable(self, place: Path) -> dict[str, Any]:
        return {"path": "none.db", "read_only": True}


# Mutants


class CommitsOnError(Lite):
    @contextmanager
    def transaction(self) -> Iterator[SqlTransaction]:
        failed: list[BaseException] = []
        with self.inner.transaction() as tx:
            try:
                yield self.TRANSACTION(tx)
            except BaseException as error:  # noqa: BLE001 the fault under test
                failed.append(error)
        if failed:
            raise failed[0]


class CommitsEachStatement(Lite):
    @contextmanager
    def transaction(self) -> Iterator[SqlTransaction]:
        yield _Autocommit(self.inner)


class _Autocommit(Transaction):
    def __init__(self, connector: Sqlite3Connector) -> None:
        self._connector = connector

    def execute(self, sql: str, params: Any = None) -> int | None:
        with self._connector.transaction() as tx:
            return tx.execute(sql, params)

    def executemany(self, sql: str, rows: Iterable[Any]) -> int:
        with self._connector.transaction() as tx:
            return tx.executemany(sql, rows)

    def read(self, sql: str, params: Any = None) -> tuple[list[str], list[Row]]:
        with self._connector.transaction() as tx:
            return tx.read(sql, params)


class ForgetsToCommit(Lite):
    @contextmanager
    def transaction(self) -> Iterator[SqlTransaction]:
        try:
            with self.inner.transaction() as tx:
                yield self.TRANSACTION(tx)
                raise _UndoneError
        except _UndoneError:
            pass


class _UndoneError(Exception):
    pass


class LosesTheLastBatch(Lite):
    class RESULT(Result):
        def batches(self) -> Iterator[list[Row]]:
            last: list[Row] | None = None
            for batch in self.inner.batches():
                if last is not None:
                    yield last
                last = batch


class LosesAPartialBatch(Lite):
    def stream(self, sql: str, params: Any = None, *, fetch_size: int = 5000) -> Rows:
        found = self.inner.stream(sql, params, fetch_size=fetch_size)

        class Whole(Result):
            def batches(self) -> Iterator[list[Row]]:
                first = True
                for batch in self.inner.batches():
                    if first or len(batch) == fetch_size:
                        yield batch
                    first = False

        return Whole(found)


class OneBatchForAll(Lite):
    def stream(self, sql: str, params: Any = None, *, fetch_size: int = 5000) -> Rows:
        return super().stream(sql, params, fetch_size=1_000_000)


class WrongType(Lite):
    class RESULT(Result):
        def __init__(self, inner: Rows) -> None:
            super().__init__(inner)
            self.columns = [Column(each.name, ColumnType("string")) for each in inner.columns]


class NamesOfTheTable(Lite):
    class RESULT(Result):
        def __init__(self, inner: Rows) -> None:
            super().__init__(inner)
            self.columns = [Column(f"t.{each.name}", each.type) for each in inner.columns]


class NoNamesWithoutRows(Lite):
    class RESULT(Result):
        def __init__(self, inner: Rows) -> None:
            super().__init__(inner)
            self._found = list(inner.batches())
            self.columns = inner.columns if self._found else []

        def batches(self) -> Iterator[list[Row]]:
            return iter(self._found)


class NullIsEmpty(Lite):
    class RESULT(Result):
        def batches(self) -> Iterator[list[Row]]:
            for batch in self.inner.batches():
                yield [tuple("" if value is None else value for value in row) for row in batch]


class NumbersAreFloats(Lite):
    class RESULT(Result):
        def batches(self) -> Iterator[list[Row]]:
            for batch in self.inner.batches():
                yield [tuple(float(value) if type(value) is int else value for value in row) for row in batch]


class DecimalsInside(Lite):
    """Values inside of a transaction have another form than those of a query."""

    class TRANSACTION(Transaction):
        def read(self, sql: str, params: Any = None) -> tuple[list[str], list[Row]]:
            names, rows = self.inner.read(sql, params)
            return names, [tuple(Decimal(value) if type(value) is float else value for value in row) for row in rows]


class CountsStatements(Lite):
    class TRANSACTION(Transaction):
        def execute(self, sql: str, params: Any = None) -> int | None:
            self.inner.execute(sql, params)
            return 1


class LosesTheLastOfMany(Lite):
    class TRANSACTION(Transaction):
        def executemany(self, sql: str, rows: Iterable[Any]) -> int:
            listed = list(rows)
            self.inner.executemany(sql, listed[:-1])
            return len(listed)


class ReadsManyTwice(Lite):
    class TRANSACTION(Transaction):
        def executemany(self, sql: str, rows: Iterable[Any]) -> int:
            number = sum(1 for _ in rows)
            self.inner.executemany(sql, rows)
            return number


class SwallowsErrors(Lite):
    class TRANSACTION(Transaction):
        def execute(self, sql: str, params: Any = None) -> int | None:
            try:
                return self.inner.execute(sql, params)
            except ConnectorError:
                return 0


class RaisesTheDriversError(Lite):
    def stream(self, sql: str, params: Any = None, *, fetch_size: int = 5000) -> Rows:
        try:
            return super().stream(sql, params, fetch_size=fetch_size)
        except ConnectorError as error:
            raise sqlite3.OperationalError(str(error)) from error


class ReadsOutside(Lite):
    @contextmanager
    def transaction(self) -> Iterator[SqlTransaction]:
        connector = self

        class Outside(Transaction):
            def read(self, sql: str, params: Any = None) -> tuple[list[str], list[Row]]:
                other = Sqlite3Connector(
                    ConnectorInit("peer", "db", "readsoutside", connector.config, connector.options, connector.ctx)
                )
                with other, other.transaction() as tx:
                    return tx.read(sql, params)

        with self.inner.transaction() as tx:
            yield Outside(tx)


class StreamsWrites(Lite):
    def stream(self, sql: str, params: Any = None, *, fetch_size: int = 5000) -> Rows:
        if not sql.lstrip().upper().startswith(("SELECT", "WITH")):
            with self.inner.transaction() as tx:
                tx.execute(sql, params)
            sql, params = "SELECT 1 AS done", None
        return super().stream(sql, params, fetch_size=fetch_size)


class CannotBeInterrupted(Lite):
    def interrupt(self) -> None:
        pass


class StaysInterrupted(Lite):
    def __init__(self, init: ConnectorInit) -> None:
        super().__init__(init)
        self._stopped = False

    def interrupt(self) -> None:
        self._stopped = True
        super().interrupt()

    def stream(self, sql: str, params: Any = None, *, fetch_size: int = 5000) -> Rows:
        if self._stopped:
            raise ConnectorError("interrupted")
        return super().stream(sql, params, fetch_size=fetch_size)


class PingRaises(Lite):
    def ping(self) -> bool:
        with self.inner.transaction() as tx:
            tx.read("SELECT 1 FROM pinged")
        return True


class _Unquoted(SqlDialect):
    def quote(self, *name: str) -> str:
        return ".".join(f'"{part}"' for part in name)


class QuotesNoQuotes(Lite):
    dialect = _Unquoted("sqlite", "flow")


class PromisesNoDdl(Lite):
    """DDL is taken back, although the dialect says that it is not."""

    dialect = SqlDialect("sqlite", "flow", transactional_ddl=False)


class MixesResults(Lite):
    """One cursor for all results."""

    def __init__(self, init: ConnectorInit) -> None:
        super().__init__(init)
        self._open: list[Rows] = []

    def stream(self, sql: str, params: Any = None, *, fetch_size: int = 5000) -> Rows:
        for each in self._open:
            each.close()
        found = super().stream(sql, params, fetch_size=fetch_size)
        self._open = [found]
        return found


class MakesTextOfAll(Lite):
    """Its tables hold text alone."""

    def column_for(self, name: str, column_type: ColumnType, *, nullable: bool, key: bool) -> TableColumn:
        del column_type, key
        return TableColumn(name, ColumnType("string"), "TEXT", nullable)


class KeepsItsSession(Lite):
    def reset(self) -> None:
        pass


SUITES: dict[type, tuple[type, str]] = {Lite: (LiteSuite, "db")}

CAUGHT_BY: dict[type[Lite], str] = {
    MakesTextOfAll: "test_a_load_makes_its_table",
    CommitsOnError: "test_an_error_rolls_everything_back[]",
    CommitsEachStatement: "test_an_error_rolls_everything_back[]",
    ForgetsToCommit: "test_steps_that_read",
    LosesTheLastBatch: "test_steps_that_read",
    LosesAPartialBatch: "test_many_rows_pass_in_batches",
    OneBatchForAll: "test_a_query_comes_in_batches",
    WrongType: "test_a_query_comes_in_batches",
    NamesOfTheTable: "test_a_query_comes_in_batches",
    NoNamesWithoutRows: "test_a_query_comes_in_batches",
    NullIsEmpty: "test_a_query_comes_in_batches",
    NumbersAreFloats: "test_a_query_comes_in_batches",
    DecimalsInside: "test_values_of_all_kinds_go_in_and_come_out",
    CountsStatements: "test_affected_rows[UPDATE t SET s = 'q'-2]",
    LosesTheLastOfMany: "test_many_rows_are_sent_by_one_call",
    ReadsManyTwice: "test_many_rows_are_sent_by_one_call",
    SwallowsErrors: "test_a_script_that_fails_changes_nothing",
    RaisesTheDriversError: "test_driver_errors_are_one_line_with_advice[SELECT * FROM nope]",
    ReadsOutside: "test_a_transaction_sees_its_own_changes",
    StreamsWrites: "test_a_stream_changes_nothing[DELETE FROM t]",
    CannotBeInterrupted: "test_interrupt_ends_a_running_query[stream]",
    StaysInterrupted: "test_interrupt_ends_a_running_query[stream]",
    PingRaises: "test_ping",
    QuotesNoQuotes: "test_quoted_names",
    PromisesNoDdl: "test_tables_are_taken_back_if_ddl_is_transactional",
    KeepsItsSession: "test_a_session_changed_by_one_step_is_reset_for_the_next",
    MixesResults: "test_many_rows_pass_in_batches",
}
"""Each connector, and a test of its suite that fails for it."""
