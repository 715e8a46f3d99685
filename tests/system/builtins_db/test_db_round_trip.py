"""What an extract writes, a load reads back: every common type, extremes, nulls; in every format, on every server."""

from typing import Any

import pytest

from db_places import Place, place_for

TYPES = {
    "postgres": """
        k integer PRIMARY KEY, i2 smallint, i8 bigint, n numeric(38, 10), nn numeric, f4 real, f8 double precision,
        b boolean, s text, c char(5), vc varchar(20), by bytea, d date, t time, ts timestamp, tz timestamptz,
        iv interval, u uuid, j json, jb jsonb, ia integer[], ta text[], ip inet, e mood
    """,
    "mysql": """
        k integer PRIMARY KEY, i2 smallint, i8 bigint, n decimal(38, 10), f8 double, b boolean, s text, c char(5),
        vc varchar(20), by1 varbinary(20), bl blob, d date, t time(6), ts datetime(6), tz timestamp(6) NULL,
        j json, e enum('sad', 'ok'), y year, ui bigint unsigned
    """,
    "duckdb": """
        k integer PRIMARY KEY, i2 smallint, i8 bigint, n decimal(38, 10), f8 double, b boolean, s varchar, by1 blob,
        d date, t time, ts timestamp, tz timestamptz, u uuid
    """,
    "sqlite3": "k integer PRIMARY KEY, i8 bigint, n decimal(38, 10), f8 real, b boolean, s text, d date, ts timestamp",
}
ROWS = {
    "postgres": [
        "(1" + ", NULL" * 23 + ")",
        """(2, -32768, -9223372036854775808, -1234567890123456789012345678.0123456789, 1e-20, 1.5,
         -1.7976931348623157e308,
         true, E'a "b", c;\\td\\ne\\\\ ü😀''', 'x', '', '\\x00ff0a22', '0001-01-01', '00:00:00.000001',
         '2024-02-29 23:59:59.999999', '2024-06-30 23:59:59.999999+02', '1 year 2 mons 3 days 04:05:06.789',
         'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '{"a": [1, null, "x\\"y"]}', '{"b": 1.10}', '{1,NULL,-3}',
         '{"a,b","c\\"d",NULL,""}', '10.0.0.1/8', 'sad')""",
        """(3, 32767, 9223372036854775807, 0.0000000001, 123456789012345678901234567890.5, 'NaN', 'Infinity', false, '',
         '     ', ' lead', '', '9999-12-31', '23:59:59.999999', '1900-01-01', '1970-01-01 00:00:00+00', '-1 days',
         '00000000-0000-0000-0000-000000000000', 'null', '[]', '{}', '{}', '::1', 'ok')""",
    ],
    "mysql": [
        "(1" + ", NULL" * 18 + ")",
        """(2, -32768, -9223372036854775808, -1234567890123456789012345678.0123456789, -1.7976931348623157e308, true,
         'a "b", c;\\td\\ne\\\\ ü😀''', 'x', '', x'00ff0a22', x'', '1000-01-01', '00:00:00.000001',
         '2024-02-29 23:59:59.999999', '2024-06-30 21:59:59.999999', '{"a": [1, null]}', 'sad', 1999,
         18446744073709551615)""",
        """(3, 32767, 9223372036854775807, 0.0000000001, 0.1, false, '', '', ' lead', x'27', x'22', '9999-12-31',
         '23:59:59.999999', '1900-01-01', '1970-01-02 00:00:00', '[]', 'ok', 2155, 0)""",
    ],
    "duckdb": [
        "(1" + ", NULL" * 12 + ")",
        """(2, -32768, -9223372036854775808, -1234567890123456789012345678.0123456789, -1.7976931348623157e308, true,
         'a "b", c;' || chr(9) || 'd' || chr(10) || 'e\\ ü😀''', '\\x00\\xFF\\x0A"'::BLOB,
         '0001-01-01', '00:00:00.000001',
         '2024-02-29 23:59:59.999999', '2024-06-30 21:59:59.999999+00', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11')""",
        """(3, 32767, 9223372036854775807, 0.0000000001, 'inf', false, '', ''::BLOB, '9999-12-31', '23:59:59.999999',
         '1900-01-01', '1970-01-01 00:00:00+00', '00000000-0000-0000-0000-000000000000')""",
    ],
    "sqlite3": [
        "(1" + ", NULL" * 7 + ")",
        """(2, -9223372036854775808, '-12345678901234.0123456789', 0.1, 1, 'a "b", c; d ü😀''', '0001-01-01',
         '2024-02-29 23:59:59.999999')""",
        "(3, 9223372036854775807, '0.0000000001', 1e300, 0, '', '9999-12-31', '1900-01-01 00:00:00')",
    ],
}


@pytest.fixture(params=list(TYPES))
def place(request: pytest.FixtureRequest) -> Place:
    return place_for(request, request.param, "round_trip")


@pytest.fixture
def filled(anywhere: Any) -> Any:
    """Tables `t` with rows and `u` without, of the same columns."""
    driver = anywhere.place.driver
    mood = ["CREATE TYPE mood AS ENUM ('sad', 'ok')"] if driver == "postgres" else []
    tables = [f"CREATE TABLE {table} ({TYPES[driver]})" for table in "tu"]
    anywhere.sql(*mood, *tables, *(f"INSERT INTO t VALUES {row}" for row in ROWS[driver]))
    return anywhere


@pytest.mark.parametrize("name", ["x.csv", "x.tsv", "x.jsonl", "x.parquet", "x.csv.gz", "x.jsonl.zst"])
@pytest.mark.parametrize("max_rejects", [0, 1])
def test_every_value_comes_back(filled: Any, name: str, max_rejects: int) -> None:
    if "jsonl" in name and filled.place.driver in {"postgres", "duckdb"}:  # JSON has no NaN and no infinity
        filled.sql("UPDATE t SET f8 = 0.1 WHERE k = 3")
        if filled.place.driver == "postgres":
            filled.sql("UPDATE t SET f4 = 0.1 WHERE k = 3")
    ran = filled.run(
        out={"type": "db_extract", "sql": "SELECT * FROM t ORDER BY k", "output": name},
        back={"type": "db_load", "table": "u", "path": name, "max_rejects": max_rejects},
    )
    assert ran.status == {"out": "SUCCESS", "back": "SUCCESS"}, ran.error
    assert ran.outputs["back"]["rejected"] == 0
    # PostgreSQL cannot compare json; rows as text it can.
    query = "SELECT x::text FROM {} x" if filled.place.driver == "postgres" else "SELECT * FROM {}"
    for one, other in (("t", "u"), ("u", "t")):
        found = filled.rows(f"SELECT count(*) AS n FROM ({query.format(one)} EXCEPT {query.format(other)}) q")
        assert found == [[0]], (filled.rows(f"SELECT * FROM {one}"), filled.rows(f"SELECT * FROM {other}"))
