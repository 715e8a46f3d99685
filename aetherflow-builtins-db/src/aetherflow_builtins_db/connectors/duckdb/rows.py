"""Open results of DuckDB, and the mapping of its types."""

import re
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from aetherflow.core.api import Column, ColumnType, Row
from aetherflow_builtins_db.columns import STRING
from aetherflow_builtins_db.connectors.common.base import setting_literal
from aetherflow_builtins_db.connectors.common.rows import OpenRows
from aetherflow_builtins_db.connectors.duckdb.contract import Sessions
from aetherflow_builtins_db.contract import Params
from aetherflow_builtins_db.statements import is_query, without_end

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection, DuckDBPyRelation
    from duckdb.sqltypes import DuckDBPyType

_INT, _FLOAT, _DATETIME = ColumnType("int"), ColumnType("float"), ColumnType("datetime")
_TYPES = {
    "BOOLEAN": ColumnType("bool"),
    **dict.fromkeys(("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT"), _INT),
    **dict.fromkeys(("UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "UHUGEINT"), _INT),
    **dict.fromkeys(("FLOAT", "DOUBLE"), _FLOAT),
    **dict.fromkeys(("VARCHAR", "UUID", "JSON", '"NULL"', "NULL"), STRING),
    **dict.fromkeys(("TIMESTAMP", "TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP_NS"), _DATETIME),
    "TIMESTAMP WITH TIME ZONE": ColumnType("datetime", zoned=True),
    "BLOB": ColumnType("bytes"),
    "DATE": ColumnType("date"),
    "TIME": ColumnType("time"),
}
"""HUGEINT is int because sum() of integers returns it; writing a value beyond 64 bits is an error."""
_UNSAFE = frozenset({"UHUGEINT", "TIMESTAMP_NS"})
"""Types whose Arrow form is wrong: large UHUGEINT values are negative, an infinite TIMESTAMP_NS is a day in 2262."""
DECIMAL = re.compile(r"DECIMAL\((\d+),(\d+)\)")


def column_of(name: str, duckdb_type: str) -> Column:
    """A column from the name of its DuckDB type; lists, structs and intervals are text."""
    if found := DECIMAL.fullmatch(duckdb_type):
        return Column(name, ColumnType("decimal", int(found.group(1)), int(found.group(2))))
    return Column(name, _TYPES.get(duckdb_type, STRING))


def is_enum(duckdb_type: str) -> bool:
    """Whether it is an enum, and not a list of them."""
    return duckdb_type.startswith("ENUM(") and duckdb_type.endswith(")")


def arrow_safe(duckdb_type: str) -> bool:
    """Whether the type's Arrow form has the same value as its Python form."""
    return duckdb_type in _TYPES.keys() - _UNSAFE or is_enum(duckdb_type) or bool(DECIMAL.fullmatch(duckdb_type))


_LOSSES = (
    (
        "is infinite, and DuckDB's driver has no such date",
        "make it text in the SQL: {0}::VARCHAR; or leave it out: WHERE isfinite({0})",
    ),
    (
        "has nanoseconds, and Python's times have none",
        "cut them in the SQL: {0}::TIMESTAMP; or make it text: {0}::VARCHAR",
    ),
)
"""What DuckDB's driver would change in a value, and what to do."""


def wrapped(selected: str, query: str, width: int) -> str:
    """SELECT `selected` FROM the query, whose `width` columns are named c0, c1, …; adds no line before the query.

    Line numbers in DuckDB's error messages therefore stay those of the query.
    """
    names = ", ".join(f"c{index}" for index in range(width))
    return f"SELECT {selected} FROM ({without_end(query, 'postgresql')}) AS q({names})"  # noqa: S608 - the query of the user


def made_readable(query: str, types: "Sequence[DuckDBPyType]") -> tuple[str | None, bool]:
    """The query in a form in which the driver changes no value, and whether that has one more column, its marks.

    Intervals are text, at any depth: the driver makes 30 days of a month. A mark says which column's value the driver
    would still change, and how, else null: the column's index, plus its kind in `_LOSSES` times the width. The driver
    returns `infinity` as the greatest Python date, which is a legal value, too, and drops nanoseconds. The query is
    None where the driver reads it as it is.
    """
    names, marks = [f"c{index}" for index in range(len(types))], []
    for index, (name, kind) in enumerate(zip(names, types, strict=True)):
        for loss, condition in enumerate(_CONDITIONS):
            if found := anywhere(name, kind, condition):
                marks.append(f"WHEN {found} THEN {loss * len(types) + index}")
    texts = [_with_texts(kind) for kind in types]
    selected = [
        name if text == str(kind) else f"CAST({name} AS {text})"
        for name, text, kind in zip(names, texts, types, strict=True)
    ]
    if not marks and selected == names:
        return None, False
    if marks:
        selected.append(f"CASE {' '.join(marks)} END")
    return wrapped(", ".join(selected), query, len(types)), bool(marks)


def _infinite(value: str, kind: Any) -> str:
    return f"isinf({value})" if kind.id == "date" or kind.id.startswith("timestamp") else ""


def _has_nanoseconds(value: str, kind: Any) -> str:
    return f"epoch_ns({value}) % 1000 <> 0" if kind.id == "timestamp_ns" else ""


_CONDITIONS: tuple[Callable[[str, Any], str], ...] = (_infinite, _has_nanoseconds)
"""For each of `_LOSSES`: SQL for whether a value has it; empty if its type never has."""


def anywhere(value: str, kind: Any, condition: Callable[[str, Any], str], depth: int = 0) -> str:
    """SQL for whether the condition holds for the value, or for one inside of it; empty if it never does."""
    match kind.id:
        case "list" | "array":
            item, (_, inner) = f"x{depth}", kind.children[0]
            found = anywhere(item, inner, condition, depth + 1)
            values = value if kind.id == "list" else f"CAST({value} AS {inner}[])"
            return f"len(list_filter({values}, lambda {item}: {found})) > 0" if found else ""
        case "struct":
            parts = [
                anywhere(
                    f"struct_extract({value}, {setting_literal(name) if name else number})", inner, condition, depth
                )
                for number, (name, inner) in enumerate(kind.children, 1)
            ]
        case "map":
            item = f"x{depth}"
            parts = []
            for name, inner in kind.children:
                if found := anywhere(item, inner, condition, depth + 1):
                    parts.append(f"len(list_filter(map_{name}s({value}), lambda {item}: {found})) > 0")
        case _:
            return condition(value, kind)
    return " OR ".join(f"coalesce({part}, false)" for part in parts if part)


def _with_texts(kind: Any) -> str:
    """The type as SQL, with text for intervals."""
    match kind.id:
        case "interval":
            return "VARCHAR"
        case "list":
            return f"{_with_texts(kind.children[0][1])}[]"
        case "array":
            return f"{_with_texts(kind.children[0][1])}[{kind.children[1][1]}]"
        case "map":
            return f"MAP({', '.join(_with_texts(inner) for _, inner in kind.children)})"
        case "struct" if all(_with_texts(inner) == str(inner) for _, inner in kind.children):
            return str(kind)
        case "struct":
            parts = (f"{_quoted(name)} {_with_texts(inner)}" for name, inner in kind.children)
            return f"STRUCT({', '.join(parts)})"
        case _:
            return str(kind)


def _quoted(name: str) -> str:
    doubled = name.replace('"', '""')
    return f'"{doubled}"'


def open_rows(connector: Sessions, sql: str, params: Params, fetch_size: int) -> "DuckDBRows":
    """Open a query in a read-only transaction of its own."""
    session, statement, values = connector.open_query(sql, params)
    try:
        with connector.mapped("query"):
            readable, marked = None, False
            if is_query(statement.query, "postgresql"):
                relation = session.sql(statement, params=values)
                readable, marked = made_readable(statement.query, relation.types)
            with connector.limit.on(session.interrupt):
                session.execute(readable or statement, values)
            found = session.description or []
            names = relation.columns if readable else [name for name, *_ in found]
            columns = [column_of(name, str(kind)) for name, (_, kind, *_) in zip(names, found, strict=False)]
    except BaseException:
        connector.close_session(session)
        raise
    return DuckDBRows(connector, session, columns, fetch_size, marked=marked)


class DuckDBRows(OpenRows):
    """The rows of one query, fetched on demand."""

    def __init__(
        self,
        connector: Sessions,
        session: "DuckDBPyConnection",
        columns: list[Column],
        fetch_size: int,
        *,
        marked: bool,
    ) -> None:
        """`marked`: the result has one more column at the end, the mark of `made_readable`."""
        super().__init__(columns)
        self._connector = connector
        self._session = session
        self._fetch_size = fetch_size
        self._marked = marked

    def batches(self) -> Iterator[list[Row]]:
        """The rows in lists of at most `fetch_size`."""
        limit, done = self._connector.limit, 0
        with self._connector.mapped("fetching rows"), limit.counting(self._session.interrupt) as clock:
            while True:
                with clock.running():
                    batch = self._session.fetchmany(self._fetch_size)
                if not batch:
                    return
                yield self._unmarked(batch, done) if self._marked else batch
                done += len(batch)

    def _unmarked(self, batch: list[Row], done: int) -> list[Row]:
        for number, row in enumerate(batch, done + 1):
            if row[-1] is not None:
                loss, index = divmod(row[-1], len(self.columns))
                name, (what, fix) = self.columns[index].name, _LOSSES[loss]
                raise self._connector.refuse(f"column {name!r}, row {number} {what}", fix.format(name))
        return [row[:-1] for row in batch]

    def close(self) -> None:
        """End the session of the query."""
        self._connector.close_session(self._session)


class DuckDBArrowRows(OpenRows):
    """The Arrow record batches of one query, computed on demand."""

    def __init__(
        self,
        connector: Sessions,
        session: "DuckDBPyConnection",
        columns: list[Column],
        relation: "DuckDBPyRelation",
        batch_rows: int,
    ) -> None:
        super().__init__(columns)
        self._connector = connector
        self._session = session
        self._relation = relation
        self._batch_rows = batch_rows

    def record_batches(self) -> Iterator[Any]:
        """Yield pyarrow RecordBatches of at most `batch_rows` rows; call it once."""
        return record_batches(self._connector, self._session, self._relation, self._batch_rows)

    def close(self) -> None:
        """End the session of the query."""
        self._connector.close_session(self._session)


def record_batches(
    connector: Sessions, session: "DuckDBPyConnection", relation: "DuckDBPyRelation", batch_rows: int
) -> Iterator[Any]:
    """Run the query of a relation and yield record batches of at most `batch_rows` rows, computed on demand."""
    with connector.mapped("fetching rows"), connector.limit.counting(session.interrupt) as clock:
        with clock.running():
            reader = relation.to_arrow_reader(batch_rows)
        while True:
            with clock.running():
                batch = next(reader, None)
            if batch is None:
                return
            yield batch
