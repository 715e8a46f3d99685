"""What our own connectors of kind `db` have beside their contract, for the steps of users."""

import threading
import time
from collections.abc import Callable
from typing import Any, ClassVar

import pytest

from aetherflow.core.api import ConnectorError, StepError
from aetherflow.core.testing import SqlSuite
from torture_tier import sized

ROWS = [(1, "x"), (2, None)]
INTERRUPT_SECONDS = 5.0


class OwnSqlSuite(SqlSuite):
    """The contract of a database, and the methods that users' own steps call."""

    kills = sized(2, 40)
    has_returning: ClassVar[bool] = True
    """True if the database has INSERT … RETURNING."""

    @pytest.fixture
    def db(self, connect: Callable[[], Any]) -> Any:
        """A connector with the table t(a, s) of two rows."""
        made = connect()
        made.script(
            f"CREATE TABLE t (a {self.integer_type}, s {self.text_type}); INSERT INTO t VALUES (1, 'x'), (2, NULL)"
        )
        return made

    @staticmethod
    def rows(db: Any, sql: str = "SELECT a, s FROM t ORDER BY a") -> list[tuple[Any, ...]]:
        """All rows of a query."""
        return list(db.read(sql)[1])

    # Reading

    def test_every_way_of_reading_gives_the_same_rows(self, db: Any) -> None:
        """`read`, `fetchall`, `fetchmany` and `stream` agree, the last two in batches."""
        expected = (self.names("a", "s"), ROWS)
        sql = "SELECT a, s FROM t WHERE a > :n ORDER BY a"
        assert db.read(sql, {"n": 0}) == expected
        assert db.fetchall(sql, {"n": 0}) == expected
        names, each, types = db.fetchmany(sql, {"n": 0}, fetch_size=1)
        assert (names, list(each)) == expected
        assert types == [int, str]
        with db.stream(sql, {"n": 0}, fetch_size=1) as result:
            assert [column.name for column in result.columns] == self.names("a", "s")
            assert [len(batch) for batch in result.batches()] == [1, 1]

    @pytest.mark.parametrize(
        "sql",
        [
            "INSERT INTO t VALUES (3, 'y')",
            "DELETE FROM t",
            "DROP TABLE t",
            "CREATE TABLE u (a INTEGER)",
            "SELECT 1; DELETE FROM t",
            "BEGIN",
            "",
        ],
    )
    def test_reading_changes_nothing(self, db: Any, sql: str) -> None:
        """A statement that changes data is refused, and the fix names a step that may do it."""
        with pytest.raises(ConnectorError) as error:
            db.read(sql)
        assert "db_execute" in error.value.fix
        assert self.rows(db) == ROWS
        assert db.execute("INSERT INTO t VALUES (4, 'z')") == 1, "the connection still writes"

    # Parameters

    def test_markers_in_text_are_no_parameters(self, db: Any) -> None:
        """`:name` inside a literal or a comment is unchanged; a value is never read as SQL."""
        found = db.read("SELECT ':n' AS a, :n AS b -- :no\n/* :no */", {"n": "'; DROP TABLE t; --"})[1]
        assert found == [(":n", "'; DROP TABLE t; --")]
        assert self.rows(db) == ROWS

    def test_each_statement_takes_the_params_it_names(self, db: Any) -> None:
        """The params of a script are available to all its statements."""
        db.script("DELETE FROM t WHERE a = :one; UPDATE t SET s = :s WHERE a = :two", {"one": 1, "two": 2, "s": "v"})
        assert self.rows(db) == [(2, "v")]

    @pytest.mark.parametrize("params", [{}, {"n": 1, "more": 2}, {"m": 1}])
    def test_params_and_markers_must_match(self, db: Any, params: dict[str, Any]) -> None:
        """A missing value and a surplus value are errors."""
        with pytest.raises(Exception, match=r"n|more|m") as caught:
            db.read("SELECT a FROM t WHERE a = :n", params)
        assert getattr(caught.value, "code", "").startswith("AF"), "an error of ours"

    def test_a_value_of_no_sql_type_is_our_error(self, db: Any) -> None:
        """A value that the driver refuses is a ConnectorError."""
        with pytest.raises(ConnectorError):
            db.read("SELECT :x AS x", {"x": object()})

    # Writing

    @pytest.mark.parametrize(
        ("sql", "affected"),
        [
            ("INSERT INTO t VALUES (3, 'y'), (4, 'z')", 2),
            ("UPDATE t SET s = 'q'", 2),
            ("UPDATE t SET s = 'q' WHERE a > 100", 0),
            ("DELETE FROM t WHERE a = 1", 1),
            ("DELETE FROM t", 2),
            ("INSERT INTO t SELECT a, s FROM t", 2),
            ("CREATE TABLE u (a INTEGER)", None),
            ("DROP TABLE t", None),
            ("SELECT * FROM t", None),
            ("CREATE TABLE u (a INTEGER); INSERT INTO u VALUES (1), (2), (3); DELETE FROM t", 5),
        ],
    )
    def test_affected_rows(self, db: Any, sql: str, affected: int | None) -> None:
        """The number of changed rows; None for statements that change none."""
        assert db.script(sql).affected_rows == affected

    def test_returning_counts_its_rows(self, db: Any) -> None:
        """`script` executes INSERT … RETURNING and counts its rows; `read` refuses it."""
        if not self.has_returning:
            return
        sql = "INSERT INTO t VALUES (3, 'y'), (4, 'z') RETURNING a"
        with pytest.raises(ConnectorError):
            db.read(sql)
        assert self.rows(db) == ROWS
        assert db.script(sql).affected_rows == 2

    def test_execute_gives_a_number_and_minus_one_for_ddl(self, db: Any) -> None:
        """`execute` returns the number of changed rows, -1 if there is none."""
        assert db.execute("UPDATE t SET s = :s", {"s": "q"}) == 2
        assert db.execute("CREATE TABLE u (a INTEGER)") == -1

    def test_what_was_written_is_there_for_the_next_connector(self, db: Any, connect: Callable[[], Any]) -> None:
        """A script is committed when it returns."""
        db.script("INSERT INTO t VALUES (3, 'y'); INSERT INTO t VALUES (4, 'z')")
        db.close()
        assert len(self.rows(connect())) == 4

    @pytest.mark.parametrize(
        "wrong", ["SELECT * FROM nope", "INSERT INTO t (b) VALUES (1)", "CREATE TABLE t (a INTEGER)"]
    )
    def test_a_failing_script_leaves_everything_as_it_was(self, db: Any, wrong: str) -> None:
        """A script is one transaction, and the message names the failed statement."""
        with pytest.raises(ConnectorError, match="statement 3 of 4 failed"):
            db.script(f"DELETE FROM t; INSERT INTO t VALUES (9, 'z'); {wrong}; DELETE FROM t")
        assert self.rows(db) == ROWS

    def test_a_failing_script_takes_tables_back(self, db: Any) -> None:
        """A failing script also undoes CREATE TABLE, if the database can."""
        with pytest.raises(ConnectorError):
            db.script("CREATE TABLE u (a INTEGER); SELECT * FROM nope")
        if db.dialect.transactional_ddl:
            with pytest.raises(ConnectorError):
                self.rows(db, "SELECT * FROM u")
        else:
            assert self.rows(db, "SELECT * FROM u") == []

    def test_before_commit_can_undo(self, db: Any) -> None:
        """`before_commit` gets the counts, and its exception undoes the script, even a single statement."""

        def refuse(result: Any) -> None:
            assert result.affected == (2,)
            raise StepError("no")

        with pytest.raises(StepError, match="no"):
            db.script("DELETE FROM t", before_commit=refuse)
        assert len(self.rows(db)) == 2
        db.script("DELETE FROM t", before_commit=lambda _result: None)
        assert self.rows(db) == []

    @pytest.mark.parametrize("sql", ["BEGIN; DELETE FROM t; COMMIT", "DELETE FROM t; ROLLBACK", "COMMIT"])
    def test_a_script_cannot_end_its_own_transaction(self, db: Any, sql: str) -> None:
        """BEGIN, COMMIT and ROLLBACK are refused."""
        with pytest.raises(ConnectorError, match="starts or ends a transaction"):
            db.script(sql)
        assert len(self.rows(db)) == 2

    def test_an_empty_script_is_an_error(self, db: Any) -> None:
        """A script of comments and semicolons is an error."""
        with pytest.raises(ConnectorError, match="no statement"):
            db.script("-- nothing\n;")

    # Errors and interruption

    @pytest.mark.parametrize("way", ["read", "script"])
    def test_interrupt_ends_a_running_query(self, db: Any, way: str) -> None:
        """`interrupt`, called from another thread, ends the query; the connector still works."""

        def run() -> None:
            getattr(db, way)(self.endless)

        timer = threading.Timer(0.2, db.interrupt)
        timer.start()
        begun = time.monotonic()
        with pytest.raises(ConnectorError, match=r"(?i)interrupt"):
            run()
        assert time.monotonic() - begun < INTERRUPT_SECONDS
        timer.join()
        assert self.rows(db) == ROWS
        db.interrupt()
        assert self.rows(db) == ROWS
