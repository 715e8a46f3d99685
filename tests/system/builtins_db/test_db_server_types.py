"""The types of PostgreSQL and MariaDB: what Python sees, and what every format keeps."""

import base64
import csv
import datetime as dt
import gzip
import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest

from aetherflow.core.api import ConnectorInit
from aetherflow_builtins_db.connectors.mysql.connector import MySQLConnector
from aetherflow_builtins_db.connectors.postgres.connector import PostgresConnector
from aetherflow_builtins_db.formats.values import text_value
from services import Database

BIG = Decimal(12345678901234567890123456789012345678)


def at(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text)


# name, declaration, our type, then pairs of SQL and value; null comes first in every column.
Case = tuple[str, str, str, list[tuple[str, Any]]]
POSTGRES: list[Case] = [
    ("i2", "smallint", "int", [("-32768", -32768), ("32767", 32767)]),
    ("i4", "integer", "int", [("-2147483648", -(2**31)), ("2147483647", 2**31 - 1)]),
    ("i8", "bigint", "int", [("-9223372036854775808", -(2**63)), ("9223372036854775807", 2**63 - 1)]),
    ("ser", "bigserial", "int", [("1", 1), ("2", 2)]),
    ("b", "boolean", "bool", [("true", True), ("false", False)]),
    ("f4", "real", "float", [("0.1", 0.1), ("-1e20", -1e20)]),
    ("f8", "double precision", "float", [("5e-324", 5e-324), ("1.7976931348623157e308", 1.7976931348623157e308)]),
    ("n", "numeric(10, 2)", "decimal(10,2)", [("0.10", Decimal("0.10")), ("-99999999.99", Decimal("-99999999.99"))]),
    ("n38", "numeric(38, 0)", "decimal(38,0)", [(str(BIG), BIG), ("-1", Decimal(-1))]),
    ("nn", "numeric", "unknown", [("1.5", Decimal("1.5")), ("2.25", Decimal("2.25"))]),
    ("t", "text", "string", [("'ü\U0001f600'", "ü\U0001f600"), ("''", "")]),
    ("v", "varchar(10)", "string", [("'a,\"b\"'", 'a,"b"'), ("E'tab\\tnl\\n'", "tab\tnl\n")]),
    ("c", "char(4)", "string", [("'ab'", "ab  "), ("''", "    ")]),
    ("x", "bytea", "bytes", [("'\\x00ff'", b"\x00\xff"), ("''", b"")]),
    ("d", "date", "date", [("'0001-01-01'", dt.date(1, 1, 1)), ("'9999-12-31'", dt.date(9999, 12, 31))]),
    ("tm", "time", "time", [("'23:59:59.999999'", dt.time(23, 59, 59, 999999)), ("'00:00'", dt.time())]),
    ("ts", "timestamp", "datetime", [("'2026-03-29 02:30:00.25'", at("2026-03-29T02:30:00.25")),
                                     ("'0001-01-01'", at("0001-01-01T00:00:00"))]),
    ("tz", "timestamptz", "datetime(utc)", [("'2026-03-29 02:30:00+02'", at("2026-03-29T00:30:00+00:00")),
                                            ("'2026-10-25 01:30:00-05'", at("2026-10-25T06:30:00+00:00"))]),
    ("u", "uuid", "string", [("'ab0c8fb3-9dbb-4a30-9a1e-f29a1b51ec7a'", "ab0c8fb3-9dbb-4a30-9a1e-f29a1b51ec7a"),
                             ("'00000000-0000-0000-0000-000000000000'", "00000000-0000-0000-0000-000000000000")]),
    ("j", "json", "string", [("'{\"a\":  1.10}'", '{"a":  1.10}'), ("'null'", "null")]),
    ("jb", "jsonb", "string", [("'{\"a\":  1.10}'", '{"a": 1.10}'), ("'[]'", "[]")]),
    ("ar", "integer[]", "string", [("'{1,NULL,3}'", [1, None, 3]), ("'{}'", [])]),
    ("ip", "inet", "string", [("'10.0.0.1/8'", "10.0.0.1/8"), ("'::1'", "::1")]),
    ("iv", "interval", "string", [("'1 day 02:00'", "1 day 02:00:00"), ("'-1 mon'", "-1 mons")]),
    ("r", "int4range", "string", [("'[1,5)'", "[1,5)"), ("'empty'", "empty")]),
    ("bi", "bit(3)", "string", [("B'101'", "101"), ("B'000'", "000")]),
    ("m", "mood", "string", [("'glad'", "glad"), ("'sad'", "sad")]),
]  # fmt: skip
MARIADB: list[Case] = [
    ("i1", "tinyint", "int", [("-128", -128), ("127", 127)]),
    ("i2", "smallint unsigned", "int", [("0", 0), ("65535", 65535)]),
    ("i3", "mediumint", "int", [("-8388608", -8388608), ("8388607", 8388607)]),
    ("i4", "int unsigned", "int", [("0", 0), ("4294967295", 2**32 - 1)]),
    ("i8", "bigint", "int", [("-9223372036854775808", -(2**63)), ("9223372036854775807", 2**63 - 1)]),
    ("u8", "bigint unsigned", "decimal(20,0)", [("0", 0), ("18446744073709551615", 2**64 - 1)]),
    ("bo", "boolean", "int", [("true", 1), ("false", 0)]),
    ("bt", "bit(10)", "int", [("b'1000000001'", 513), ("b'0'", 0)]),
    ("yr", "year", "int", [("1901", 1901), ("2155", 2155)]),
    ("f4", "float", "float", [("0.5", 0.5), ("-1024", -1024.0)]),
    ("f8", "double", "float", [("2.2250738585072014e-308", 2.2250738585072014e-308), ("1e300", 1e300)]),
    ("n", "decimal(10, 2)", "decimal(10,2)", [("0.10", Decimal("0.10")), ("-99999999.99", Decimal("-99999999.99"))]),
    ("n38", "decimal(38, 0)", "decimal(38,0)", [(str(BIG), BIG), ("-1", Decimal(-1))]),
    ("un", "decimal(8, 3) unsigned", "decimal(8,3)", [("99999.999", Decimal("99999.999")), ("0", Decimal("0.000"))]),
    ("t", "text", "string", [("'ü\U0001f600'", "ü\U0001f600"), ("''", "")]),
    ("v", "varchar(10)", "string", [("'a,\"b\"'", 'a,"b"'), (r"'tab\tnl\n'", "tab\tnl\n")]),
    ("c", "char(4)", "string", [("'ab'", "ab"), ("''", "")]),
    ("x", "blob", "bytes", [("x'00ff'", b"\x00\xff"), ("''", b"")]),
    ("vb", "varbinary(4)", "bytes", [("x'00ff'", b"\x00\xff"), ("x'27'", b"'")]),
    ("d", "date", "date", [("'1000-01-01'", dt.date(1000, 1, 1)), ("'9999-12-31'", dt.date(9999, 12, 31))]),
    ("tm", "time(6)", "string", [("'-838:59:59'", "-838:59:59.000000"), ("'23:59:59.5'", "23:59:59.500000")]),
    ("dt", "datetime(6)", "datetime", [("'2026-03-29 02:30:00.25'", at("2026-03-29T02:30:00.25")),
                                       ("'9999-12-31 23:59:59'", at("9999-12-31T23:59:59"))]),
    ("ts", "timestamp(6) null", "datetime(utc)", [("'2026-03-29 02:30:00.25'", at("2026-03-29T02:30:00.25+00:00")),
                                                  ("'1970-01-01 00:00:01'", at("1970-01-01T00:00:01+00:00"))]),
    ("j", "json", "string", [("'{\"a\":  1.10}'", '{"a":  1.10}'), ("'null'", "null")]),
    ("e", "enum('a', 'b')", "string", [("'a'", "a"), ("'b'", "b")]),
    ("s", "set('a', 'b')", "string", [("'a,b'", "a,b"), ("''", "")]),
    ("u", "uuid", "string", [("'ab0c8fb3-9dbb-4a30-9a1e-f29a1b51ec7a'", "ab0c8fb3-9dbb-4a30-9a1e-f29a1b51ec7a"),
                             ("'00000000-0000-0000-0000-000000000000'", "00000000-0000-0000-0000-000000000000")]),
]  # fmt: skip
CASES = {"postgres": POSTGRES, "mysql": MARIADB}


def place_of(server: Database) -> dict[str, Any]:
    return {"host": server.host, "port": server.port, "user": server.user, "password": server.password,
            "database": server.name}  # fmt: skip


QUERY = "SELECT * FROM typed ORDER BY pk"


@pytest.fixture(params=list(CASES))
def driver(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def server(request: pytest.FixtureRequest, driver: str) -> Database:
    found: Database = request.getfixturevalue({"postgres": "postgres", "mysql": "mariadb"}[driver])
    return found


@pytest.fixture
def db(driver: str, server: Database) -> Iterator[Any]:
    """A connector on the table `typed`: two rows of nulls, then two of values."""
    cls: Any = {"postgres": PostgresConnector, "mysql": MySQLConnector}[driver]
    cases = CASES[driver]
    with cls(ConnectorInit("wh", "db", driver, place_of(server), {})) as made:
        if driver == "postgres":
            made.execute("CREATE TYPE mood AS ENUM ('glad', 'sad')")
        made.execute(f"CREATE TABLE typed (pk int, {', '.join(f'{name} {kind}' for name, kind, *_ in cases)})")
        for pk in range(4):
            values = ["NULL" if pk < 2 else pairs[pk - 2][0] for *_, pairs in cases]
            if driver == "postgres":
                values[3] = str(pk)  # a serial is not null
            made.execute(f"INSERT INTO typed VALUES ({pk}, {', '.join(values)})")
        yield made
        made.execute("DROP TABLE typed")
        if driver == "postgres":
            made.execute("DROP TYPE mood")


@pytest.fixture
def flows(db: Any, tmp_path: Path, driver: str, server: Database, make_project: Any) -> Any:
    return make_project(tmp_path, {"wh": {"kind": "db", "driver": driver, "config": place_of(server)}})


def expected(driver: str) -> list[list[Any]]:
    """The two rows of values."""
    rows = [[pairs[index][1] for *_, pairs in CASES[driver]] for index in range(2)]
    if driver == "postgres":
        rows[0][3], rows[1][3] = 2, 3
    return rows


def test_python_sees_every_type(db: Any, driver: str) -> None:
    with db.stream(QUERY, fetch_size=3) as rows:
        types = {column.name: str(column.type) for column in rows.columns}
        found = [list(row)[1:] for batch in rows.batches() for row in batch]
    assert types == {"pk": "int"} | {name: kind for name, _declared, kind, _pairs in CASES[driver]}
    assert found[2:] == expected(driver)
    nulls = {value for row in found[:2] for value in row}
    assert nulls == ({None} if driver == "mysql" else {None, 0, 1})


def test_parquet_keeps_every_type(flows: Any, driver: str) -> None:
    out = flows.one(type="db_extract", sql=QUERY, output="t.parquet")
    table = pyarrow.parquet.read_table(out["output"])
    found = [list(row.values())[1:] for row in table.to_pylist()][2:]
    wanted = [[json.dumps(value) if isinstance(value, list) else value for value in row] for row in expected(driver)]
    if driver == "postgres":
        assert str(table.schema.field("nn").type) == "decimal128(38, 2)", "as wide as the values are"
    assert found == wanted


def test_json_lines_keep_every_value(flows: Any, driver: str) -> None:
    out = flows.one(type="db_extract", sql=QUERY, output="t.jsonl.gz")
    lines = gzip.decompress(Path(out["output"]).read_bytes()).decode().splitlines()
    found = [list(json.loads(line).values())[1:] for line in lines][2:]
    assert found == [[json_form(value) for value in row] for row in expected(driver)]


def json_form(value: Any) -> Any:
    match value:
        case Decimal():
            return format(value, "f")
        case bytes():
            return base64.b64encode(value).decode()
        case dt.datetime() | dt.date() | dt.time():
            return value.isoformat()
        case _:
            return value


def test_csv_tells_null_from_empty_and_keeps_every_value(flows: Any, driver: str) -> None:
    out = flows.one(type="db_extract", sql=QUERY, output="t.csv", null_value="NULL")
    with Path(out["output"]).open(newline="", encoding="utf-8") as file:
        found = [row[1:] for row in csv.reader(file)][3:]
    assert found == [[text_value(value) for value in row] for row in expected(driver)]


def test_small_results_have_every_type(flows: Any, driver: str) -> None:
    out = flows.one(type="db_fetch_small", sql=QUERY)
    assert out["row_count"] == 4
    assert json.loads(out["rows_json"]) == out["rows"]
    simple = {"int": "int", "float": "float", "bool": "bool", "date": "date"}
    for name, _declared, kind, _pairs in CASES[driver]:
        wanted = "float" if kind.startswith("decimal") or name == "nn" else "datetime" if "datetime" in kind else None
        assert out["dtypes"][name] == (wanted or simple.get(kind, "string")), name


def test_a_numeric_that_widens_late_is_told_with_its_row(db: Any, flows: Any, driver: str) -> None:
    """Types are fixed by the first rows; what does not fit later is an error with its place, never a changed value."""
    wide = "CASE WHEN n < 60000 THEN 1.5 ELSE 1.123456 END"
    source = "generate_series(1, 60000) g(n)" if driver == "postgres" else "(SELECT seq AS n FROM seq_1_to_60000) g"
    ran = flows.run(
        step={"type": "db_extract", "sql": f"SELECT n, {wide} AS w FROM {source} ORDER BY n", "output": "w.parquet"}
    )
    if driver == "mysql":  # the server says decimal(7,6) at once
        assert ran.status["step"] == "SUCCESS"
    else:
        assert "column 'w', row 60000" in ran.error.message
        assert "dtypes: {w: string}" in (ran.error.fix or "")
