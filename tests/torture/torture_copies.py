"""Copies by `db_copy` of the types of each database; what the tables hold then is read by the drivers alone."""

import base64
import datetime as dt
import gc
import json
import re
import shutil
import warnings
from collections.abc import Sequence
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

from db_project import Project
from torture_cells import csv_form, same
from torture_into import Target
from torture_tables import number_of, texts_of
from torture_types import NativeType
from torture_ways import Sample, Source


def fill(source: Source, sample: Sample) -> None:
    """Make the table `from_it` with the values of a sample."""
    source.execute("DROP TABLE IF EXISTS from_it")
    source.execute(f"CREATE TABLE from_it (n integer, v {sample.declared} NULL)")
    source.execute(f"INSERT INTO from_it SELECT n, v FROM ({sample.sql}) AS s")


def copy(
    folder: Path, origin: Target, target: Target, made: Target | str, numbers: Sequence[int] | None = None
) -> dict[int, Any] | str:
    """Copy the rows of these numbers into a table; what its column holds by number, or the message of a refusal.

    :param made: the type of the table's column; or the target whose step makes the table, for SQLAlchemy that of the
        database's own driver
    """
    with closing(target.open()) as opened:
        opened.execute("DROP TABLE IF EXISTS into_it")
        if isinstance(made, str):
            opened.execute(f"CREATE TABLE into_it (n integer, v {made} NULL)")
    chosen = "" if numbers is None else f" WHERE n IN ({', '.join(map(str, numbers))})"
    for each in [target] if isinstance(made, str) else dict.fromkeys((made, target)):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        step = {"type": "db_copy", "sql": f"SELECT n, v FROM from_it{chosen}", "target": "to", "table": "into_it"}
        making = {"create": "if_missing"} if each is made else {"mode": "truncate"}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # SQLAlchemy does not know each type of a server
            ran = Project(folder, {"wh": origin.resource, "to": each.resource}).run(one=step | making)
        if ran.status["one"] != "SUCCESS":
            message = ran.error.message
            del ran
            gc.collect()  # the error's frames keep a query of DuckDB open, and its file
            return message
    with closing(target.open()) as opened:
        return column(opened, "into_it")


def column(source: Source, table: str) -> dict[int, Any]:
    """What the column `v` of a table holds, by `n`: bytes, or the database's text; of SQLite its values."""
    declared = str(source.rows(_DECLARED[source.name].format(table))[0][0])
    is_bytes = declared.partition("(")[0].lower() in _BYTES
    shown = (_BASE64 if is_bytes else _SHOWN).get(source.name, "v")
    if declared.startswith("bit") and source.name == "mariadb":
        shown = "v + 0"
    found = {int(number): each for number, each in source.rows(f"SELECT n, {shown} FROM {table} ORDER BY n")}
    if is_bytes and source.name != "sqlite3":
        return {number: each if each is None else base64.b64decode(each) for number, each in found.items()}
    return {
        number: each.decode() if isinstance(each, bytes) and not is_bytes else each for number, each in found.items()
    }


_BYTES = {"bytea", "blob", "tinyblob", "mediumblob", "longblob", "binary", "varbinary"}
_DECLARED = {
    "postgres": "SELECT format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = '{}'::regclass AND "
    "attname = 'v'",
    "mariadb": "SELECT column_type FROM information_schema.columns WHERE table_name = '{}' AND column_name = 'v' AND "
    "table_schema = database()",
    "duckdb": "SELECT data_type FROM duckdb_columns() WHERE table_name = '{}' AND column_name = 'v'",
    "sqlite3": "SELECT type FROM pragma_table_info('{}') WHERE name = 'v'",
}
_BASE64 = {"postgres": "encode(v, 'base64')", "mariadb": "to_base64(v)", "duckdb": "base64(v)"}
_SHOWN = {
    "postgres": "CASE WHEN v IS NOT NULL THEN format('%s', v) END",
    "duckdb": "replace(v::VARCHAR, '-nan', 'nan')",
}


def stands_for(found: Any, value: Any, kind: NativeType) -> bool:
    """Whether what a column of another type holds stands for the value."""
    match value:
        case None | str() if kind.sql != "numeric":
            return bool(found == value) or (isinstance(value, str) and _plain(found) == _plain(value))
        case bytes():
            return bool(found == value or found == base64.b64encode(value).decode())
        case bool():
            return str(found).lower() in ({"true", "t", "1"} if value else {"false", "f", "0"})
        case str() | int() | float() | Decimal():
            number, other = number_of(value), number_of(found)
            if number is None or other is None:
                return False
            return number == other or (number.is_nan() and other.is_nan())
        case dt.datetime():
            return _is_moment(found, value)
        case dt.date() | dt.time():
            return str(found) in texts_of(value)
        case list() | dict():
            return isinstance(found, str) and same(json.loads(found), json.loads(csv_form(value) or ""))
    return found is value


def _plain(text: Any) -> str:
    """The text with years before the first as PostgreSQL writes them, and no zeros at the end of a second's digits."""
    years = re.sub(r"^(\S+) \(BC\)(.*)$", r"\1\2 BC", str(text))
    return re.sub(r"(:\d\d)\.0+$|(:\d\d\.\d*[1-9])0+$", r"\1\2", years)


def _is_moment(found: Any, value: dt.datetime) -> bool:
    """Whether the text is the time. Without a zone it stands for UTC, but a time without a zone has none anywhere."""
    try:
        moment = dt.datetime.fromisoformat(str(found))
    except ValueError:
        return False
    if value.tzinfo is None and moment.tzinfo is not None:
        return False
    return moment.replace(tzinfo=moment.tzinfo or value.tzinfo) == value
