"""Every way on which values leave a database: connector, format, fast or plain path; and what each must give.

A fast path of the product stands in `FAST`; `test_every_fast_path_is_registered` fails for one that does not.
"""

import io
import json
import random
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal, TypeAlias

import duckdb
import psycopg
import pyarrow.parquet as pq
import pymysql

from aetherflow.core.api import AetherflowError, ConnectorInit, CsvFormat
from aetherflow_builtins_db.connectors.duckdb.connector import DuckDBConnector
from aetherflow_builtins_db.connectors.mysql.connector import MySQLConnector
from aetherflow_builtins_db.connectors.postgres.connector import PostgresConnector
from aetherflow_builtins_db.connectors.sqlalchemy.connector import SQLAlchemyConnector
from aetherflow_builtins_db.connectors.sqlite3.connector import Sqlite3Connector
from aetherflow_builtins_db.database import Database as AnyDatabase
from aetherflow_builtins_db.formats.sink import HashingSink
from aetherflow_builtins_db.steps.writing import FileSpec, Writing
from db_places import settings
from services import Database
from torture_cells import REFUSED, Kind, csv_form, csv_rows, json_form, parquet_form, parse
from torture_types import DUCKDB, MARIADB, POSTGRES, SQLITE, NativeType

Format: TypeAlias = Literal["csv", "tsv", "jsonl", "parquet"]
FORMATS: Sequence[Format] = ("csv", "tsv", "jsonl", "parquet")

FAST: dict[str, list[tuple[str, Format]]] = {
    "PostgresConnector.stream_csv": [("postgres", "csv"), ("postgres", "tsv")],
    "PostgresConnector.stream_json": [("postgres", "jsonl")],
    "PostgresConnector.stream_arrow": [("postgres", "parquet")],
    "DuckDBConnector.stream_csv": [("duckdb", "csv"), ("duckdb", "tsv")],
    "DuckDBConnector.stream_arrow": [("duckdb", "parquet")],
    "MySQLConnector.stream_csv": [("mariadb", "csv"), ("mariadb", "tsv")],
}
"""Fast paths out of databases, by class and method: source and format of the ways that take them."""


@dataclass(frozen=True)
class Way:
    """One way out of a database."""

    source: str
    format: Format
    native: bool
    """Whether no row becomes a Python object, where the query allows it."""

    def __str__(self) -> str:
        return f"{self.source} to {self.format}, {'fast' if self.native else 'plain'}"


@dataclass(frozen=True)
class Sample:
    """Values of one type and shape: the query that returns them beside their number, and what they are."""

    label: str
    kind: Kind
    sql: str
    values: Sequence[Any]
    declared: str = ""
    """The type of a column for them."""


Shape: TypeAlias = Literal["plain", "list", "array", "struct", "map", "lists", "structs"]


class Source:
    """A database with its types; the truth is read by a driver alone."""

    name = ""
    types: Sequence[NativeType] = ()
    shapes: Sequence[Shape] = ("plain",)
    _bare: Any

    def __init__(self, connector: Any) -> None:
        self.connector = connector

    def truth(self, kind: NativeType, literals: Sequence[str | None]) -> list[Any]:
        """The values of these literals."""
        return self.stored(kind, self.query([self.literal(kind, each) for each in literals]))

    def stored(self, kind: NativeType, sql: str) -> list[Any]:
        """The values of the column `v` of a query with the columns n and v, in the order of n, by the driver alone."""
        raise NotImplementedError

    def execute(self, sql: str) -> Any:
        """Run a statement, by the driver alone."""
        return self._bare.execute(sql)

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """The rows of a query, by the driver alone."""
        return list(self._bare.execute(sql).fetchall())

    def close(self) -> None:
        self._bare.close()

    def literal(self, kind: NativeType, text: str | None) -> str:
        """SQL for a value."""
        if text is None:
            return f"NULL::{kind.sql}"
        doubled = text.replace("'", "''")
        return f"'{doubled}'::{kind.sql}"

    def sample(self, rng: random.Random, kind: NativeType, shape: Shape, count: int) -> Sample:
        """Generate values and the query for them."""
        texts = [None, *kind.edges, *(kind.make(rng) for _ in range(count))]
        leaves = list(zip([self.literal(kind, text) for text in texts], self.truth(kind, texts), strict=True))
        cells, values = zip(*_shaped(rng, kind, shape, leaves), strict=True)
        return Sample(
            f"{kind.sql} {shape}",
            "nested" if shape != "plain" else kind.kind,
            self.query(cells),
            values,
            _declared(kind.sql, shape),
        )

    def query(self, cells: Sequence[str]) -> str:
        rows = ", ".join(f"({number}, {cell})" for number, cell in enumerate(cells, 1))
        return f"SELECT n, v FROM (VALUES {rows}) AS q(n, v) ORDER BY n"

    def expected(self, way: Way, kind: Kind, value: Any) -> Any:
        """What the way must give: the form of the format, or REFUSED, as the reference says."""
        if way.format in {"csv", "tsv"}:
            return csv_form(value)
        return json_form(value) if way.format == "jsonl" else _in_parquet(kind, value)


_PYTHON_KINDS = frozenset({"date", "time", "local", "instant"})
_INT_MAX = 2**63


def _in_parquet(kind: Kind, value: Any) -> Any:
    if kind in _PYTHON_KINDS and isinstance(value, str):
        return REFUSED  # infinity, 24:00:00, a year that Python does not know
    if kind == "int" and value is not None and not -_INT_MAX <= value < _INT_MAX:
        return REFUSED
    if kind == "decimal" and value is not None and not value.is_finite():
        return REFUSED
    return parquet_form(value)


def _shaped(
    rng: random.Random, kind: NativeType, shape: Shape, leaves: list[tuple[str, Any]]
) -> Iterator[tuple[str, Any]]:
    """Put literals and their values into lists, structs, maps."""
    if shape == "plain":
        yield from leaves
        return
    yield f"NULL::{_declared(kind.sql, shape)}", None
    left = list(leaves)
    while left:
        some, left = left[: rng.choice([1, 2, 3])], left[3:]
        sqls, values = [sql for sql, _ in some], [value for _, value in some]
        match shape:
            case "list":
                yield f"ARRAY[{', '.join(sqls)}]::{kind.sql}[]", values
            case "array":
                pair = (some * 2)[:2]
                yield f"[{pair[0][0]}, {pair[1][0]}]::{kind.sql}[2]", [pair[0][1], pair[1][1]]
            case "struct":
                yield f"{{'a b': {sqls[0]}, 'n': 7}}", {"a b": values[0], "n": 7}
            case "map":
                keys = ", ".join(f"'k{index}'" for index in range(len(sqls)))
                yield (
                    f"MAP {{{', '.join(f'{key}: {sql}' for key, sql in zip(keys.split(', '), sqls, strict=True))}}}",
                    {f"k{index}": value for index, value in enumerate(values)},
                )
            case "lists":
                yield f"[[{', '.join(sqls)}], []]::{kind.sql}[][]", [values, []]
            case "structs":
                yield f"[{{'a': [{sqls[-1]}]}}, NULL]", [{"a": [values[-1]]}, None]


def _declared(sql: str, shape: Shape) -> str:
    return {
        "list": f"{sql}[]", "array": f"{sql}[2]", "struct": f'STRUCT("a b" {sql}, n INTEGER)',
        "map": f"MAP(VARCHAR, {sql})", "lists": f"{sql}[][]", "structs": f"STRUCT(a {sql}[])[]",
    }.get(shape, sql)  # fmt: skip


class Postgres(Source):
    """PostgreSQL; the truth by psycopg and the server's own text."""

    name, types, shapes = "postgres", POSTGRES, ("plain", "list")

    def __init__(self, connector: Any, server: Database) -> None:
        super().__init__(connector)
        address = settings(server)
        self._bare = psycopg.connect(
            **{("dbname" if key == "database" else key): value for key, value in address.items()}, autocommit=True
        )
        self._bare.execute("SET TimeZone = 'UTC'; SET DateStyle = 'ISO'; SET IntervalStyle = 'postgres'")

    def stored_lists(self, kind: NativeType, sql: str) -> list[Any]:
        """As `stored`, of arrays."""
        each = f"SELECT n, i, v[i] AS v FROM ({sql}) AS t, LATERAL generate_subscripts(v, 1) AS i"
        places = self._bare.execute(f"SELECT n, i FROM ({each}) AS e ORDER BY n, i").fetchall()
        values = self.stored(kind, f"SELECT row_number() OVER (ORDER BY n, i) AS n, v FROM ({each}) AS e")
        there = self._bare.execute(f"SELECT n, v IS NOT NULL FROM ({sql}) AS t ORDER BY n").fetchall()
        found: dict[int, list[Any] | None] = {number: [] if has else None for number, has in there}
        for (number, _), value in zip(places, values, strict=True):
            found[number] = [*(found[number] or []), value]
        return list(found.values())

    def stored(self, kind: NativeType, sql: str) -> list[Any]:
        # `format` writes a value as the server sends it: a cast of inet to text adds the mask
        text = "encode(v, 'base64')" if kind.kind == "bytes" else "CASE WHEN v IS NOT NULL THEN format('%s', v) END"
        sql = f"SELECT {text} FROM ({sql}) AS w ORDER BY n"
        return [None if found is None else parse(kind.kind, found) for (found,) in self._bare.execute(sql)]


class DuckDB(Source):
    """DuckDB; the truth by its own text, from another instance."""

    name, types = "duckdb", DUCKDB
    shapes = ("plain", "list", "array", "struct", "map", "lists", "structs")

    def __init__(self, connector: Any, path: str = ":memory:") -> None:
        super().__init__(connector)
        self._bare = duckdb.connect(path, config={"threads": 1})
        self._bare.execute("SET TimeZone = 'UTC'")

    def stored(self, kind: NativeType, sql: str) -> list[Any]:
        text = {"bytes": "base64(v)", "float": "v::DOUBLE::VARCHAR"}.get(kind.kind, "v::VARCHAR")
        sql = f"SELECT {text} FROM ({sql}) AS w ORDER BY n"
        read = [None if found is None else parse(kind.kind, found) for (found,) in self._bare.execute(sql).fetchall()]
        fine = kind.sql == "TIMESTAMP_NS"
        return [Nanoseconds(each) if fine and isinstance(each, str) and "." in each else each for each in read]

    def expected(self, way: Way, kind: Kind, value: Any) -> Any:
        if _has(value, lambda leaf: isinstance(leaf, Nanoseconds)):
            return REFUSED
        if _has(value, lambda leaf: isinstance(leaf, str) and leaf in {"infinity", "-infinity"}):
            fast_text = way.native and way.format in {"csv", "tsv"} and kind != "nested"
            return value if fast_text else REFUSED
        return super().expected(way, kind, value)


class Nanoseconds(str):
    """The text of a time with nanoseconds."""

    __slots__ = ()


def _has(value: Any, test: Callable[[Any], bool]) -> bool:
    if isinstance(value, list):
        return any(_has(each, test) for each in value)
    if isinstance(value, dict):
        return any(_has(each, test) for each in value.values())
    return test(value)


class MariaDB(Source):
    """MariaDB; the truth by PyMySQL without converters. Values have their type only in a column."""

    name, types = "mariadb", MARIADB

    def __init__(self, connector: Any, server: Database) -> None:
        super().__init__(connector)
        self._bare = pymysql.connect(**settings(server), ssl_disabled=True, autocommit=True, conv={})
        with self._bare.cursor() as cursor:
            cursor.execute("SET time_zone = '+00:00', sql_mode = 'NO_ENGINE_SUBSTITUTION'")

    def sample(self, rng: random.Random, kind: NativeType, shape: Shape, count: int) -> Sample:
        del shape
        texts = [None, *kind.edges, *(kind.make(rng) for _ in range(count))]
        with self._bare.cursor() as cursor:
            cursor.execute("DROP TABLE IF EXISTS ways")
            cursor.execute(f"CREATE TABLE ways (n integer PRIMARY KEY, v {kind.sql} NULL)")
            values = ", ".join(
                f"({number}, {'NULL' if text is None else text})" for number, text in enumerate(texts, 1)
            )
            cursor.execute(f"INSERT INTO ways VALUES {values}")
        sql = "SELECT n, v FROM ways ORDER BY n"
        return Sample(kind.sql, kind.kind, sql, self.stored(kind, sql), kind.sql)

    def stored(self, kind: NativeType, sql: str) -> list[Any]:
        shown = {"bytes": "to_base64(v)", "bit": "v + 0"}.get(kind.reading or kind.kind, "v")
        with self._bare.cursor() as cursor:
            cursor.execute(f"SELECT {shown} FROM ({sql}) AS w ORDER BY n")
            return [self._value(kind, each) for (each,) in cursor.fetchall()]

    def execute(self, sql: str) -> None:
        with self._bare.cursor() as cursor:
            cursor.execute(sql)

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        with self._bare.cursor() as cursor:
            cursor.execute(sql)
            return list(cursor.fetchall())

    def expected(self, way: Way, kind: Kind, value: Any) -> Any:
        if isinstance(value, Decimal) and kind == "int" and way.format != "parquet":  # BIGINT UNSIGNED
            value = int(value)
        return value if isinstance(value, Decimal) and way.format == "parquet" else super().expected(way, kind, value)

    def _value(self, kind: NativeType, found: Any) -> Any:
        if found is None:
            return None
        text = found.decode() if isinstance(found, bytes) else str(found)
        if kind.reading == "unsigned":
            return Decimal(text)
        return parse(kind.kind, f"{text}+00" if kind.kind == "instant" and not text.startswith("0000") else text)


class SQLite(Source):
    """SQLite; the truth by Python's module."""

    name, types = "sqlite3", SQLITE

    def __init__(self, connector: Any, path: str = ":memory:") -> None:
        super().__init__(connector)
        self._bare = sqlite3.connect(path, isolation_level=None)

    def literal(self, kind: NativeType, text: str | None) -> str:
        return "NULL" if text is None else f"CAST({text} AS {kind.sql})"

    def stored(self, kind: NativeType, sql: str) -> list[Any]:
        del kind
        return [value for (value,) in self._bare.execute(f"SELECT v FROM ({sql}) ORDER BY n")]

    def query(self, cells: Sequence[str]) -> str:
        rows = ", ".join(f"({number}, {cell})" for number, cell in enumerate(cells, 1))
        return f"SELECT column1 AS n, column2 AS v FROM (VALUES {rows}) ORDER BY 1"


def _made(cls: Any, driver: str, config: dict[str, Any], **options: Any) -> Any:
    return cls(ConnectorInit("wh", "db", driver, config, options))


@contextmanager
def sources(postgres: Database, mariadb: Database) -> Iterator[dict[str, Source]]:
    """All sources, open."""
    pg, my = settings(postgres), settings(mariadb)
    by_url = "{}://{user}:{password}@{host}:{port}/{database}".format
    found: dict[str, Source] = {
        "postgres": Postgres(_made(PostgresConnector, "postgres", pg), postgres),
        "mariadb": MariaDB(_made(MySQLConnector, "mysql", my), mariadb),
        "duckdb": DuckDB(_made(DuckDBConnector, "duckdb", {}, pragmas={"TimeZone": "UTC"})),
        "sqlite3": SQLite(_made(Sqlite3Connector, "sqlite3", {})),
        "sqlalchemy postgres": Postgres(
            _made(SQLAlchemyConnector, "sqlalchemy", {"url": by_url("postgresql+psycopg", **pg)}), postgres
        ),
        "sqlalchemy mariadb": MariaDB(
            _made(SQLAlchemyConnector, "sqlalchemy", {"url": by_url("mysql+pymysql", **my)}), mariadb
        ),
    }
    try:
        yield found
    finally:
        for source in found.values():
            source.connector.close()
            source.close()


def ways() -> list[Way]:
    """Every way: the plain one of each source and format, and the fast ones."""
    names = ("postgres", "mariadb", "duckdb", "sqlite3", "sqlalchemy postgres", "sqlalchemy mariadb")
    plain = [Way(source, format_name, native=False) for source in names for format_name in FORMATS]
    fast = [Way(source, format_name, native=True) for listed in FAST.values() for source, format_name in listed]
    return plain + fast


def written(way: Way, source: Source, sql: str) -> bytes | None:
    """The file; None if there is no fast path for the query. Raises the product's errors."""
    dialect = CsvFormat(delimiter="," if way.format == "csv" else "\t")
    spec = FileSpec(way.format, dialect, "none", "zstd", {}, 1000)
    buffer = io.BytesIO()
    writing = Writing(AnyDatabase(source.connector), sql, None, spec, lambda _rows: None)
    if not way.native:
        writing._rows(HashingSink(buffer), None)
    elif writing._natively(HashingSink(buffer)) is None:
        return None
    return buffer.getvalue()


def read(way: Way, data: bytes) -> list[Any]:
    """The values of the column `v` in a file, by a reader that is none of ours."""
    if way.format == "parquet":
        return list(pq.read_table(io.BytesIO(data))["v"].to_pylist())
    text = data.decode()
    if way.format == "jsonl":
        return [json.loads(line)["v"] for line in text.split("\n")[:-1]]
    return [row[1] for row in csv_rows(text, "," if way.format == "csv" else "\t")[1:]]


def outcome(way: Way, source: Source, sql: str) -> list[Any] | str | None:
    """The values; the message of a refusal; None if there is no fast path."""
    try:
        data = written(way, source, sql)
    except AetherflowError as error:
        return f"{error} fix: {error.fix}"
    return None if data is None else read(way, data)
