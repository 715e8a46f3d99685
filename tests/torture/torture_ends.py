"""The databases that random tables go into and out of, written and read by their drivers alone."""

import datetime as dt
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import psycopg
import pyarrow as pa
import pymysql
from pymysql.constants import FIELD_TYPE

from db_places import mysql_place, postgres_place, settings
from services import Database
from torture_cells import Kind
from torture_files import EXCEL_DIGITS, arrow_column
from torture_tables import Column, Table

_STANDARD: dict[Kind, str] = {
    "bool": "BOOLEAN", "int": "BIGINT", "float": "DOUBLE PRECISION", "text": "TEXT", "date": "DATE", "time": "TIME",
}  # fmt: skip
_TYPES: dict[str, dict[Kind, str]] = {
    "postgres": {"bytes": "BYTEA", "local": "TIMESTAMP", "instant": "TIMESTAMPTZ"},
    "duckdb": {"bytes": "BLOB", "local": "TIMESTAMP", "instant": "TIMESTAMPTZ", "float": "DOUBLE"},
    "mysql": {
        "bytes": "LONGBLOB", "local": "DATETIME(6)", "instant": "TIMESTAMP(6) NULL", "time": "TIME(6)",
        "text": "LONGTEXT",
    },
    "sqlite3": {"bytes": "BLOB", "local": "TIMESTAMP", "instant": "TIMESTAMPTZ", "float": "REAL"},
}  # fmt: skip
Rows = list[tuple[Any, ...]]


@dataclass(frozen=True)
class Base:
    """A database: the driver's own name, its connection, and the marker of a value in its statements."""

    driver: str
    connect: Callable[[], Any]
    marker: str = "%s"

    def quote(self, name: str) -> str:
        sign = "`" if self.driver == "mysql" else '"'
        quoted = f"{sign}{name.replace(sign, sign * 2)}{sign}"
        return quoted.replace("%", "%%") if self.marker == "%s" else quoted

    def put(self, name: str, table: Table) -> None:
        """Make the table and fill it."""
        columns = ", ".join(f"{self.quote(each.name)} {self._type(each)}" for each in table.columns)
        with closing(self.connect()) as connection:
            cursor = connection.cursor()
            cursor.execute(f"CREATE TABLE {name} ({columns})".replace("%%", "%"))
            if self.driver == "duckdb":
                arrays = [arrow_column(each.kind, each.cells) for each in table.columns]
                cursor.register("given", pa.table(arrays, names=[f"c{at}" for at in range(len(arrays))]))
                cursor.execute(f"INSERT INTO {name} SELECT * FROM given")
            elif table.rows:
                markers = ", ".join([self.marker] * len(table.columns))
                rows = [tuple(map(self._bound, row)) for row in table.rows]
                cursor.executemany(f"INSERT INTO {name} VALUES ({markers})", rows)
            connection.commit()

    def get(self, name: str) -> tuple[list[str], Rows]:
        """The names of the table's columns, and its rows in the order of their numbers."""
        with closing(self.connect()) as connection:
            sql = f"SELECT * FROM {name} ORDER BY {self.quote('n')}"
            if self.driver == "duckdb":
                found = connection.sql(sql).to_arrow_table()
                return found.column_names, [tuple(row.values()) for row in found.to_pylist()]
            cursor = connection.cursor()
            cursor.execute(sql)
            names = [each[0] for each in cursor.description]
            kinds = [each[1] for each in cursor.description]
            return names, [tuple(map(_read, row, kinds)) for row in cursor.fetchall()]

    def _type(self, column: Column) -> str:
        if column.kind == "decimal":
            if self.driver == "sqlite3" and column.digits[0] > EXCEL_DIGITS:
                return "TEXT"
            return "DECIMAL({},{})".format(*column.digits)
        return (_STANDARD | _TYPES[self.driver])[column.kind]

    def _bound(self, value: Any) -> Any:
        """The value as a parameter of a statement."""
        if self.driver == "mysql" and isinstance(value, dt.datetime):
            return value.replace(tzinfo=None)
        if self.driver == "sqlite3" and isinstance(value, dt.datetime):
            return value.isoformat(" ")
        if self.driver == "sqlite3" and isinstance(value, dt.date | dt.time):
            return value.isoformat()
        return str(value) if self.driver == "sqlite3" and isinstance(value, Decimal) else value


def _read(value: Any, kind: Any) -> Any:
    """A value of a driver; PyMySQL knows no zones, and gives spans for times of day."""
    if kind == FIELD_TYPE.TIMESTAMP and isinstance(value, dt.datetime):
        return value.replace(tzinfo=dt.UTC)
    if isinstance(value, dt.timedelta):
        return (dt.datetime.fromisoformat("1970-01-01") + value).time()
    return value.astimezone(dt.UTC) if isinstance(value, dt.datetime) and value.tzinfo else value


def _duckdb(path: Path) -> duckdb.DuckDBPyConnection:
    try:
        connection = duckdb.connect(str(path), config={"threads": 1})
    except duckdb.ConnectionException:  # the error of a failed step holds it open
        for file in path.parent.glob(f"{path.name}*"):
            shutil.copy(file, path.parent / f"copy-{file.name}")
        connection = duckdb.connect(str(path.parent / f"copy-{path.name}"), config={"threads": 1})
    connection.execute("SET TimeZone = 'UTC'")
    return connection


def bases(folder: Path, postgres: Database, mariadb: Database) -> tuple[dict[str, Base], dict[str, Any]]:
    """By the name of each resource its database, emptied, and the resources."""
    folder.mkdir()
    own = postgres_place(postgres, "tables")
    place = mysql_place(mariadb)
    assert own.server is not None
    pg, my = settings(own.server), settings(mariadb)
    by_url = "{}://{user}:{password}@{host}:{port}/{database}".format
    duck, lite = folder / "t.duckdb", folder / "t.sqlite"
    found = {
        "postgres": Base("postgres", lambda: psycopg.connect(by_url("postgresql", **pg) + "?options=-ctimezone%3DUTC")),
        "mysql": Base(
            "mysql",
            lambda: pymysql.connect(
                **my, ssl_disabled=True, charset="utf8mb4", init_command="SET time_zone = '+00:00'"
            ),
        ),
        "duckdb": Base("duckdb", lambda: _duckdb(duck), "?"),
        "sqlite3": Base("sqlite3", lambda: sqlite3.connect(lite), "?"),
    }
    urls = {
        "postgres": by_url("postgresql+psycopg", **pg),
        "mysql": by_url("mysql+pymysql", **my),
        "sqlite3": f"sqlite:///{lite}",
    }
    resources = {
        "postgres": own.resource,
        "mysql": place.resource,
        "duckdb": {"kind": "db", "driver": "duckdb", "config": {"path": str(duck)}},
        "sqlite3": {"kind": "db", "driver": "sqlite3", "config": {"path": str(lite)}},
        **{
            f"{name}_by_url": {"kind": "db", "driver": "sqlalchemy", "config": {"url": url}}
            for name, url in urls.items()
        },
    }
    return found | {f"{name}_by_url": found[name] for name in urls}, resources
