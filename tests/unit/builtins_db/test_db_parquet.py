"""Parquet by `db_extract_stream`: the database's types, by both ways into the file."""

import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest

from aetherflow_builtins_db.connectors.duckdb.connector import DuckDBConnector

MATRIX = """
SELECT * FROM (VALUES
  (1, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
   NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
  (2, true, 127::TINYINT, 9223372036854775807, 1.5::FLOAT, 'nan'::DOUBLE,
   '12345678901234567890123456789012345678'::DECIMAL(38,0), '-0.0000000001'::DECIMAL(38,10),
   'ü\U0001f600', '\\x00\\xFF'::BLOB,
   DATE '1900-02-28', TIMESTAMP '2024-01-02 03:04:05.123456',
   TIMESTAMPTZ '2024-01-02 03:04:05.123456+02', TIME '23:59:59.999999',
   '00000000-0000-4000-8000-000000000000'::UUID, 5::HUGEINT),
  (3, false, -128, -9223372036854775808, -0.25, 'inf', '-1', '9999999999999999999999999999.9999999999', '', ''::BLOB,
   DATE '9999-12-31', TIMESTAMP '0001-01-01 00:00:00',
   TIMESTAMPTZ '1969-12-31 23:59:59.999999+00', TIME '00:00:00', NULL, -5)
) AS v(id, b, i8, i64, f, d, d38, d10, s, raw, day, ts, tz, t, u, h)
"""
SCHEMA = pa.schema(
    {
        "id": pa.int64(), "b": pa.bool_(), "i8": pa.int64(), "i64": pa.int64(), "f": pa.float64(), "d": pa.float64(),
        "d38": pa.decimal128(38, 0), "d10": pa.decimal128(38, 10), "s": pa.string(),
        "raw": pa.binary(), "day": pa.date32(),
        "ts": pa.timestamp("us"), "tz": pa.timestamp("us", tz="UTC"), "t": pa.time64("us"),
        "u": pa.string(), "h": pa.int64(),
    }
)  # fmt: skip


at = datetime.datetime.fromisoformat


def extract(project: Any, sql: str, **inputs: Any) -> pa.Table:
    """The file that a step writes, as a table."""
    out = project.one(type="db_extract_stream", sql=sql, output="t.parquet", **inputs)
    table = pq.read_table(out["output"])
    assert table.num_rows == out["rows"]
    assert table.column_names == out["columns"]
    return table


@pytest.fixture(params=["arrow", "rows"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways from DuckDB into Parquet."""
    if request.param == "rows":
        monkeypatch.setattr(DuckDBConnector, "stream_arrow", lambda *_args, **_options: None)
    return str(request.param)


def test_every_type_arrives_without_loss(duck: Any, way: str) -> None:
    table = extract(duck, MATRIX, fetch_size=1)
    assert table.schema.remove_metadata() == SCHEMA
    rows = table.to_pylist()
    assert set(rows[0].values()) == {1, None}
    utc = datetime.UTC
    assert rows[1]["d38"] == Decimal(12345678901234567890123456789012345678)
    assert rows[1]["d10"] == Decimal("-0.0000000001")
    assert str(rows[1].pop("d")) == "nan"
    assert rows[1]["tz"] == datetime.datetime(2024, 1, 2, 1, 4, 5, 123456, tzinfo=utc)
    assert rows[1]["ts"] == at("2024-01-02T03:04:05.123456")
    assert (rows[1]["s"], rows[1]["raw"]) == ("ü\U0001f600", b"\x00\xff")
    assert rows[1]["t"] == datetime.time(23, 59, 59, 999999)
    assert rows[2] == {
        "id": 3, "b": False, "i8": -128, "i64": -(2**63), "f": -0.25, "d": float("inf"), "d38": Decimal(-1),
        "d10": Decimal("9999999999999999999999999999.9999999999"), "s": "", "raw": b"",
        "day": datetime.date(9999, 12, 31),
        "ts": at("0001-01-01"), "tz": datetime.datetime(1969, 12, 31, 23, 59, 59, 999999, tzinfo=utc),
        "t": datetime.time(0), "u": None, "h": -5,
    }  # fmt: skip


def test_other_types_become_text(duck: Any, way: str) -> None:
    table = extract(
        duck,
        "SELECT NULL AS n, ['a', NULL] AS l, {'k': 1.5} AS st, 'a'::ENUM('a', 'b') AS e, '{\"x\": 1}'::JSON AS j, "
        "TIMESTAMP_NS '2024-01-02 03:04:05.123456' AS ns, TIMESTAMP_S '2024-01-02 03:04:05' AS s, "
        "INTERVAL 1 DAY AS span",
    )
    assert table.to_pylist() == [
        {
            "n": None, "l": '["a", null]', "st": '{"k": "1.5"}', "e": "a", "j": '{"x": 1}',
            "ns": at("2024-01-02T03:04:05.123456"), "s": at("2024-01-02T03:04:05"),
            "span": "1 day",
        }
    ]  # fmt: skip
    assert {str(field.type) for field in table.schema} == {"string", "timestamp[us]"}


def test_a_sum_beyond_64_bits_names_column_and_row(duck: Any, way: str) -> None:
    sql = "SELECT i AS id, CASE WHEN i = 3 THEN 9223372036854775807::HUGEINT + 1 ELSE i END AS total FROM range(5) r(i)"
    error = duck.run(step={"type": "db_extract_stream", "sql": sql, "output": "t.parquet", "fetch_size": 2}).error
    assert error.message == "column 'total', row 4: the value 9223372036854775808 does not fit 64 bits"
    assert error.fix == "cast it in the SQL, or set its type: dtypes: {total: string}"
    assert extract(duck, sql, dtypes={"total": "decimal(38,0)"})["total"][3].as_py() == Decimal(2**63)


def test_an_empty_result_has_the_schema(duck: Any, way: str) -> None:
    assert extract(duck, f"SELECT * FROM ({MATRIX}) WHERE id > 9").schema.remove_metadata() == SCHEMA


def test_a_query_that_fails_midway_leaves_nothing(duck: Any, way: str) -> None:
    sql = "SELECT CASE WHEN i = 150000 THEN error('boom') ELSE i::VARCHAR END AS x FROM range(200000) r(i)"
    ran = duck.run(step={"type": "db_extract_stream", "sql": sql, "output": "t.parquet"})
    assert "boom" in ran.error.message
    assert ran.error.code == "AF5201"
    assert list(Path(ran.summary.work_root).rglob("*t.parquet*")) == []


def test_row_groups_are_large_whatever_the_fetch_size(duck: Any, way: str) -> None:
    out = duck.one(type="db_extract_stream", sql="SELECT * FROM range(200000)", output="t.parquet", fetch_size=3000)
    groups = pq.ParquetFile(out["output"]).metadata
    assert groups.num_row_groups <= 3
    assert groups.row_group(0).column(0).compression == "ZSTD"


def test_params_and_compression(duck: Any, way: str) -> None:
    out = duck.one(
        type="db_extract_stream",
        sql="SELECT :x::INTEGER AS x",
        params={"x": 5},
        output="t.parquet",
        compression="snappy",
    )
    assert pq.read_table(out["output"]).to_pylist() == [{"x": 5}]
    assert pq.ParquetFile(out["output"]).metadata.row_group(0).column(0).compression == "SNAPPY"


def test_dtypes_set_by_the_user(project: Any) -> None:
    sql = "SELECT 1 AS a, '2024-01-02' AS day, '1.50' AS amount, '2024-01-02T03:04:05+02:00' AS at"
    dtypes = {"day": "date", "amount": "decimal(10,2)", "at": "datetime(utc)", "a": "string"}
    expected = [
        {
            "a": "1", "day": datetime.date(2024, 1, 2), "amount": Decimal("1.50"),
            "at": datetime.datetime(2024, 1, 2, 1, 4, 5, tzinfo=datetime.UTC),
        }
    ]  # fmt: skip
    assert extract(project, sql, dtypes=dtypes).to_pylist() == expected
    as_json = '{"day": "DATE", "amount": "numeric(10, 2)", "at": "timestamptz", "a": "text"}'
    assert extract(project, sql, dtypes_json=as_json).to_pylist() == expected
    assert extract(project, sql, dtypes=dtypes, dtypes_json=as_json).to_pylist() == expected


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"dtypes": {"b": "int"}}, "dtypes names no column of the query: b"),
        ({"dtypes": {"a": "date"}}, "column 'a', row 1: the value 1 is no date"),
        ({"dtypes": {"a": "int"}, "dtypes_json": '{"a": "float"}'}, "dtypes and dtypes_json are both given and differ"),
        ({"dtypes_json": "[1]"}, "dtypes_json must be a map"),
        ({"dtypes_json": "{"}, "dtypes_json is no JSON"),
        ({"dtypes_json": '{"a": "money"}'}, "type 'money' is not known"),
    ],
)
def test_dtypes_that_cannot_be(lite: Any, inputs: dict[str, Any], message: str) -> None:
    ran = lite.run(step={"type": "db_extract_stream", "sql": "SELECT 1 AS a", "output": "t.parquet"} | inputs)
    assert message in ran.error.message


def test_sqlite_declared_types(lite: Any) -> None:
    lite.one(
        type="db_execute",
        sql="CREATE TABLE t (id INTEGER PRIMARY KEY, day DATE, at TIMESTAMP, paid BOOLEAN,"
        "price DECIMAL(10,2), s TEXT, f REAL, raw BLOB);"
        "INSERT INTO t VALUES (1, NULL, NULL, NULL, NULL, NULL, NULL, NULL),"
        "(2, '2024-01-02', '2024-01-02 03:04:05', 1, 12.5, 'x', 2, x'00ff')",
    )
    table = extract(lite, "SELECT *, id + 1 AS next FROM t WHERE id < :top", params={"top": 9})
    assert [str(field.type) for field in table.schema] == [
        "int64", "date32[day]", "timestamp[us]", "bool", "decimal128(10, 2)", "string", "double", "binary", "int64",
    ]  # fmt: skip
    assert list(table.to_pylist()[1].values()) == [
        2, datetime.date(2024, 1, 2), at("2024-01-02T03:04:05"), True, Decimal("12.50"), "x", 2.0, b"\x00\xff", 3,
    ]  # fmt: skip
    assert str(extract(lite, "SELECT * FROM t WHERE id > 9").schema.field("price").type) == "decimal128(10, 2)"


SERIES = "WITH RECURSIVE r(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM r WHERE i < 19999) "


def test_sqlite_nulls_first_then_a_number(lite: Any) -> None:
    table = extract(lite, f"{SERIES} SELECT CASE WHEN i > 15000 THEN i * 0.5 END AS x FROM r")
    assert str(table.schema.field("x").type) == "double"
    assert table["x"].null_count == 15001


def test_sqlite_data_that_contradicts_late_names_column_and_row(lite: Any) -> None:
    sql = f"{SERIES} SELECT i, CASE WHEN i = 12345 THEN 'soon' ELSE i END AS x FROM r"
    error = lite.run(step={"type": "db_extract_stream", "sql": sql, "output": "t.parquet"}).error
    assert error.message == "column 'x', row 12346: the value 'soon' is no whole number"
    table = extract(lite, sql, dtypes={"x": "string"})
    assert table["x"][12345].as_py() == "soon"
    assert table["x"][1].as_py() == "1"


def test_sqlite_data_that_contradicts_early_widens_the_column(lite: Any) -> None:
    table = extract(lite, "SELECT 1 AS a, 1 AS b UNION ALL SELECT 'x', 1.5")
    assert table.to_pylist() == [{"a": "1", "b": 1.0}, {"a": "x", "b": 1.5}]


def test_csv_and_parquet_agree(project: Any) -> None:
    sql = f"{SERIES} SELECT i, i * 0.25 AS f, 'row ' || i AS s FROM r LIMIT 3000"
    csv_file = project.one(type="db_extract_stream", sql=sql, output="t.csv")["output"]
    from_csv = pa_csv.read_csv(csv_file)
    assert from_csv.to_pylist() == [row | {"f": float(row["f"])} for row in extract(project, sql).to_pylist()]
