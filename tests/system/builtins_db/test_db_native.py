"""The fast ways out of PostgreSQL and DuckDB give the bytes, and the types, of the slow one."""

import io
import random
import struct
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest
from db_native import doubles, place_of, written

from aetherflow.core.api import ConnectorInit, CsvFormat
from aetherflow_builtins_db.connectors.duckdb.connector import DuckDBConnector
from aetherflow_builtins_db.connectors.postgres.connector import PostgresConnector
from services import Database

NASTY = [
    "",
    " ",
    "a,b",
    'q"q',
    '"',
    "\r",
    "\n",
    "a\r\nb",
    "\\.",
    "\\",
    "#x",
    "'",
    "NULL",
    "null",
    "\t",
    " x ",
    "é😀",
    "-",
    "a;b|c",
]


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


LATER = ", ".join("ghijklmnopqrstuv")
TYPED = {
    "duckdb": """SELECT * FROM (VALUES
      (1::TINYINT, 2::SMALLINT, 3::INTEGER, 4::BIGINT, 5::UTINYINT, 6::UINTEGER, true, 1.50::DECIMAL(10, 2),
       12345678901234567890123456789012345678::DECIMAL(38, 0), '2013-01-01'::DATE, '01:02:03.5'::TIME,
       '2013-01-01 05:00:00.5'::TIMESTAMP, '2013-07-01 05:00:00.000001+02'::TIMESTAMPTZ, '\\xAA\\x00ab'::BLOB,
       'ab0c8fb3-9dbb-4a30-9a1e-f29a1b51ec7a'::UUID, '{"a": 1}'::JSON, 'x'::ENUM('x', 'y'), 0.1::FLOAT),
      (NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
      (-128, -32768, -2147483648, -9223372036854775808, 0, 4294967295, false, -0.01, -1, '0001-01-01',
       '23:59:59.999999',
       '9999-12-31 23:59:59.999999', '2013-01-01 00:00:00+00', '', 'ab0c8fb3-9dbb-4a30-9a1e-f29a1b51ec7b', 'null', 'y',
       1))
      AS t(a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r)""",
    "postgres": """SELECT * FROM (VALUES
      (1::int2, 2::int4, 3::int8, true, 1.50::numeric(10, 2), 12345678901234567890123456789012345678::numeric(38, 0),
       '2013-01-01'::date, '01:02:03.5'::time, '2013-01-01 05:00:00.5'::timestamp,
       '2013-07-01 05:00:00.000001+02'::timestamptz, 'ab0c8fb3-9dbb-4a30-9a1e-f29a1b51ec7a'::uuid, '{"a":  1}'::json,
       '{"b": 1.10}'::jsonb, '10.0.0.1/8'::inet, '1 day 02:00'::interval, 'x'::char(4), 0.1::float4, '[1,5)'::int4range,
       B'101', '<a/>'::xml, '01:02:03+02'::timetz, 'ä'::text),
      (NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
       NULL, NULL, NULL),
      (-32768, -2147483648, -9223372036854775808, false, -0.01, -1, '0001-01-01', '24:00:00',
       '9999-12-31 23:59:59.999999', '2013-01-01 00:00:00+00', 'ab0c8fb3-9dbb-4a30-9a1e-f29a1b51ec7b', '[]', 'null',
       '::1', '-1 mon', '', 1e20, 'empty', B'', '', '00:00:00+00', ''))
      AS t(a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s, t, u, v)""",
}


def test_values_of_all_types_are_byte_equal(db: Any) -> None:
    sql = TYPED[db.driver]
    slow = written(db, sql, native=False)
    assert written(db, sql, native=True).decode() == slow.decode()
    assert slow.count(b"\n") == 4


def test_bytes_are_byte_equal(db: Any) -> None:
    kind = "bytea" if db.driver == "postgres" else "BLOB"
    db.execute(f"CREATE TABLE n (i INTEGER, b {kind})")
    rows = [{"i": i, "b": bytes(range(i % 256)) * (1 + i % 3)} for i in range(300)]
    db.executemany("INSERT INTO n VALUES (:i, :b)", [*rows, {"i": 1000, "b": None}])
    sql = "SELECT i, b FROM n ORDER BY i"
    assert written(db, sql, native=True) == written(db, sql, native=False)


def test_doubles_are_byte_equal(db: Any) -> None:
    kind = "float8" if db.driver == "postgres" else "DOUBLE"
    db.execute(f"CREATE TABLE n (i INTEGER, f {kind})")
    db.executemany("INSERT INTO n VALUES (:i, :f)", [{"i": i, "f": f} for i, f in enumerate(doubles(3000))])
    sql = "SELECT i, f FROM n ORDER BY i"
    fast, slow = (
        written(db, sql, native=True).decode().splitlines(),
        written(db, sql, native=False).decode().splitlines(),
    )
    assert [pair for pair in zip(fast, slow, strict=True) if len(set(pair)) > 1] == []


def test_singles_are_byte_equal(db: Any) -> None:
    kind = "float4" if db.driver == "postgres" else "FLOAT"
    chosen = random.Random(3)
    values = [struct.unpack("<f", chosen.randbytes(4))[0] for _ in range(500)]
    db.execute(f"CREATE TABLE n (i INTEGER, f {kind})")
    db.executemany("INSERT INTO n VALUES (:i, :f)", [{"i": i, "f": f} for i, f in enumerate(values)])
    sql = "SELECT i, f FROM n ORDER BY i"
    fast, slow = (
        written(db, sql, native=True).decode().splitlines(),
        written(db, sql, native=False).decode().splitlines(),
    )
    assert [pair for pair in zip(fast, slow, strict=True) if len(set(pair)) > 1] == []


@pytest.mark.parametrize(
    "dialect",
    [{}, {"delimiter": "\t"}, {"delimiter": ";", "quotechar": "'"}, {"null_value": "NULL"}, {"include_header": False},
     {"null_value": "-", "delimiter": "|"}],
)  # fmt: skip
def test_text_is_byte_equal(db: Any, dialect: dict[str, Any]) -> None:
    db.execute("CREATE TABLE n (i INTEGER, s VARCHAR, t VARCHAR)")
    chosen = random.Random(1)
    texts = [
        *NASTY,
        *("".join(chosen.choices("ab ,;|\"'\r\n\t\\.#é", k=chosen.randint(0, 6))) for _ in range(500)),
        None,
    ]
    db.executemany("INSERT INTO n VALUES (:i, :s, :t)", [{"i": i, "s": s, "t": s} for i, s in enumerate(texts)])
    sql = 'SELECT i, s AS "NULL", t AS "a ""b"", c", s AS "-" FROM n ORDER BY i'
    fast, slow = (written(db, sql, native=native, dialect=dialect).decode() for native in (True, False))
    assert fast == slow


def test_params_and_percent_signs_pass(db: Any) -> None:
    sql = "SELECT :s AS s, ':s %' AS t, 5 % 3 AS m -- :x\n"
    text = "x' OR 1=1; DROP TABLE n; --"
    assert written(db, sql, native=True, params={"s": text}) == f"s,t,m\n{text},:s %,2\n".encode()


def test_parquet_has_the_same_types_and_values(db: Any) -> None:
    sql = TYPED[db.driver]
    if db.driver == "postgres":  # VALUES does not keep the digits of a numeric
        sql = sql.replace("'24:00:00'", "'23:59:59.999999'")
        sql = sql.replace("SELECT *", "SELECT a, b, c, d, e::numeric(10, 2) AS e, f::numeric(38, 0) AS f, " + LATER)
    fast, slow = (
        pyarrow.parquet.read_table(io.BytesIO(written(db, sql, native=native, format="parquet")))
        for native in (True, False)
    )
    assert [(f.name, str(f.type)) for f in fast.schema] == [(f.name, str(f.type)) for f in slow.schema]
    assert fast.to_pylist() == slow.to_pylist()
    assert fast.num_rows == 3
    assert Decimal(12345678901234567890123456789012345678) in fast.to_pylist()[0].values()


@pytest.mark.parametrize("format_name", ["csv", "parquet"])
def test_no_rows_are_a_header_or_a_schema(db: Any, format_name: str) -> None:
    sql = "SELECT 1 AS a, 'x' AS b WHERE 1 = 0"
    fast, slow = (written(db, sql, native=native, format=format_name) for native in (True, False))
    if format_name == "csv":
        assert fast == slow == b"a,b\n"
    else:
        assert pyarrow.parquet.read_table(io.BytesIO(fast)).schema.names == ["a", "b"]


@pytest.mark.parametrize("zone", ["Europe/Berlin", "UTC"])
def test_instants_are_utc_whatever_the_session_says(tmp_path: Path, postgres: Database, zone: str) -> None:
    made: list[Any] = [
        DuckDBConnector(ConnectorInit("wh", "db", "duckdb", {}, {"pragmas": {"TimeZone": zone}})),
        PostgresConnector(
            ConnectorInit("wh", "db", "postgres", place_of(postgres), {"init_sql": f"SET TimeZone = '{zone}'"})
        ),
    ]
    sql = "SELECT 1 AS i, TIMESTAMPTZ '2013-07-01 05:00:00.5+02' AS t"
    for each in made:
        with each:
            assert written(each, sql, native=False) == b"i,t\n1,2013-07-01 03:00:00.5+00\n"
            assert written(each, sql, native=True) == b"i,t\n1,2013-07-01 03:00:00.5+00\n"


def test_a_value_that_parquet_cannot_hold_is_told(postgres: Database) -> None:
    from aetherflow.core.api import StepError

    made = PostgresConnector(ConnectorInit("wh", "db", "postgres", place_of(postgres), {}))
    with made, pytest.raises(StepError, match="infinity") as error:
        written(made, "SELECT 1 AS i, 'infinity'::timestamp AS t", native=True, format="parquet")
    assert error.value.fix


def test_what_is_left_early_leaves_no_session(db: Any) -> None:
    sql = "SELECT n, 'text' AS s FROM generate_series(1, 1000000) AS g(n)"
    for _ in range(3):
        with db.stream_csv(sql, dialect=CsvFormat()) as blocks:
            assert next(iter(blocks.blocks()))
    assert db.ping()


@pytest.mark.parametrize(
    "tail", [";", "; -- the end", "; /* the end */", " ;\n", "-- the end", "\n/* a; b */ ; -- c\n"]
)
def test_what_stands_behind_a_query(db: Any, tail: str) -> None:
    sql = "SELECT 1 AS a, 'x;' AS b" + tail
    assert written(db, sql, native=True) == written(db, sql, native=False) == b"a,b\n1,x;\n"


JSON_OF = {"i": "int8", "n": "numeric", "d": "date", "t": "time", "s": "timestamp", "z": "timestamptz", "f": "float8"}
HARD: list[dict[str, str | int]] = [
    {
        "i": -(2**63),
        "n": "-0.010",
        "d": "0001-01-01",
        "t": "24:00:00",
        "s": "0001-01-01",
        "z": "0001-01-01 00:00:00+00",
    },
    {"n": "NaN", "d": "infinity", "t": "00:00:00", "s": "infinity", "z": "-infinity", "f": "NaN"},
    {
        "n": "12345678901234567890.5",
        "d": "0044-03-15 BC",
        "t": "23:59:59.999999",
        "s": "0044-03-15 BC",
        "z": "0044-03-15 BC",
    },
    {"d": "10000-01-01", "s": "9999-12-31 23:59:59.999999", "z": "9999-12-31 23:59:59.999999+00", "f": "-Infinity"},
    {"t": "01:02:03.5", "s": "2013-01-01 05:00:00.000001", "z": "2013-07-01 05:00:00.12+02", "f": "1e16"},
    {"z": "10000-01-01 03:00:00+00", "s": "10000-01-01", "f": "-0"},
    {"z": "0001-01-01 03:00:00+00", "f": "0.1"},
    {"z": "9999-12-31 22:00:00+00", "f": "1"},
]


@pytest.fixture(params=[("UTC", True), ("UTC", False), ("Asia/Tokyo", True), ("America/New_York", True)])
def there(
    request: pytest.FixtureRequest, postgres: Database, monkeypatch: pytest.MonkeyPatch
) -> Iterator[PostgresConnector]:
    """PostgreSQL, whose sessions are in a zone, with pyarrow or without."""
    zone, has_pyarrow = request.param
    if not has_pyarrow:
        monkeypatch.setitem(sys.modules, "pyarrow", None)
    settings = {"init_sql": f"SET TimeZone = '{zone}'"}
    with PostgresConnector(ConnectorInit("wh", "db", "postgres", place_of(postgres), settings)) as made:
        made.execute("DROP TABLE IF EXISTS n")
        yield made
        made.execute("DROP TABLE IF EXISTS n")


def lines(db: Any, sql: str, **changes: Any) -> tuple[list[str], list[str]]:
    """The JSON lines of a query, from the server's text and from Python's values."""
    fast, slow = (written(db, sql, native=native, format="jsonl", **changes) for native in (True, False))
    return fast.decode().split("\n"), slow.decode().split("\n")


def test_json_of_all_types_is_byte_equal(there: PostgresConnector) -> None:
    fast, slow = lines(there, TYPED["postgres"])
    assert fast == slow
    there.execute(f"CREATE TABLE n ({', '.join(f'{name} {kind}' for name, kind in JSON_OF.items())})")
    for row in HARD:
        values = ", ".join(f"'{value}'" for value in row.values())
        there.execute(f"INSERT INTO n ({', '.join(row)}) VALUES ({values})")
    fast, slow = lines(there, "SELECT * FROM n")
    assert fast == slow
    assert len(fast) == len(HARD) + 1


def test_json_of_texts_and_doubles_is_byte_equal(there: PostgresConnector) -> None:
    there.execute("CREATE TABLE n (i int, s text, f float8, b bytea, c char(6))")
    texts = [*NASTY, *map(chr, range(1, 300)), "\u2028", "'; --", "%s", "%(a)s", ":x", "a\vb"]
    texts += ["\\v", "\\N", '"\\N"', ":\\N", '\\"\\N', "\\\v\\"]
    rows = [
        {"i": index, "s": text, "f": double, "b": text.encode() * 40, "c": text[:5]}
        for index, (text, double) in enumerate(zip(texts, doubles(len(texts)), strict=False))
    ]
    there.executemany("INSERT INTO n VALUES (:i, :s, :f, :b, :c)", rows)
    sql = """SELECT i, s AS "a ""b"" \\ 'c' %", f AS "%s", b AS "é", c AS ":x" FROM n WHERE i >= :least ORDER BY i"""
    fast, slow = lines(there, sql, params={"least": 0})
    assert fast == slow
    fast, slow = lines(there, sql.replace(":least", "0"))
    assert fast == slow
    assert len(fast) == len(rows) + 1


def test_json_of_one_column_and_of_lists(there: PostgresConnector) -> None:
    assert lines(there, r"SELECT '\.' AS a") == ([r'{"a":"\\."}', ""],) * 2
    assert there.stream_json("SELECT ARRAY[1, 2] AS a") is None
    assert there.stream_json("SHOW TimeZone") is None
