"""Values that a way without Python objects once made something else of: on both ways they are the same."""

import datetime
import io
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from db_loads import load, write
from db_native import place_of, written

from aetherflow.core.api import ConnectorInit, CsvFormat, RowsRefusedError
from aetherflow_builtins_db.connectors.duckdb.connector import DuckDBConnector
from aetherflow_builtins_db.connectors.mysql.connector import MySQLConnector
from aetherflow_builtins_db.connectors.postgres.connector import PostgresConnector
from aetherflow_builtins_db.connectors.postgres.loading import _checked
from db_places import file_place, place_for, settings
from db_project import Project
from services import Database

MARK = "\ufeff"
NOON = datetime.datetime.fromisoformat("2026-07-01 12:00:00.5")


def postgres_at(server: Database, **options: Any) -> PostgresConnector:
    return PostgresConnector(ConnectorInit("wh", "db", "postgres", place_of(server), options))


def table_of(data: bytes) -> Any:
    return pq.read_table(io.BytesIO(data))


# Out of PostgreSQL and DuckDB


def test_a_null_that_is_alone_in_its_row_is_a_row_of_parquet(postgres: Database) -> None:
    with postgres_at(postgres) as db:
        for kind in ("text", "int4", "date"):
            sql = f"SELECT NULL::{kind} AS a FROM generate_series(1, 3)"
            assert table_of(written(db, sql, native=True, format="parquet")).to_pydict() == {"a": [None] * 3}


def test_a_text_that_begins_like_a_file_keeps_its_first_character(postgres: Database) -> None:
    with postgres_at(postgres) as db:
        sql = f"SELECT '{MARK}x' AS a, 1 AS b"
        assert written(db, sql, native=True, format="jsonl").decode() == f'{{"a":"{MARK}x","b":1}}\n'
        assert table_of(written(db, sql, native=True, format="parquet")).to_pydict() == {"a": [f"{MARK}x"], "b": [1]}


def test_rows_of_many_megabytes_go_into_parquet(postgres: Database) -> None:
    with postgres_at(postgres) as db:
        sql = "SELECT repeat('x', 6000000) AS a, n, repeat('y', 3000000) AS b FROM generate_series(1, 3) AS g(n)"
        found = table_of(written(db, sql, native=True, format="parquet"))
    assert [len(text) for text in found["a"].to_pylist()] == [6_000_000] * 3
    assert found["n"].to_pylist() == [1, 2, 3]


INSTANTS = [
    "infinity",
    "-infinity",
    "0044-03-15 BC",
    "10000-01-01",
    "0001-01-01 00:00+00",
    "1890-01-01",
    "9999-12-31 23:59+00",
]


@pytest.mark.parametrize("zone", ["UTC", "Asia/Tokyo", "America/New_York"])
def test_instants_that_python_has_none_of_are_as_the_server_writes_them(postgres: Database, zone: str) -> None:
    with postgres_at(postgres, init_sql=f"SET TimeZone = '{zone}'") as db:
        for instant in INSTANTS:
            sql = f"SELECT 1 AS i, '{instant}'::timestamptz AS t"
            assert written(db, sql, native=True) == written(db, sql, native=False), instant


def test_an_instant_with_a_zone_of_seconds_goes_into_parquet(tmp_path: Path, postgres: Database) -> None:
    settings = {"init_sql": "SET TimeZone = 'Europe/Berlin'"}
    place = place_of(postgres)
    resource = {"kind": "db", "driver": "postgres", "config": place, "options": settings}
    project = Project(tmp_path, {"wh": resource})
    sql = "SELECT '1890-01-01 12:00:00+00'::timestamptz AS t"
    out = project.one(type="db_extract", sql=sql, output="o.parquet")["output"]
    assert pq.read_table(out)["t"].to_pylist() == [datetime.datetime(1890, 1, 1, 12, tzinfo=datetime.UTC)]


def test_infinity_in_a_zone_is_no_instant_of_utc() -> None:
    with DuckDBConnector(ConnectorInit("wh", "db", "duckdb", {}, {"pragmas": {"TimeZone": "Europe/Berlin"}})) as db:
        assert written(db, "SELECT 1 AS i, 'infinity'::TIMESTAMPTZ AS t", native=True) == b"i,t\n1,infinity\n"


@pytest.mark.parametrize("null", ["-1", "nan", "5.5"])
def test_a_number_that_looks_like_null_is_quoted(postgres: Database, null: str) -> None:
    sql = "SELECT -1 AS a, 'nan'::float8 AS b, 5.5::float8 AS c, NULL::int AS d"
    found = f"-1,nan,5.5,{null}\n".replace(f"{null},", f'"{null}",')
    connectors = (postgres_at(postgres), DuckDBConnector(ConnectorInit("wh", "db", "duckdb", {}, {})))
    for connector in connectors:
        with connector as db:
            for native in (True, False):
                dialect = {"null_value": null, "include_header": False}
                assert written(db, sql, native=native, dialect=dialect).decode() == found


# Out of MariaDB


def test_csv_between_signs_of_control_is_byte_equal(mariadb: Database) -> None:
    with MySQLConnector(ConnectorInit("wh", "db", "mysql", settings(mariadb), {})) as db:
        for delimiter in "\x01\x02\x1f":
            sql = "SELECT 'a' AS x, 1 AS y, '' AS z, NULL AS n"
            dialect = {"delimiter": delimiter, "include_header": False}
            fast, slow = (written(db, sql, native=native, dialect=dialect) for native in (True, False))
            assert fast == slow == delimiter.join(["a", "1", '""', ""]).encode() + b"\n"


@pytest.mark.parametrize("charset", ["latin1", "gbk"])
def test_csv_is_utf8_whatever_the_connection_is(mariadb: Database, charset: str) -> None:
    options = {"connect_args": {"charset": charset}}
    with MySQLConnector(ConnectorInit("wh", "db", "mysql", settings(mariadb), options)) as db:
        for code in ("C3A4", "C3BB", "62"):
            sql = f"SELECT CONVERT(0x{code} USING utf8mb4) AS a, 1 AS b"
            try:
                text = bytes.fromhex(code).decode()
                text.encode(charset)
            except UnicodeEncodeError:
                text = "?"
            assert written(db, sql, native=True) == f"a,b\n{text},1\n".encode()


# Into PostgreSQL


@pytest.fixture
def filled(request: pytest.FixtureRequest, tmp_path: Path) -> Project:
    """An empty database of PostgreSQL."""
    place = place_for(request, "postgres", "native")
    return Project(tmp_path, {"wh": place.resource}, place)


FIELDS = ['a "b" c', 'a""b', 'a""', '5" x 3"', 'x"']


def test_quotes_within_a_field_stay(filled: Project) -> None:
    filled.sql("CREATE TABLE t (k integer, s text, u text)")
    text = "k,s,u\n" + "".join(f"{number},{field},z\n" for number, field in enumerate(FIELDS))
    filled.one(**load(write(filled, text)))
    assert filled.rows("SELECT s FROM t ORDER BY k") == [[field] for field in FIELDS]


def test_a_quote_within_a_field_hides_no_delimiter(filled: Project) -> None:
    filled.sql("CREATE TABLE t (k integer, s text, u text)")
    path = write(filled, 'k,s,u\n1,x"y,z"w,2\n2,"a,""b""",c\n')
    assert filled.run(step=load(path)).status["step"] == "FAILED"
    assert filled.one(**load(path, max_rejects=1))["rejected"] == 1
    assert filled.rows("SELECT k, s, u FROM t") == [[2, 'a,"b"', "c"]]


def test_quotes_are_seen_wherever_a_block_ends() -> None:
    def passed(text: bytes, size: int) -> bytes:
        return b"".join(_checked((text[at : at + size] for at in range(0, len(text), size)), CsvFormat()))

    for size in range(1, 12):
        for wrong in (b'a"b"c,1\n', b'x"y,z"w\n', b'"a"b,1\n', b'a "",b\n', b'""b,c\n', b' "a",b\n', b',"x"y"z"\n'):
            with pytest.raises(RowsRefusedError):
                passed(wrong, size)
        for right in (b'"a""b","",\r\n', b'"""",""""""\n', b'a,"b\n""c,",\n"",d\n'):
            assert passed(right, size) == right


ZONED = pa.array([NOON, None], pa.timestamp("us", "Europe/Berlin"))
INTO_POSTGRES = [
    ("double precision", pa.array([0.1, None], pa.float32()), "0.10000000149011612"),
    ("real", pa.array([0.1, None], pa.float32()), "0.1"),
    ("timestamptz", ZONED, "2026-07-01 12:00:00.5+00"),
    ("text", pa.array([Decimal("0.0000001"), None], pa.decimal128(20, 10)), "0.0000001000"),
    ("text", pa.array([NOON, None]), "2026-07-01 12:00:00.5"),
    ("timestamp", ZONED, "2026-07-01 12:00:00.5"),
]


@pytest.mark.parametrize("chosen", [INTO_POSTGRES[:3], INTO_POSTGRES[3:]])
def test_parquet_into_postgres_has_the_values_of_rows(filled: Project, chosen: list[tuple[str, Any, str]]) -> None:
    """The first three go as Arrow's CSV, the others as rows: a column takes all along."""
    names = [f"c{number}" for number in range(len(chosen))]
    declared = ", ".join(f"{name} {kind}" for name, (kind, _, _) in zip(names, chosen, strict=True))
    filled.sql(f"CREATE TABLE t (k integer, {declared})")
    path = write(filled, "", "in.parquet")
    columns = {name: column for name, (_, column, _) in zip(names, chosen, strict=True)}
    pq.write_table(pa.table({"k": [1, 2], **columns}), path)
    filled.one(**load(path))
    found = filled.rows(f"SELECT {', '.join(f'{name}::text' for name in names)} FROM t ORDER BY k")
    assert found == [[text for _, _, text in chosen], [None] * 3]


def test_a_copy_keeps_the_first_character_of_its_rows(filled: Project) -> None:
    filled.sql("CREATE TABLE t (s text, k integer)", f"INSERT INTO t VALUES ('{MARK}x', 1)")
    filled.sql("CREATE TABLE u (s text, k integer)")
    filled.one(type="db_copy", from_table="t", target="wh", table="u")
    assert filled.rows("SELECT s FROM u") == [[f"{MARK}x"]]


# Into DuckDB


@pytest.fixture
def wh(tmp_path: Path) -> Project:
    place = file_place("duckdb")
    return Project(tmp_path, {"wh": place.resource}, place)


def test_a_name_is_no_pattern(wh: Project) -> None:
    wh.sql("CREATE TABLE t (a VARCHAR, b INTEGER)")
    for name in ("in[1]", "in*", "in1"):
        write(wh, f"a,b\n{name},1\n", f"{name}.csv")
        pq.write_table(pa.table({"a": [name], "b": [1]}), write(wh, "", f"{name}.parquet"))
    folder = wh.root / "work" / "t" / "given"
    for path in sorted(folder.iterdir()):
        wh.one(**load(str(path), mode="truncate"))
        assert wh.rows("SELECT a FROM t") == [[path.stem]], path.name


def test_a_folder_says_nothing_of_a_column(wh: Project) -> None:
    wh.sql("CREATE TABLE t (year VARCHAR, a INTEGER)")
    folder = wh.root / "work" / "t" / "year=2024"
    folder.mkdir(parents=True)
    pq.write_table(pa.table({"year": ["1999"], "a": [1]}), folder / "in.parquet")
    (folder / "in.csv").write_text("year,a\n1999,1\n")
    for name in ("in.parquet", "in.csv"):
        wh.one(**load(str(folder / name), mode="truncate"))
        assert wh.rows("SELECT year, a FROM t") == [["1999", 1]]


TEXTS = [
    (pa.array([7]), "7"),
    (pa.array([datetime.date(2026, 7, 1)]), "2026-07-01"),
    (pa.array([NOON]), "2026-07-01 12:00:00.5"),
    (pa.array([True]), "true"),
    (pa.nulls(1), None),
    (pa.array(["ä".encode()]), "w6Q="),
    (pa.array([[1, None]]), "[1, null]"),
    (pa.array([{"a": 1}]), '{"a": 1}'),
    (pa.array([Decimal("1" * 50)], pa.decimal256(60, 0)), "1" * 50),
    (pa.array([Decimal("0.5")], pa.decimal128(2, 2)), "0.50"),
    (pa.array([1e16]), "1e+16"),
]


@pytest.mark.parametrize("chosen", [TEXTS[:5], TEXTS[5:]])
def test_a_column_of_text_gets_the_text_of_this_package(wh: Project, chosen: list[tuple[Any, str | None]]) -> None:
    """The first five are cast by DuckDB itself."""
    names = [f"c{number}" for number in range(len(chosen))]
    wh.sql(f"CREATE TABLE t ({', '.join(f'{name} VARCHAR' for name in names)})")
    path = write(wh, "", "in.parquet")
    pq.write_table(pa.table({name: column for name, (column, _) in zip(names, chosen, strict=True)}), path)
    wh.one(**load(path))
    assert wh.rows("SELECT * FROM t") == [[text for _, text in chosen]]


def test_old_times_of_parquet_are_not_cut(wh: Project) -> None:
    path = write(wh, "", "in.parquet")
    wh.sql("CREATE TABLE t (a TIMESTAMP, b INTEGER)")
    for nanoseconds, status in ((1001, "FAILED"), (1000, "SUCCESS")):
        table = pa.table({"a": pa.array([nanoseconds], pa.timestamp("ns")), "b": [1]})
        pq.write_table(table, path, use_deprecated_int96_timestamps=True)
        assert wh.run(step=load(path)).status["step"] == status


def test_two_names_that_differ_in_case(wh: Project) -> None:
    path = write(wh, "", "in.parquet")
    wh.sql("CREATE TABLE t (a INTEGER, b INTEGER)")
    pq.write_table(pa.table({"a": [1], "A": [2]}), path)
    wh.one(**load(path, columns={"a": "a", "A": "b"}))
    assert wh.rows("SELECT a, b FROM t") == [[1, 2]]


def test_rows_keep_signs_that_files_have_between_them(wh: Project) -> None:
    wh.sql("CREATE TABLE t (a VARCHAR, b INTEGER)")
    for text in (f"{MARK}x", "a\rb", "a\r\nb"):
        path = write(wh, json.dumps({"a": text, "b": 1}), "in.jsonl")
        wh.one(**load(path, mode="truncate"))
        assert wh.rows("SELECT a FROM t") == [[text]]
