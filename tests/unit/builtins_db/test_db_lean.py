"""DuckDB reads a large result with little memory, unless somebody says otherwise or the query needs more."""

import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from aetherflow.core.api import ConnectorError, ConnectorInit, NeedsMemoryError
from aetherflow_builtins_db.connectors.duckdb.connector import DuckDBConnector

LIMIT = "SELECT current_setting('memory_limit') AS m"


@pytest.fixture(scope="module")
def db(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """One for all tests: none changes its rows, and a closed one is opened again."""
    path = tmp_path_factory.mktemp("lean") / "wh.duckdb"
    with DuckDBConnector(ConnectorInit("wh", "db", "duckdb", {"path": str(path)}, {})) as made:
        made.script("CREATE TABLE t AS SELECT range AS a, 'text ' || range AS s FROM range(1000)")
        yield made


def limit(db: Any) -> str:
    return str(db.read(LIMIT)[1][0][0])


@pytest.mark.parametrize(
    "sql",
    ["SELECT * FROM t", "SELECT a + 1, s FROM t WHERE a > :n LIMIT 5", "SELECT * FROM t UNION ALL SELECT * FROM t"],
)
def test_a_query_that_passes_rows_on(db: Any, sql: str) -> None:
    usual = limit(db)
    with db.lean(sql, {"n": 1} if ":n" in sql else None) as done:
        assert done
        amount, unit = re.fullmatch(r"([\d.]+) (\w+)", limit(db)).groups()  # type: ignore[union-attr]
        assert unit == "MiB"
        assert 60 <= float(amount) <= 100
    assert limit(db) == usual


def test_wide_rows_are_read_by_fewer_threads(db: Any) -> None:
    def threads() -> int:
        return int(db.read("SELECT current_setting('threads') AS n")[1][0][0])

    usual = threads()
    with db.lean("SELECT a FROM t"):
        assert threads() == usual
    with db.lean(f"SELECT {', '.join(f's AS s{number}' for number in range(40))} FROM t"):
        assert threads() == 1
    assert threads() == usual


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM t ORDER BY s",
        "SELECT s, count(*) FROM t GROUP BY s",
        "SELECT * FROM t JOIN t u USING (a)",
        "SELECT sum(a) OVER () FROM t",
        "SELECT nonsense",
        "DELETE FROM t",
        "SELECT 1; SELECT 2",
    ],
)
def test_any_other_query_may_take_what_it_wants(db: Any, sql: str) -> None:
    usual = limit(db)
    with db.lean(sql) as done:
        assert not done
        assert limit(db) == usual


def test_the_users_own_limit_stays(tmp_path: Path) -> None:
    options = {"pragmas": {"memory_limit": "300MB"}}
    with DuckDBConnector(ConnectorInit("wh", "db", "duckdb", {"path": f"{tmp_path}/x.duckdb"}, options)) as db:
        usual = limit(db)
        with db.lean("SELECT 1 AS a") as done:
            assert not done
            assert limit(db) == usual


def in_thread(call: Callable[[], Any]) -> Any:
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(call).result()


def test_two_at_once_leave_the_limits_as_they_were(db: Any) -> None:
    usual = limit(db)
    first, second = db.lean("SELECT * FROM t"), db.lean("SELECT * FROM t")
    assert first.__enter__()
    assert not second.__enter__(), "one at a time"
    first.__exit__(None, None, None)
    assert limit(db) == usual
    second.__exit__(None, None, None)
    assert limit(db) == usual
    with db.lean("SELECT * FROM t") as done:
        assert done, "the next one may again"


def test_many_at_once_leave_the_limits_as_they_were(db: Any) -> None:
    usual = limit(db)

    def extract(_number: int) -> int:
        with db.lean("SELECT * FROM t"), db.stream("SELECT * FROM t") as rows:
            return sum(map(len, rows.batches()))

    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(extract, range(60))) == {1000}
    assert limit(db) == usual


@pytest.mark.parametrize("where", ["same thread, beside the open rows", "another thread"])
def test_who_comes_later_has_all_the_memory(db: Any, where: str) -> None:
    usual = limit(db)
    with db.lean("SELECT * FROM t") as done:
        assert done
        if where == "another thread":
            assert in_thread(lambda: limit(db)) == usual
        with db.stream("SELECT * FROM t", fetch_size=10) as rows:
            assert limit(db) == usual
            with db.lean("SELECT * FROM t") as other:
                assert not other
            with pytest.raises(NeedsMemoryError):
                raise_memory(db)
            with pytest.raises(ConnectorError) as caught:
                in_thread(lambda: raise_memory(db))
            assert not isinstance(caught.value, NeedsMemoryError), "that query was never lean"
            assert sum(map(len, rows.batches())) == 1000
    assert limit(db) == usual


def test_two_resources_of_one_file(db: Any) -> None:
    usual = limit(db)
    folder = Path(db.conf.path).parent
    config = {"path": f"{folder}/../{folder.name}/wh.duckdb"}
    with DuckDBConnector(ConnectorInit("wh2", "db", "duckdb", config, {})) as second:
        with db.lean("SELECT * FROM t") as done:
            assert done
            assert in_thread(lambda: limit(second)) == usual
        with second.stream("SELECT * FROM t"), db.lean("SELECT * FROM t") as done:
            assert not done
        with db.lean("SELECT * FROM t") as done:
            assert done
            db.close()
            assert limit(second) == usual


def test_a_closed_database_is_not_opened_again(db: Any) -> None:
    with db.lean("SELECT * FROM t"):
        db.close()
    assert db.root is None


def test_somebody_elses_query_keeps_its_memory(db: Any) -> None:
    with db.stream("SELECT * FROM t"), db.lean("SELECT * FROM t") as done:
        assert not done


def test_too_little_memory_is_told_apart(db: Any) -> None:
    with db.lean("SELECT * FROM t"), pytest.raises(NeedsMemoryError, match="Out of Memory"):
        raise_memory(db)
    with pytest.raises(ConnectorError) as caught:
        raise_memory(db)
    assert not isinstance(caught.value, NeedsMemoryError)


def raise_memory(db: Any) -> None:
    import duckdb

    raise db.failed("copying rows", duckdb.OutOfMemoryException("Out of Memory Error: failed to allocate"))


def test_rows_that_need_more_are_read_again(lite: Any) -> None:
    """Row groups of long text do not fit into the little memory: the step notices and takes what there is."""
    lite.resources["wh"] = {"kind": "db", "driver": "duckdb", "config": {"path": ":memory:"}}
    sql = "SELECT range AS a, repeat(chr(65 + CAST(range % 26 AS INTEGER)), 20000) AS s FROM range(8000)"
    out = lite.one(type="db_extract", sql=sql, output="long.csv")
    assert out["rows"] == 8_000
    logs = "".join(path.read_text() for path in lite.root.rglob("*.jsonl"))
    assert "the rows need more memory than expected" in logs
    with Path(out["output"]).open("rb") as file:
        assert next(islice(file, 27, None)) == b"26,%b\n" % (b"A" * 20000)
        assert 28 + sum(1 for _ in file) == 8_001
