"""The fast ways out of PostgreSQL and DuckDB give the bytes, and the types, of the slow one."""

import io
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from db_native import place_of, written
from pyarrow import csv

from aetherflow.core.api import ConnectorInit
from aetherflow_builtins_db.connectors.duckdb.connector import DuckDBConnector
from aetherflow_builtins_db.connectors.postgres.connector import PostgresConnector
from services import Database


@pytest.fixture(params=["duckdb", "postgres"])
def db(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    """A connector, and the names of its types for text, doubles, singles and bytes."""
    made: Any
    if request.param == "duckdb":
        made = DuckDBConnector(ConnectorInit("wh", "db", "duckdb", {"path": f"{tmp_path}/wh.duckdb"}, {}))
    else:
        server: Database = request.getfixturevalue("postgres")
        made = PostgresConnector(ConnectorInit("wh", "db", "postgres", place_of(server), {}))
        made.execute("DROP TABLE IF EXISTS n")
    with made:
        yield made
        if request.param == "postgres":
            made.execute("DROP TABLE IF EXISTS n")


def test_a_database_that_may_not_write_files_hands_out_csv() -> None:
    options = {"pragmas": {"enable_external_access": False}}
    with DuckDBConnector(ConnectorInit("wh", "db", "duckdb", {}, options)) as made:
        assert written(made, "SELECT 1 AS a, 2 AS b", native=True) == b"a,b\n1,2\n"


def test_without_pyarrow_the_bytes_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    with DuckDBConnector(ConnectorInit("wh", "db", "duckdb", {}, {})) as made:
        made.script(
            "CREATE TABLE n AS SELECT range AS i, CASE WHEN range % 3 > 0 THEN repeat('é,', range % 5) END AS s "
            "FROM range(10000)"
        )
        sql = "SELECT * FROM n"
        fast = written(made, sql, native=True)
        monkeypatch.setitem(sys.modules, "pyarrow", None)
        assert written(made, sql, native=True) == fast
    assert fast.decode().splitlines()[:5] == ["i,s", "0,", '1,"é,"', '2,"é,é,"', "3,"]
    assert fast.count(b"\n") == 10_001


@pytest.mark.parametrize(
    "dialect",
    [{"delimiter": "-"}, {"delimiter": "1", "null_value": "t"}, {"null_value": "false"}, {"null_value": "0"},
     {"null_value": "2013-07-01", "quotechar": "e"}, {"null_value": "12.50", "delimiter": "."}],
)  # fmt: skip
def test_signs_that_are_part_of_values_are_byte_equal(dialect: dict[str, Any]) -> None:
    with DuckDBConnector(ConnectorInit("wh", "db", "duckdb", {}, {})) as made:
        uuid = "'ab0c8fb3-9dbb-4a30-9a1e-f29a1b51ec7b'::UUID"
        sql = (
            "SELECT * FROM (VALUES (0, -1.5e30, 12.50, DATE '2013-07-01', false, 'false', '\\x00'::BLOB, "
            f"{uuid}), (NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL), "
            "(-1, 0.0, -1, DATE '2013-07-02', true, 't', ''::BLOB, NULL))"
        )
        fast, slow = (written(made, sql, native=native, dialect=dialect).decode() for native in (True, False))
        assert fast == slow


def test_the_order_is_the_order_of_the_query(tmp_path: Path) -> None:
    config = {"path": str(tmp_path / "o.duckdb")}
    with DuckDBConnector(ConnectorInit("wh", "db", "duckdb", config, {"pragmas": {"threads": 8}})) as made:
        made.script("CREATE TABLE n AS SELECT range AS i, hash(range) AS h FROM range(1000000)")
        found = columns(written(made, "SELECT i, h FROM n WHERE h % 3 > 0", native=True))
        assert found == found.sort_by("i")
        assert found.num_rows > 600_000
        below = columns(written(made, "SELECT h, i FROM n ORDER BY h", native=True))
        assert below == below.sort_by("h")


def columns(text: bytes) -> pyarrow.Table:
    """The columns `i` and `h` of CSV."""
    types = {"i": pyarrow.uint64(), "h": pyarrow.uint64()}
    return csv.read_csv(io.BytesIO(text), convert_options=csv.ConvertOptions(column_types=types))
