"""MariaDB's text goes into CSV as the server sends it: the bytes that its values, as Python knows them, would give."""

import io
from collections.abc import Iterator
from typing import Any

import pytest

from aetherflow.core.api import ConnectorInit, CsvFormat
from aetherflow_builtins_db.connectors.mysql.connector import MySQLConnector
from aetherflow_builtins_db.formats.delimited import write_delimited
from aetherflow_builtins_db.formats.sink import HashingSink
from db_places import settings
from services import Database

TYPES = {
    "i1": "TINYINT", "i2": "SMALLINT UNSIGNED", "i4": "INT", "i8": "BIGINT", "u8": "BIGINT UNSIGNED",
    "z": "INT(8) ZEROFILL", "dz": "DECIMAL(8, 2) ZEROFILL", "d": "DECIMAL(38, 4)", "f": "FLOAT", "g": "DOUBLE",
    "y": "YEAR", "b": "BIT(10)", "o": "BOOLEAN", "day": "DATE", "t": "TIME(3)", "dt": "DATETIME", "dt6": "DATETIME(6)",
    "ts": "TIMESTAMP NULL", "ts3": "TIMESTAMP(3) NULL", "c": "CHAR(5)", "v": "VARCHAR(200)", "x": "LONGTEXT",
    "bin": "VARBINARY(20)", "blob_": "LONGBLOB", "e": "ENUM('a', 'b,c')", "s": "SET('a', 'b')", "j": "JSON",
    "u": "UUID", "ip": "INET6", "p": "POINT",
}  # fmt: skip
ROWS = [
    (
        "-128, 0, -2147483648, -9223372036854775808, 18446744073709551615, 7, 1.5, -0.0010, 1.5, 1e22, 2013, 5, true, "
        "'0001-01-01', '-838:59:59.000', '2013-01-01 05:00:00', '2013-01-01 05:00:00.500000', '2013-07-01 05:00:00', "
        "'2013-07-01 05:00:00.100', 'ä', 'a,b', 'q\"q', x'00ff', x'', 'b,c', 'a,b', '{\"a\": 1.10}', "
        "'ab0c8fb3-9dbb-4a30-9a1e-f29a1b51ec7a', '::1', POINT(1, 2)"
    ),
    (
        "127, 65535, 1, 0, 0, 0, 0, 99999999999999999999999999999999.9999, 0.1, 0.1, 0, 0, false, '9999-12-31', "
        "'00:00:00', '9999-12-31 23:59:59', '9999-12-31 23:59:59.999999', '2038-01-01 00:00:00', "
        "'2013-07-01 05:00:00.000', '', '', 'two\nlines\r', '', 'x', 'a', '', 'null', NULL, NULL, NULL"
    ),
    (
        "0, 0, 0, 0, 0, 0, 0, 0, 0, 1e15, 1901, 1023, NULL, '0000-00-00', '24:00:00', '0000-00-00 00:00:00', "
        "'0000-00-00 00:00:00.000000', '0000-00-00 00:00:00', '0000-00-00 00:00:00.000', ' x ', 'NULL', '😀', NULL, "
        "NULL, NULL, NULL, NULL, NULL, NULL, NULL"
    ),
    ", ".join(["NULL"] * len(TYPES)),
]


@pytest.fixture
def db(mariadb: Database) -> Iterator[Any]:
    options = {"init_sql": "SET SESSION sql_mode = ''"}  # dates of zeros are let in
    with MySQLConnector(ConnectorInit("wh", "db", "mysql", settings(mariadb), options)) as made:
        made.execute("DROP TABLE IF EXISTS typed")
        made.execute(f"CREATE TABLE typed ({', '.join(f'{name} {kind}' for name, kind in TYPES.items())})")
        for row in ROWS:
            made.execute(f"INSERT INTO typed VALUES ({row})")
        yield made
        made.execute("DROP TABLE typed")


def slowly(db: Any, sql: str, dialect: CsvFormat) -> bytes:
    buffer = io.BytesIO()
    with db.stream(sql) as rows:
        names = [column.name for column in rows.columns]
        write_delimited(names, rows.batches(), HashingSink(buffer), dialect, lambda _: None)
    return buffer.getvalue()


@pytest.mark.parametrize("delimiter", [",", "\t", ";"])
def test_every_type_is_byte_equal(db: Any, delimiter: str) -> None:
    dialect = CsvFormat(delimiter=delimiter, include_header=False)
    sql = "SELECT * FROM typed"
    with db.stream_csv(sql, dialect=dialect) as fast:
        found = b"".join(fast.blocks())
        assert fast.rows == len(ROWS)
    assert found.decode() == slowly(db, sql, dialect).decode()


def test_each_column_alone_is_byte_equal(db: Any) -> None:
    dialect = CsvFormat(include_header=False)
    for name in TYPES:
        with db.stream_csv(f"SELECT {name} FROM typed", dialect=dialect) as fast:
            found = b"".join(fast.blocks())
        assert found.decode() == slowly(db, f"SELECT {name} FROM typed", dialect).decode(), name


def test_another_dialect_goes_row_by_row(db: Any) -> None:
    for dialect in (CsvFormat(null_value="NULL"), CsvFormat(quoting="nonnumeric"), CsvFormat(encoding="latin-1")):
        assert db.stream_csv("SELECT 1 AS a", dialect=dialect) is None


def test_a_result_that_is_not_read_to_its_end_leaves_nothing(db: Any) -> None:
    with db.stream_csv("SELECT seq, seq AS again FROM seq_1_to_1000000", dialect=CsvFormat()) as opened:
        next(opened.blocks())
    assert db.read("SELECT 1 AS a")[1] == [(1,)]


@pytest.mark.parametrize("size", [0, 1, 250, 251, 65_535, 65_536, 70_000])
def test_cells_of_any_length(db: Any, size: int) -> None:
    """A cell says its length in one byte, or in two, three, eight."""
    assert db.read("SELECT repeat('x', :n) AS a, 'end' AS b", {"n": size})[1] == [("x" * size, "end")]
    with db.stream("SELECT repeat('ä', :n) AS a, NULL AS z, 'end' AS b", {"n": size // 2}) as rows:
        assert list(rows.batches()) == [[("ä" * (size // 2), None, "end")]]


def test_rows_around_a_long_value_are_byte_equal(db: Any) -> None:
    """Batches of 5,000 rows are written whole, but for those around what needs quotes or is long."""
    dialect = CsvFormat(include_header=False)
    odd = "WHEN 77 THEN 'a,b' WHEN 5100 THEN REPEAT('x', 40) WHEN 9999 THEN '' WHEN 12000 THEN NULL"
    sql = f"SELECT seq, CASE seq {odd} ELSE 'short' END AS v, DATE('2026-11-30') AS d FROM seq_1_to_12345"
    with db.stream_csv(sql, dialect=dialect) as fast:
        found = b"".join(fast.blocks())
        assert fast.rows == 12345
    assert found == slowly(db, sql, dialect)
