"""The types of each database, with edges and random values as the texts that it reads."""

import json
import random
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from torture_cells import (
    DATES,
    FLOATS,
    INTS,
    MOMENTS,
    TEXTS,
    TIMES,
    Kind,
    random_date,
    random_decimal,
    random_float,
    random_int,
    random_moment,
    random_text,
    random_time,
)


@dataclass(frozen=True)
class NativeType:
    """A type of a database. `make` gives the text of a random value; for MariaDB and SQLite, SQL for one."""

    sql: str
    kind: Kind
    make: Callable[[random.Random], str]
    edges: Sequence[str] = ()
    reading: str = ""
    """How the truth is read, where the kind does not tell it."""


def _int(bits: int) -> Callable[[random.Random], str]:
    return lambda rng: str(random_int(rng, bits))


def _whole(bits: int) -> Callable[[random.Random], str]:
    return lambda rng: str(rng.randrange(2 ** rng.randint(1, bits)))


def _decimal(precision: int, scale: int) -> Callable[[random.Random], str]:
    return lambda rng: format(random_decimal(rng, precision, scale), "f")


def _text(*without: str) -> Callable[[random.Random], str]:
    return lambda rng: "".join(sign for sign in random_text(rng) if sign not in without)


def _json(rng: random.Random) -> str:
    scalars: list[Any] = [None, True, 0, -1, 1.5, "", 'a"b', "ü", [], {}]
    return json.dumps({"k": rng.choice(scalars), random_text(rng): [rng.choice(scalars), rng.randint(-9, 9)]})


def _interval(rng: random.Random) -> str:
    parts = [f"{rng.randint(-30, 30)} {unit}" for unit in ("years", "months", "days") if rng.random() < 0.5]
    sign = rng.choice(["", "-"])
    clock = f"{sign}{rng.randint(0, 500):02}:{rng.randrange(60):02}:{rng.randrange(60):02}"
    return " ".join([*parts, clock + rng.choice(["", ".5", ".000001"])])


_FLOATS = [*map(repr, FLOATS), "nan", "inf", "-inf"]
_DATES, _MOMENTS = [each.isoformat() for each in DATES], [each.isoformat(" ") for each in MOMENTS]
_TIMES = [each.isoformat() for each in TIMES]
_INSTANTS = [f"{each}+00" for each in _MOMENTS[2:]]
_UUIDS = ["00000000-0000-0000-0000-000000000000", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"]


def _uuid(rng: random.Random) -> str:
    return str(uuid.UUID(int=rng.getrandbits(128)))


def _date(rng: random.Random) -> str:
    return random_date(rng).isoformat()


def _moment(rng: random.Random) -> str:
    return random_moment(rng).isoformat(" ")


def _instant(rng: random.Random) -> str:
    zone = rng.choice(["+00", "+02", "-05:30", "+14"])
    return f"{random_moment(rng).replace(year=rng.randint(2, 9998), day=rng.randint(1, 28)).isoformat(' ')}{zone}"


def _time(rng: random.Random) -> str:
    return random_time(rng).isoformat()


_PG_DAYS = ["infinity", "-infinity", "10000-01-01", "0044-03-15 BC"]
POSTGRES = [
    NativeType("boolean", "bool", lambda rng: rng.choice(["true", "false"])),
    NativeType("smallint", "int", _int(16)),
    NativeType("integer", "int", _int(32)),
    NativeType("bigint", "int", _int(64), list(map(str, INTS))),
    NativeType("real", "float", lambda rng: repr(rng.uniform(-1e6, 1e6)), ["0.1", "1e-30", "nan", "inf", "-inf"]),
    NativeType("double precision", "float", lambda rng: repr(random_float(rng)), _FLOATS),
    NativeType("numeric(20,6)", "decimal", _decimal(20, 6), ["0", "-0.000001", "NaN"]),
    NativeType("numeric", "text", _decimal(60, 20), ["0", "1e100"]),
    NativeType("text", "text", _text(), TEXTS),
    NativeType("varchar(60)", "text", _text(), TEXTS),
    NativeType("bytea", "bytes", lambda rng: "\\x" + rng.randbytes(rng.randint(0, 70)).hex(), ["\\x", "\\x00ff"]),
    NativeType("date", "date", _date, [*_DATES, *_PG_DAYS]),
    NativeType("time", "time", _time, [*_TIMES, "24:00:00"]),
    NativeType("timestamp", "local", _moment, [*_MOMENTS, *_PG_DAYS]),
    NativeType("timestamptz", "instant", _instant, [*_INSTANTS, *_PG_DAYS]),
    NativeType("timetz", "text", lambda rng: _time(rng) + "+02", ["24:00:00+00"]),
    NativeType("interval", "text", _interval, ["0", "1 mon", "-1 year 2 mons", "1 year", "25:00:00", "-00:00:00.5"]),
    NativeType("json", "text", _json, ["null", "1.10", "1e400", '"x"', "[]", '{"a": 1.0}', ' {"b" :2} ']),
    NativeType(
        "jsonb", "text", _json, ["null", "1.10", "1e400", '"x"', "[]", '{"a": 1.0, "b": 100000000000000000000}']
    ),
    NativeType("uuid", "text", _uuid, _UUIDS),
    NativeType("inet", "text", lambda rng: f"10.{rng.randrange(256)}.0.1/{rng.randint(8, 32)}", ["::1", "10.0.0.1"]),
    NativeType("cidr", "text", lambda rng: f"10.{rng.randrange(256)}.0.0/16", ["::/0"]),
    NativeType("macaddr", "text", lambda rng: rng.randbytes(6).hex(":"), ["00:00:00:00:00:00"]),
    NativeType(
        "int4range", "text", lambda rng: f"[{rng.randint(-99, 0)},{rng.randint(1, 99)})", ["empty", "(,)", "[1,]"]
    ),
    NativeType("numrange", "text", lambda rng: f"[-{rng.random()},{rng.random()}]", ["empty", "[1.50,)"]),
    NativeType("tstzrange", "text", lambda rng: f"[{_instant(rng)},)".replace("+14", "+00"), ["empty", "[,infinity)"]),
    NativeType("daterange", "text", lambda rng: f"[{_date(rng)},)", ["empty", "[-infinity,2024-01-01)"]),
    NativeType("bit varying", "text", lambda rng: f"{rng.getrandbits(12):b}", ["", "0"]),
    NativeType("money", "text", lambda rng: f"{rng.randint(-999, 999)}.50"),
    NativeType("point", "text", lambda rng: f"({rng.randint(-9, 9)},{rng.random()})"),
]


def _nano(rng: random.Random) -> str:
    year = rng.randint(1700, 2200)
    return random_moment(rng).replace(year=year, month=1, day=1).isoformat(" ")


_DUCK_DAYS = ["infinity", "-infinity", "10000-01-01", "0044-03-15 (BC)"]
DUCKDB = [
    NativeType("BOOLEAN", "bool", lambda rng: rng.choice(["true", "false"])),
    NativeType("TINYINT", "int", _int(8)),
    NativeType("INTEGER", "int", _int(32)),
    NativeType("BIGINT", "int", _int(64), list(map(str, INTS))),
    NativeType("UBIGINT", "int", _whole(64), [str(2**64 - 1)]),
    NativeType("HUGEINT", "int", _int(127), [str(2**127 - 1), str(-(2**127))]),
    NativeType("UHUGEINT", "int", _whole(128), [str(2**128 - 1)]),
    NativeType("FLOAT", "float", lambda rng: repr(rng.uniform(-1e6, 1e6)), ["0.1", "1e-30", "nan", "inf", "-inf"]),
    NativeType("DOUBLE", "float", lambda rng: repr(random_float(rng)), [*_FLOATS, "-nan"]),
    NativeType("DECIMAL(18,2)", "decimal", _decimal(18, 2), ["0", "-0.01", "1.10"]),
    NativeType("DECIMAL(4,4)", "decimal", _decimal(4, 4), ["0", "-0.5", "0.0001"]),
    NativeType("DECIMAL(38,10)", "decimal", _decimal(38, 10)),
    NativeType("VARCHAR", "text", _text(), TEXTS),
    NativeType("BLOB", "bytes", lambda rng: "".join(f"\\x{byte:02X}" for byte in rng.randbytes(9)), ["", "\\x00\\xFF"]),
    NativeType("DATE", "date", _date, [*_DATES, *_DUCK_DAYS]),
    NativeType("TIME", "time", _time, [*_TIMES, "24:00:00"]),
    NativeType("TIMESTAMP", "local", _moment, [*_MOMENTS, *_DUCK_DAYS]),
    NativeType("TIMESTAMP_S", "local", lambda rng: _moment(rng)[:19], ["1969-12-31 23:59:59", *_DUCK_DAYS]),
    NativeType("TIMESTAMP_MS", "local", lambda rng: _moment(rng)[:23], ["1960-01-01 00:00:00.123", *_DUCK_DAYS]),
    NativeType(
        "TIMESTAMP_NS",
        "local",
        _nano,
        ["2020-01-01 00:00:00.123456", "2020-01-01 00:00:00.123456789", "infinity", "-infinity"],
    ),
    NativeType("TIMESTAMPTZ", "instant", _instant, [*_INSTANTS, *_DUCK_DAYS]),
    NativeType(
        "INTERVAL",
        "text",
        _interval,
        ["0 days", "1 month", "-1 year 2 months", "1 year", "25:00:00", "3 days -2 hours"],
    ),
    NativeType("UUID", "text", _uuid, _UUIDS),
    NativeType("JSON", "text", _json, ["null", "1.10", '"x"', "[]", '{"a": 1.0}']),
    NativeType("ENUM('a', 'b c', 'x''y', 'q\"z')", "text", lambda rng: rng.choice(["a", "b c", "x'y", 'q"z'])),
    NativeType("BIT", "text", lambda rng: f"{rng.getrandbits(12) + 1:b}", ["0"]),
]


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "''")
    return f"'{escaped}'"


def _sql(make: Callable[[random.Random], str]) -> Callable[[random.Random], str]:
    return lambda rng: _quoted(make(rng))


def _local_time(rng: random.Random) -> str:
    """Of the years that TIMESTAMP has."""
    return random_moment(rng).replace(year=rng.randint(1971, 2037), day=rng.randint(1, 28)).isoformat(" ")


def _span(rng: random.Random) -> str:
    sign = rng.choice(["", "-"])
    clock = f"{rng.randint(0, 837):02}:{rng.randrange(60):02}:{rng.randrange(60):02}"
    return f"{sign}{clock}.{rng.choice(['0', '5', '000001'])}"


MARIADB = [
    NativeType("tinyint", "int", _int(8), ["127", "-128"]),
    NativeType("integer", "int", _int(32)),
    NativeType("integer(8) zerofill", "int", _whole(31), ["7"]),
    NativeType("bigint", "int", _int(64), list(map(str, INTS))),
    NativeType("bigint unsigned", "int", _whole(64), [str(2**64 - 1)], "unsigned"),
    NativeType("double", "float", lambda rng: repr(random_float(rng)), list(map(repr, FLOATS))),
    NativeType("decimal(20,6)", "decimal", _decimal(20, 6), ["0", "-0.000001"]),
    NativeType("decimal(38,10)", "decimal", _decimal(38, 10)),
    NativeType("varchar(60)", "text", _sql(_text()), [_quoted(each) for each in TEXTS]),
    NativeType("text", "text", _sql(_text()), [_quoted(each) for each in TEXTS]),
    NativeType("char(9)", "text", _sql(lambda rng: random_text(rng)[:9])),
    NativeType(
        "varbinary(90)", "bytes", lambda rng: f"x'{rng.randbytes(rng.randint(0, 80)).hex()}'", ["x''", "x'00ff'"]
    ),
    NativeType("blob", "bytes", lambda rng: f"x'{rng.randbytes(rng.randint(0, 80)).hex()}'", ["x''", "x'2722'"]),
    NativeType("date", "date", _sql(_date), ["'1000-01-01'", "'9999-12-31'", "'0000-00-00'"]),
    NativeType(
        "datetime", "local", _sql(lambda rng: _moment(rng)[:19]), ["'9999-12-31 23:59:59'", "'0000-00-00 00:00:00'"]
    ),
    NativeType("datetime(6)", "local", _sql(_moment), ["'9999-12-31 23:59:59.999999'", "'0000-00-00 00:00:00'"]),
    NativeType("timestamp", "instant", _sql(lambda rng: _local_time(rng)[:19]), ["'1970-01-01 00:00:01'"]),
    NativeType(
        "timestamp(6)", "instant", _sql(_local_time), ["'2038-01-19 03:14:07.999999'", "'2026-10-25 02:30:00.5'"]
    ),
    NativeType("time(6)", "text", _sql(_span), ["'-00:00:00.5'", "'838:59:59'", "'-838:59:59'"]),
    NativeType("time", "text", _sql(lambda rng: _span(rng).partition(".")[0]), ["'-12:30:00'", "'00:00:00'"]),
    NativeType("bit(12)", "int", lambda rng: str(rng.getrandbits(12)), ["0", "4095"], "bit"),
    NativeType("year", "int", lambda rng: str(rng.randint(1901, 2155)), ["1901"]),
    NativeType("json", "text", _sql(_json), ["'null'", "'[]'", "'1.10'"]),
    NativeType("enum('sad', 'o,k', '')", "text", lambda rng: rng.choice(["'sad'", "'o,k'", "''"])),
    NativeType("set('a', 'b')", "text", lambda rng: rng.choice(["'a'", "'a,b'", "''"])),
]

SQLITE = [
    NativeType("INTEGER", "int", _int(64), ["0", "-9223372036854775807"]),
    NativeType("REAL", "float", lambda rng: repr(random_float(rng)), ["0.1", "-1e300", "9e999", "-9e999"]),
    NativeType("TEXT", "text", lambda rng: "'{}'".format(random_text(rng).replace("'", "''")), ["''", "'null'"]),
    NativeType("BLOB", "bytes", lambda rng: f"x'{rng.randbytes(9).hex()}'", ["x''"]),
]
