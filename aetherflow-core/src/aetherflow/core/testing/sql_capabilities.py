"""Tests of what a connector of kind `db` may be able to do beyond its contract; a class without it passes."""

from collections.abc import Callable
from typing import Any

import pytest

from aetherflow.core.api import (
    ArrowSource,
    ConnectorError,
    CsvFormat,
    CsvSource,
    JsonSource,
    LateDatabase,
    LeanSource,
    ScriptRunner,
    StepError,
)
from aetherflow.core.testing.connector import ConnectorSuite

QUERY = "SELECT a, s FROM t ORDER BY a"


class SqlCapabilities(ConnectorSuite):
    """Each test looks whether the class has the capability; the table t holds (1, 'x') and (2, null)."""

    rows: Callable[[Any], list[tuple[Any, ...]]]
    """All rows of t, in order."""

    def test_csv_of_the_database(self, db: Any) -> None:
        """`CsvSource`: the bytes are those of the rows, without a header; or None."""
        blocks = db.stream_csv(QUERY, dialect=CsvFormat()) if isinstance(db, CsvSource) else None
        if blocks is not None:
            with blocks as opened:
                assert b"".join(bytes(block) for block in opened.blocks()) == b"1,x\n2,\n"
                assert opened.rows in {None, 2}
                assert len(opened.columns) == 2

    def test_json_of_the_database(self, db: Any) -> None:
        """`JsonSource`: the bytes are those of the rows; or None."""
        blocks = db.stream_json(QUERY) if isinstance(db, JsonSource) else None
        if blocks is not None:
            with blocks as opened:
                assert b"".join(bytes(block) for block in opened.blocks()) == b'{"a":1,"s":"x"}\n{"a":2,"s":null}\n'
                assert opened.rows in {None, 2}
                assert len(opened.columns) == 2

    def test_arrow_of_the_database(self, db: Any) -> None:
        """`ArrowSource`: the values are those of the rows; or None."""
        opened = db.stream_arrow(QUERY, batch_rows=1000) if isinstance(db, ArrowSource) else None
        if opened is not None:
            with opened as result:
                rows = [tuple(row.values()) for batch in result.record_batches() for row in batch.to_pylist()]
                assert rows == [(1, "x"), (2, None)]
                assert len(result.columns) == 2

    def test_a_lean_query_gives_the_same_rows(self, db: Any) -> None:
        """`LeanSource`: the block yields whether the limit was lowered; the query is the same inside of it."""
        if isinstance(db, LeanSource):
            with db.lean(QUERY) as lowered:
                assert lowered in {True, False}
                assert self.rows(db) == [(1, "x"), (2, None)]

    def test_a_database_that_was_used_is_not_missing(self, db: Any) -> None:
        """`LateDatabase`: false once there is something in it."""
        if isinstance(db, LateDatabase):
            assert db.is_missing() is False

    def test_asking_whether_a_database_is_missing_makes_none(self, connect: Callable[[], Any]) -> None:
        """`LateDatabase`: the answer is the same when it is asked again."""
        made = connect()
        if isinstance(made, LateDatabase):
            assert made.is_missing() is made.is_missing()

    def test_a_script_of_the_database(self, db: Any) -> None:
        """`ScriptRunner`: counts by statement, one transaction, `before_commit` can undo it."""
        if not isinstance(db, ScriptRunner):
            return
        assert len(db.statements("DELETE FROM t; DELETE FROM t;")) == 2
        result = db.script("INSERT INTO t VALUES (3, 'y'); DELETE FROM t WHERE a = 1")
        assert (result.affected, result.affected_rows) == ((1, 1), 2)

        def refuse(_result: Any) -> None:
            raise StepError("no")

        with pytest.raises(StepError, match="no"):
            db.script("DELETE FROM t", before_commit=refuse)
        with pytest.raises(ConnectorError):
            db.script("DELETE FROM t; INSERT INTO nope VALUES (1)")
        for wrong in ("-- nothing", "BEGIN; DELETE FROM t; COMMIT"):
            with pytest.raises(ConnectorError):
                db.script(wrong)
        assert [a for a, _ in self.rows(db)] == [2, 3]
