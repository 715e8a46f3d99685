"""The suite for the contract of a connector of kind `db`."""

import datetime as dt
import re
import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from decimal import Decimal
from typing import Any, ClassVar

import pytest

from aetherflow.core.api import ConnectorError, SqlConnector
from aetherflow.core.testing.sql_capabilities import SqlCapabilities
from aetherflow.core.testing.sql_steps import SqlSteps

ROWS = [(1, "x"), (2, None)]
INTERRUPT_SECONDS = 5.0


def typed(rows: Iterable[Iterable[Any]]) -> list[list[tuple[str, Any]]]:
    """Values with the names of their types: 1 == 1.0, and 0.1 == Decimal(0.1)."""
    return [[(type(value).__name__, value) for value in row] for row in rows]


class SqlSuite(SqlCapabilities, SqlSteps):
    """Tests the contract of a database: SqlConnector's primitives, and each capability that the class has.

    It also runs the built-in steps over the connector: reading, writing to files, loading in each mode, checking. What
    passes works with them. The attributes below describe differences between databases.
    """

    endless: ClassVar[str]
    """A query that runs for more than a minute."""
    integer_type: ClassVar[str] = "INTEGER"
    text_type: ClassVar[str] = "TEXT"
    sequence: ClassVar[str] = (
        "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < {count}) SELECT n FROM r"
    )
    """A query for the numbers from 1 to {count}, in one column `n`."""
    one_row: ClassVar[str] = ""
    """What a SELECT of constants ends with: ` FROM dual`."""
    casts: ClassVar[Mapping[str, str]] = {}
    """By name in VALUES, the type to cast a parameter to, for databases that must know it: `BLOB`."""
    names_are_upper: ClassVar[bool] = False
    """True if results have unquoted names in upper case."""
    changed_values: ClassVar[Mapping[str, Any]] = {}
    """Those of VALUES that come back in another form, since the database lacks the type."""

    VALUES: ClassVar[Mapping[str, Any]] = {
        "i": 2**62, "f": 0.1, "b": b"\x00\xff", "s": "ü\U0001f600", "n": None, "t": True,
        "d": dt.date(2024, 2, 29), "dec": Decimal("0.10"),
        "ts": dt.datetime.fromisoformat("2024-02-29T01:02:03.000004"),
    }  # fmt: skip
    """Values that are passed as parameters and read back."""

    @pytest.fixture
    def db(self, connect: Callable[[], Any]) -> Any:
        """A connector with the table t(a, s) of two rows."""
        made = connect()
        with made.transaction() as tx:
            tx.execute(f"CREATE TABLE t (a {self.integer_type}, s {self.text_type})")
        with made.transaction() as tx:
            tx.execute("INSERT INTO t VALUES (1, 'x')")
            tx.execute("INSERT INTO t VALUES (2, NULL)")
        return made

    def names(self, *names: str) -> list[str]:
        """Names of columns in the form of a result."""
        return [name.upper() if self.names_are_upper else name for name in names]

    @staticmethod
    def rows(db: Any, sql: str = "SELECT a, s FROM t ORDER BY a") -> list[tuple[Any, ...]]:
        """All rows of a query."""
        with db.stream(sql) as opened:
            return [tuple(row) for batch in opened.batches() for row in batch]

    @staticmethod
    def marked(db: Any, sql: str, values: Mapping[str, Any]) -> tuple[str, Any]:
        """SQL with `:name` markers, and their values, in the parameter style of the dialect."""
        style, order = db.dialect.paramstyle, list[str]()

        def mark(found: re.Match[str]) -> str:
            order.append(found[1])
            return {"qmark": "?", "format": "%s", "pyformat": f"%({found[1]})s", "numeric": f":{len(order)}"}[style]

        if style in {"flow", "named"}:
            return sql, dict(values)
        text = re.sub(r":(\w+)", mark, sql)
        return text, dict(values) if style == "pyformat" else tuple(values[name] for name in order)

    # The class

    def test_it_implements_the_contract(self) -> None:
        """The class is a SqlConnector and has written all its primitives."""
        assert issubclass(self.connector, SqlConnector)
        assert sorted(self.connector.__abstractmethods__) == []

    def test_ping(self, db: Any, connect: Callable[[], Any]) -> None:
        """`ping` is true for an open and for a new connector; on a closed one it raises nothing."""
        assert db.ping() is True
        other = connect()
        assert other.ping() is True
        other.close()
        assert other.ping() in {True, False}

    # Reading

    def test_a_query_comes_in_batches(self, db: Any) -> None:
        """Names, types and rows of a result, at most `fetch_size` of them at a time."""
        sql, values = self.marked(db, "SELECT a, s FROM t WHERE a > :n ORDER BY a", {"n": 0})
        with db.stream(sql, values, fetch_size=1) as result:
            assert [column.name for column in result.columns] == self.names("a", "s")
            assert [column.type.kind for column in result.columns] in (["int", "string"], ["unknown", "unknown"])
            assert result.exact in {True, False}
            batches = list(result.batches())
        assert [len(batch) for batch in batches] == [1, 1]
        assert typed(row for batch in batches for row in batch) == typed(ROWS)
        with db.stream("SELECT a, s FROM t WHERE a > 100") as result:
            assert [column.name for column in result.columns] == self.names("a", "s"), "also without rows"
            assert [row for batch in result.batches() for row in batch] == []

    @pytest.mark.parametrize("sql", ["INSERT INTO t VALUES (3, 'y')", "DELETE FROM t", "DROP TABLE t"])
    def test_a_stream_changes_nothing(self, db: Any, sql: str) -> None:
        """A statement that changes data is refused, or its change is undone."""
        with suppress(ConnectorError):
            self.rows(db, sql)
        assert self.rows(db) == ROWS

    def test_many_rows_pass_in_batches(self, db: Any) -> None:
        """20,000 rows are written by one statement; two readers and a writer do not disturb each other."""
        with db.transaction() as tx:
            tx.execute("DELETE FROM t")
            assert tx.execute(f"INSERT INTO t SELECT n, 'q' FROM ({self.sequence.format(count=20_000)}) q") == 20_000
        with (
            db.stream("SELECT a FROM t ORDER BY a", fetch_size=90) as one,
            db.stream("SELECT a FROM t", fetch_size=7) as two,
        ):
            first, second = one.batches(), two.batches()
            start = next(first)
            assert len(start) <= 90
            next(second)
            with db.transaction() as tx:
                tx.execute(f"CREATE TABLE u (a {self.integer_type})")
            seen = start + [row for batch in first for row in batch]
        assert [tuple(row) for row in seen] == [(n,) for n in range(1, 20_001)]

    def test_threads_share_a_connector(self, db: Any) -> None:
        """Calls from several threads do not mix."""
        failures: list[BaseException] = []

        def work(number: int) -> None:
            try:
                for _ in range(20):
                    assert self.rows(db, f"SELECT {number} AS n, count(*) AS c FROM t") == [(number, 2)]
            except BaseException as error:  # noqa: BLE001 reported below
                failures.append(error)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []

    def test_values_of_all_kinds_go_in_and_come_out(self, db: Any) -> None:
        """Numbers, text, bytes, null and dates come back equal, from a query and inside of a transaction."""
        marks = {
            name: f"CAST(:{name} AS {self.casts[name]})" if name in self.casts else f":{name}" for name in self.VALUES
        }
        text = "SELECT " + ", ".join(f"{mark} AS {name}" for name, mark in marks.items()) + self.one_row
        sql, values = self.marked(db, text, self.VALUES)
        expected = {**self.VALUES, **self.changed_values}
        with db.stream(sql, values) as result:
            (row,) = [row for batch in result.batches() for row in batch]
        assert typed([row]) == typed([tuple(expected.values())])
        with db.transaction() as tx:
            names, rows = tx.read(sql, values)
        assert names == self.names(*self.VALUES)
        assert typed(rows) == typed([tuple(expected.values())])

    def test_quoted_names(self, db: Any) -> None:
        """`dialect.quote` makes names with capitals, blanks and quotes usable."""
        table, column = db.dialect.quote('My "Table"'), db.dialect.quote("a b")
        with db.transaction() as tx:
            tx.execute(f"CREATE TABLE {table} ({column} {self.integer_type})")
        try:
            with db.stream(f"SELECT {column} FROM {table}") as opened:
                assert [each.name for each in opened.columns] in (["a b"], self.names("a b"))
        finally:
            with db.transaction() as tx:
                tx.execute(f"DROP TABLE {table}")

    # Transactions

    @staticmethod
    def fail_after(db: Any, *statements: str) -> None:
        """Run statements in a transaction and raise ZeroDivisionError before it ends."""
        with db.transaction() as tx:
            for statement in statements:
                tx.execute(statement)
            raise ZeroDivisionError

    @pytest.mark.parametrize(
        ("sql", "affected"),
        [
            ("INSERT INTO t VALUES (3, 'y')", 1),
            ("UPDATE t SET s = 'q'", 2),
            ("UPDATE t SET s = 'q' WHERE a > 100", 0),
            ("DELETE FROM t WHERE a = 1", 1),
            ("DELETE FROM t", 2),
            ("INSERT INTO t SELECT a, s FROM t", 2),
        ],
    )
    def test_affected_rows(self, db: Any, sql: str, affected: int) -> None:
        """`execute` returns the number of changed rows."""
        with db.transaction() as tx:
            assert tx.execute(sql) == affected

    def test_many_rows_are_sent_by_one_call(self, db: Any) -> None:
        """`executemany` reads a generator once, and sends nulls and text that is no SQL."""
        given = [(10, "it's"), (11, None), (12, "%s :x ?")]
        sql, _ = self.marked(db, "INSERT INTO t VALUES (:a, :s)", {"a": 0, "s": ""})

        def each() -> Iterable[Any]:
            for a, s in given:
                yield self.marked(db, "INSERT INTO t VALUES (:a, :s)", {"a": a, "s": s})[1]

        with db.transaction() as tx:
            assert tx.executemany(sql, each()) == len(given)
            assert tx.executemany(sql, iter(())) == 0
        assert self.rows(db, "SELECT a, s FROM t WHERE a >= 10 ORDER BY a") == given

    def test_a_transaction_sees_its_own_changes(self, db: Any) -> None:
        """`read` inside of a transaction."""
        with db.transaction() as tx:
            tx.execute("DELETE FROM t WHERE a = 1")
            assert [tuple(row) for row in tx.read("SELECT a, s FROM t")[1]] == [(2, None)]

    def test_what_was_committed_is_there_for_the_next_connector(self, db: Any, connect: Callable[[], Any]) -> None:
        """A transaction is committed when its block has ended."""
        with db.transaction() as tx:
            tx.execute("INSERT INTO t VALUES (3, 'y')")
            tx.execute("INSERT INTO t VALUES (4, 'z')")
        db.close()
        assert len(self.rows(connect())) == 4

    @pytest.mark.parametrize("wrong", ["", "SELECT nope FROM t", "INSERT INTO t (b) VALUES (1)"])
    def test_an_error_rolls_everything_back(self, db: Any, wrong: str) -> None:
        """An exception in the block, of a statement or of the caller, undoes all that came before it."""
        if not db.dialect.transactions:
            return
        with pytest.raises(ConnectorError if wrong else ZeroDivisionError):
            self.fail_after(db, "DELETE FROM t", "INSERT INTO t VALUES (9, 'z')", *([wrong] if wrong else []))
        assert self.rows(db) == ROWS

    def test_tables_are_taken_back_if_ddl_is_transactional(self, db: Any) -> None:
        """`dialect.transactional_ddl` says whether CREATE TABLE is undone."""
        with pytest.raises(ZeroDivisionError):
            self.fail_after(db, f"CREATE TABLE u (a {self.integer_type})")
        if db.dialect.transactional_ddl and db.dialect.transactions:
            with pytest.raises(ConnectorError):
                self.rows(db, "SELECT * FROM u")
        else:
            assert self.rows(db, "SELECT * FROM u") == []

    # Errors and interruption

    @pytest.mark.parametrize("sql", ["SELECT * FROM nope", "SELECT nope FROM t", "SELEC 1"])
    def test_driver_errors_are_one_line_with_advice(self, db: Any, sql: str) -> None:
        """The message names the resource; the driver's own error is its cause."""
        with pytest.raises(ConnectorError) as caught:
            self.rows(db, sql)
        text = str(caught.value)
        assert text.startswith(f"resource peer ({self.kind}:{self.driver}): ")
        assert "\n" not in text
        assert caught.value.fix
        if sql != "SELEC 1":
            assert caught.value.__cause__ is not None

    @pytest.mark.parametrize("way", ["stream", "transaction"])
    def test_interrupt_ends_a_running_query(self, db: Any, way: str) -> None:
        """`interrupt`, called from another thread, ends the query; the connector still works."""
        outcome: list[BaseException | None] = []

        def run() -> None:
            try:
                if way == "stream":
                    self.rows(db, self.endless)
                else:
                    with db.transaction() as tx:
                        tx.read(self.endless)
            except BaseException as error:  # noqa: BLE001 judged below
                outcome.append(error)
            else:
                outcome.append(None)

        # a daemon: a query that nothing ends must neither hold this test nor the end of the process
        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        thread.join(0.2)
        db.interrupt()
        thread.join(INTERRUPT_SECONDS)
        assert outcome, f"the query still runs {INTERRUPT_SECONDS:g} s after interrupt()"
        assert isinstance(outcome[0], ConnectorError), outcome[0] or "the query ended before it was interrupted"
        assert re.search("(?i)interrupt", str(outcome[0]))
        assert self.rows(db) == ROWS
        db.interrupt()
        assert self.rows(db) == ROWS
