"""Values at the edge of what DuckDB has: both ways out say the same of them, or refuse them."""

import io
import json
from collections.abc import Iterator
from typing import Any

import pyarrow.parquet
import pytest

from aetherflow.core.api import AetherflowError, ConnectorError, ConnectorInit, CsvFormat
from aetherflow_builtins_db.connectors.duckdb.connector import DuckDBConnector
from aetherflow_builtins_db.database import Database as AnyDatabase
from aetherflow_builtins_db.formats import parquet
from aetherflow_builtins_db.formats.sink import HashingSink
from aetherflow_builtins_db.steps.writing import FileSpec, Format, Writing

FINITE = [
    "5::UHUGEINT", "340282366920938463463374607431768211455::UHUGEINT",
    "170141183460469231731687303715884105727::HUGEINT", "18446744073709551615::UBIGINT", "'24:00:00'::TIME",
    "'10000-01-01'::DATE", "'10000-01-01'::TIMESTAMP", "'0001-01-01 (BC)'::DATE", "'9999-12-31'::DATE",
    "'9999-12-31 23:59:59.999999'::TIMESTAMP", "0.5::DECIMAL(4,4)", "-0.5::DECIMAL(38,38)", "NULL::DECIMAL(4,4)",
    "'2020-01-01 00:00:00.123456'::TIMESTAMP_NS", "'1960-01-01 00:00:00.1239'::TIMESTAMP_MS",
]  # fmt: skip
INFINITE = ["DATE", "TIMESTAMP", "TIMESTAMPTZ", "TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP_NS"]


def outcome(db: Any, sql: str, format_name: Format, *, native: bool) -> Any:
    """What is written; or that it is refused, and where."""
    buffer = io.BytesIO()
    writing = Writing(
        AnyDatabase(db), sql, None, FileSpec(format_name, CsvFormat(), "none", "zstd", {}, 5000), lambda _rows: None
    )
    try:
        if not native or writing._natively(HashingSink(buffer)) is None:
            writing._rows(HashingSink(buffer), None)
    except AetherflowError as error:
        return "refused" if "column 'v', row 1" in str(error) and error.fix else str(error)
    if format_name == "csv":
        return buffer.getvalue()
    return pyarrow.parquet.read_table(io.BytesIO(buffer.getvalue())).to_pylist()


def made(**options: Any) -> DuckDBConnector:
    return DuckDBConnector(ConnectorInit("wh", "db", "duckdb", {}, options))


@pytest.fixture(scope="module")
def db() -> Iterator[DuckDBConnector]:
    """One for all queries: they read no table."""
    with made() as one:
        yield one


@pytest.mark.parametrize("format_name", ["csv", "parquet"])
@pytest.mark.parametrize("value", FINITE)
def test_extreme_values_are_the_same_or_refused(db: DuckDBConnector, value: str, format_name: Format) -> None:
    fast, slow = (outcome(db, f"SELECT 1 AS a, {value} AS v", format_name, native=each) for each in (True, False))
    assert fast == slow
    assert format_name == "parquet" or fast.startswith(b"a,v\n1,")


@pytest.mark.parametrize("format_name", ["csv", "parquet"])
def test_nanoseconds_are_not_cut(db: DuckDBConnector, format_name: Format) -> None:
    sql = "SELECT 1 AS a, '1960-01-01 00:00:00.000000001'::TIMESTAMP_NS AS v"
    assert outcome(db, sql, format_name, native=True) == "refused"


@pytest.mark.parametrize("native", [True, False])
@pytest.mark.parametrize("span", ["-1 month 3 days", "1 year", "3 days -02:00:00"])
def test_intervals_are_the_text_of_duckdb(db: DuckDBConnector, span: str, native: bool) -> None:
    value = f"INTERVAL '{span}'"
    sql = f"SELECT 1 AS a, {value} AS v, [{value}] AS l, {{'a b': {value}}} AS s, MAP {{'k': {value}}} AS m"
    (found,) = outcome(db, sql, "parquet", native=native)
    assert found.pop("v") == span
    nested = {name: json.loads(found[name]) for name in "lsm"}
    assert nested == {"l": [span], "s": {"a b": span}, "m": {"k": span}}
    assert outcome(db, f"SELECT 1 AS a, {value} AS v", "csv", native=native) == f"a,v\n1,{span}\n".encode()


@pytest.mark.parametrize("format_name", ["csv", "parquet"])
@pytest.mark.parametrize(
    ("sql", "text"),
    [
        ("[1.10, 2.00]::DECIMAL(9,2)[]", '["1.10", "2.00"]'),
        ("['b', 'a']::ENUM('a', 'b')[]", '["b", "a"]'),
        ("['2024-01-01 00:00:00.5']::TIMESTAMP[]", '["2024-01-01T00:00:00.500000"]'),
        ("{'n': 'nan'::DOUBLE, 'i': '-inf'::FLOAT}", '{"n": "nan", "i": "-inf"}'),
    ],
)
def test_what_is_nested_is_json(db: DuckDBConnector, sql: str, text: str, format_name: Format) -> None:
    found = outcome(db, f"SELECT 1 AS a, {sql} AS v", format_name, native=True)
    doubled = text.replace('"', '""')
    assert found == ([{"a": 1, "v": text}] if format_name == "parquet" else f'a,v\n1,"{doubled}"\n'.encode())


@pytest.mark.parametrize(
    "sql",
    [
        "['infinity']::DATE[]",
        "{'t': ['-infinity'::TIMESTAMP]}",
        "MAP {'infinity'::DATE: 1}",
        "[['infinity'::TIMESTAMPTZ]]",
        "[NULL, {'n': '2020-01-01 00:00:00.000000001'::TIMESTAMP_NS}]",
        "['infinity', NULL]::DATE[2]",
    ],
)
def test_what_the_driver_would_change_is_refused_at_any_depth(db: DuckDBConnector, sql: str) -> None:
    assert outcome(db, f"SELECT 1 AS a, {sql} AS v", "csv", native=True) == "refused"
    assert outcome(db, f"SELECT 1 AS a, {sql} AS v FROM range(0)", "csv", native=True) == b"a,v\n"


@pytest.mark.parametrize("sign", ["", "-"])
@pytest.mark.parametrize("kind", INFINITE)
def test_infinity_is_text_or_refused(db: DuckDBConnector, kind: str, sign: str) -> None:
    sql = f"SELECT 1 AS a, '{sign}infinity'::{kind} AS v"
    text = outcome(db, sql, "csv", native=True)
    assert text == "refused" if kind == "TIMESTAMP_NS" else text.startswith(f"a,v\n1,{sign}infinity".encode())
    assert outcome(db, sql, "parquet", native=True) == "refused"
    assert outcome(db, sql, "csv", native=False) == "refused"


def test_text_of_any_length_is_handed_out(db: DuckDBConnector, monkeypatch: pytest.MonkeyPatch) -> None:
    with db.stream_arrow("SELECT 'x' AS s", batch_rows=10) as rows:  # type: ignore[union-attr]
        assert str(next(rows.record_batches()).schema.field("s").type) == "large_string", "2 GiB end at no row"
    sql = "SELECT range AS i, repeat('x', 1000) AS s FROM range(3000)"
    whole = outcome(db, sql, "parquet", native=True)
    monkeypatch.setattr(parquet, "_BATCH_BYTES", 10_000)
    assert outcome(db, sql, "parquet", native=True) == whole
    assert len(whole) == 3000


def test_a_time_limit_counts_over_all_batches() -> None:
    with made(statement_timeout=0.3) as db:
        opened = db.stream("SELECT range AS i FROM range(100000000000)", fetch_size=1000)
        with opened as rows, pytest.raises(ConnectorError, match="statement timeout"):
            for _ in rows.batches():
                pass


def test_a_query_in_brackets_takes_the_ways_of_every_query() -> None:
    with DuckDBConnector(ConnectorInit("wh", "db", "duckdb", {"path": ":memory:"}, {})) as db:
        half = "(SELECT range AS i, 'x' AS t FROM range(100000000000))"
        with db.stream(f"{half} UNION ALL {half}", fetch_size=1000) as rows:
            assert len(next(rows.batches())) == 1000
        with pytest.raises(ConnectorError, match="column 'd', row 2 is infinite"):
            db.read("(SELECT '2020-01-01'::DATE AS d) UNION ALL (SELECT 'infinity'::DATE)")
        lines = db.stream_csv("(SELECT 1 AS a, 'x' AS b) UNION ALL (SELECT 2, 'y')", dialect=CsvFormat())
        assert lines is not None
        with lines:
            assert b"".join(map(bytes, lines.blocks())) == b"1,x\n2,y\n"
