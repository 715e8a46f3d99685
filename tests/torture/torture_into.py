"""Every way on which values of files get into databases: connector, format, fast or plain path.

A fast path of the product is in `FAST_LOADS`; `test_every_fast_path_is_registered` fails for one that is not.
"""

import math
import shutil
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal, TypeAlias
from unittest.mock import patch

from aetherflow_builtins_db.connectors.duckdb.loading import DuckDBServer
from aetherflow_builtins_db.connectors.mysql.loading import MySqlServer
from aetherflow_builtins_db.connectors.postgres.loading import PostgresServer
from db_places import mysql_by_url, mysql_place, postgres_place, sqlalchemy_place
from db_project import Project
from services import Database
from torture_cells import REFUSED
from torture_files import write_file
from torture_types import NativeType
from torture_ways import DuckDB, MariaDB, Postgres, Sample, Source, SQLite

FileFormat: TypeAlias = Literal["csv", "tsv", "jsonl", "parquet", "xlsx"]
FILE_FORMATS: Sequence[FileFormat] = ("csv", "tsv", "jsonl", "parquet", "xlsx")
LOADERS: dict[str, Any] = {each.__name__: each for each in (PostgresServer, DuckDBServer, MySqlServer)}

FAST_LOADS: dict[str, list[tuple[str, FileFormat]]] = {
    "PostgresServer.load_file": [("postgres", "csv"), ("postgres", "tsv"), ("postgres", "parquet")],
    "DuckDBServer.load_file": [("duckdb", "csv"), ("duckdb", "tsv"), ("duckdb", "parquet")],
    "MySqlServer.load_file": [("mariadb", "csv"), ("mariadb", "tsv")],
}
"""Fast paths into databases, by class and method: database and format of the ways that take them."""


@dataclass(frozen=True)
class Into:
    """One way into a database."""

    target: str
    format: FileFormat
    native: bool
    """Whether the database reads the file or its bytes, where it can."""

    def __str__(self) -> str:
        return f"{self.format} into {self.target}, {'fast' if self.native else 'plain'}"


TARGETS = ("postgres", "mariadb", "duckdb", "sqlite3", "sqlalchemy postgres", "sqlalchemy mariadb")


def ways_in() -> list[Into]:
    """Every way: the plain one of each format and database, and the fast ones."""
    plain = [Into(target, each, native=False) for target in TARGETS for each in FILE_FORMATS]
    return plain + [Into(target, each, native=True) for listed in FAST_LOADS.values() for target, each in listed]


@contextmanager
def taking(*, native: bool) -> Iterator[list[bool]]:
    """Within the block loads take the fast path where there is one, or never; for each load whether it was taken."""
    taken: list[bool] = []
    with ExitStack() as stack:
        for name in FAST_LOADS:
            cls = LOADERS[name.partition(".")[0]]
            stack.enter_context(patch.object(cls, "load_file", _watched(cls.load_file if native else _none, taken)))
        yield taken


def _none(*_arguments: Any) -> None:
    """Decline to load a file, as a loader does that cannot take it: the rows go the plain way."""


def _watched(method: Callable[..., Any], taken: list[bool]) -> Callable[..., Any]:
    def watched(*arguments: Any) -> Any:
        found = method(*arguments)
        taken.append(found is not None)
        return found

    return watched


@dataclass(frozen=True)
class Limit:
    """Values that a way does not load as they are, and the words of the page that says so."""

    page: str
    words: str
    applies: Callable[[Into, NativeType, Any], bool]
    gives: Any = REFUSED


_DAYS = frozenset({"date", "time", "local", "instant"})


def _is_odd_day(kind: NativeType, value: Any) -> bool:
    """Infinity, 24:00, a year that Python does not know; TIMESTAMP_NS is loaded as text."""
    return kind.kind in _DAYS and isinstance(value, str) and kind.sql != "TIMESTAMP_NS"


def _by_rows(way: Into) -> bool:
    return way.target == "duckdb" and not (way.native and way.format in {"csv", "tsv"})


LIMITS = (
    Limit(
        "db-load.md",
        "JSON has no NaN and no infinity",
        lambda way, _, value: way.format == "jsonl" and is_odd(value),
        None,
    ),
    Limit(
        "file-rows.md",
        "In a workbook and in lines of fixed width both are blank",
        lambda way, _, value: way.format == "xlsx" and value == b"",
        None,
    ),
    Limit(
        "db-load.md",
        "and refused by DuckDB",
        lambda way, kind, value: (
            way.target == "duckdb"
            and kind.sql == "BLOB"
            and isinstance(value, list | dict)
            and not (way.native and way.format == "parquet" and isinstance(value, list))
        ),
    ),
    Limit(
        "db-mysql.md",
        "`db_load` refuses it",
        lambda way, kind, value: way.target.endswith("mariadb") and _is_odd_day(kind, value),
    ),
    Limit(
        "db-duckdb.md",
        "From other files, and row by row, they are refused",
        lambda way, kind, value: _by_rows(way) and _is_odd_day(kind, value),
    ),
    Limit(
        "db-duckdb.md",
        "whole numbers beyond 64 bits come from CSV and TSV only",
        lambda way, kind, value: _by_rows(way) and isinstance(value, int) and not -(2**63) <= value < 2**63,
    ),
    Limit(
        "db-sqlalchemy.md",
        "loads dates of the years 1 to 9999 and finite decimals",
        lambda way, kind, value: (
            way.target == "sqlalchemy postgres"
            and (_is_odd_day(kind, value) or (isinstance(value, Decimal) and is_odd(value)))
        ),
    ),
)


def is_odd(value: Any) -> bool:
    """Whether the value is, or has in it, NaN or infinity."""
    if isinstance(value, list | dict):
        return any(map(is_odd, value.values() if isinstance(value, dict) else value))
    return isinstance(value, float | Decimal) and not math.isfinite(value)


def expected(way: Into, kind: NativeType, value: Any) -> Any:
    """What the table must hold: the value itself unless a page says otherwise."""
    if isinstance(value, list) and way.target != "duckdb":
        return [expected(way, kind, each) for each in value]
    return next((limit.gives for limit in LIMITS if limit.applies(way, kind, value)), value)


class Target:
    """A database of one table, and the driver that knows what is in it."""

    def __init__(self, folder: Path, resource: dict[str, Any], source: Callable[[], Source]) -> None:
        self.folder, self.resource, self.open = folder, resource, source
        with closing(source()) as opened:
            self.family = opened.name
        self.took_fast_path = False

    def load(self, kind: NativeType, sample: Sample, numbers: Sequence[int], way: Into) -> list[Any] | str:
        """What is in the table after a load of the sample's rows of these numbers; the message of a refusal."""
        values = [sample.values[number] for number in numbers]
        shutil.rmtree(self.folder, ignore_errors=True)
        given = self.folder / "work/t/given"
        given.mkdir(parents=True)
        path = given / f"in.{way.format}"
        write_file(path, ["n", "v"], ["int", sample.kind], list(enumerate(values, 1)))
        with closing(self.open()) as source:
            source.execute("DROP TABLE IF EXISTS into_it")
            source.execute(f"CREATE TABLE into_it (n integer, v {sample.declared} NULL)")
        project = Project(self.folder, {"wh": self.resource})
        with taking(native=way.native) as taken, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # SQLAlchemy does not know each type of a server
            ran = project.run(one={"type": "db_load", "table": "into_it", "path": str(path)})
        self.took_fast_path = any(taken)
        if ran.status["one"] != "SUCCESS":
            return ran.error.message
        with closing(self.open()) as source:
            if sample.kind != "nested":
                return source.stored(kind, "SELECT n, v FROM into_it")
            if isinstance(source, Postgres):
                return source.stored_lists(kind, "SELECT n, v FROM into_it")
            return _compared(source, sample, numbers)


def _compared(source: Source, sample: Sample, numbers: Sequence[int]) -> list[Any]:
    """The values of nested columns, which only the database itself can compare; of a different one its text."""
    listed = (0, *(number + 1 for number in numbers))
    chosen = f"SELECT n, row_number() OVER (ORDER BY n) AS m, v FROM ({sample.sql}) AS s WHERE n IN {listed}"
    compared = "s.n - 1, s.v IS NOT DISTINCT FROM t.v, t.v::VARCHAR"
    sql = f"SELECT {compared} FROM ({chosen}) AS s JOIN into_it AS t ON s.m = t.n ORDER BY 1"
    return [sample.values[number] if same else text for number, same, text in source.execute(sql).fetchall()]


@contextmanager
def targets(folder: Path, postgres: Database, mariadb: Database) -> Iterator[dict[str, Target]]:
    """All databases that are loaded into."""
    own = postgres_place(postgres, "ways_into")
    assert own.server is not None
    pg, by_url = own.server, sqlalchemy_place(postgres, "ways_into").resource
    duck, lite = folder / "t.duckdb", folder / "t.db"
    work = folder / "w"
    yield {
        "postgres": Target(work, own.resource, lambda: Postgres(None, pg)),
        "mariadb": Target(work, mysql_place(mariadb).resource, lambda: MariaDB(None, mariadb)),
        "duckdb": Target(work, _file("duckdb", duck), lambda: DuckDB(None, str(duck))),
        "sqlite3": Target(work, _file("sqlite3", lite), lambda: SQLite(None, str(lite))),
        "sqlalchemy postgres": Target(work, by_url, lambda: Postgres(None, pg)),
        "sqlalchemy mariadb": Target(work, mysql_by_url(mariadb).resource, lambda: MariaDB(None, mariadb)),
    }


def _file(driver: str, path: Path) -> dict[str, Any]:
    return {"kind": "db", "driver": driver, "config": {"path": str(path)}}
