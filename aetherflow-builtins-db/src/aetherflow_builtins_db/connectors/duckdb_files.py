"""COPY … TO: files made by DuckDB itself, on all its threads; their bytes come through a pipe."""

import fcntl
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from aetherflow_builtins_db.columns import Column
from aetherflow_builtins_db.connectors.base import OpenRows, setting_literal
from aetherflow_builtins_db.connectors.duckdb_rows import column_of
from aetherflow_builtins_db.contract import Params
from aetherflow_builtins_db.dialect import Dialect
from aetherflow_builtins_db.statements import is_query

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from aetherflow_builtins_db.connectors.duckdb import DuckDBConnector

_BLOCK = 2**20
_INTEGERS = frozenset({"TINYINT", "SMALLINT", "INTEGER", "UTINYINT", "USMALLINT", "UINTEGER"})
_TEXTS = frozenset({"UUID", "JSON"})
_WHOLE = frozenset({"BIGINT", "BOOLEAN", "VARCHAR", "DATE", "TIME", "TIMESTAMP", "DOUBLE"})
_LARGE = frozenset({"HUGEINT", "UBIGINT", "UHUGEINT"})
_TIMES = frozenset({"TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP_NS"})
_INSTANT = "TIMESTAMP WITH TIME ZONE"


def open_csv(connector: "DuckDBConnector", sql: str, params: Params, dialect: Dialect) -> "DuckDBFile | None":
    """A query as CSV without header; None if our own writer would write other bytes."""
    signs = (dialect.delimiter, dialect.quotechar, dialect.quotechar, dialect.null_value)
    delimiter, quote, escape, null = map(setting_literal, signs)
    # COMMENT: else every value with a # in it is quoted.
    options = f"DELIMITER {delimiter}, QUOTE {quote}, ESCAPE {escape}, NULLSTR {null}, COMMENT ''"
    return _open(connector, sql, params, f"FORMAT csv, HEADER false, {options}", csv_expressions)


def open_parquet(connector: "DuckDBConnector", sql: str, params: Params, compression: str) -> "DuckDBFile | None":
    """A query as a Parquet file; None if a column would have another type."""
    codec = "uncompressed" if compression == "none" else compression
    return _open(connector, sql, params, f"FORMAT parquet, COMPRESSION {codec}", parquet_expressions)


def _open(
    connector: "DuckDBConnector",
    sql: str,
    params: Params,
    options: str,
    expressions: Callable[[Sequence[str], Sequence[str], bool], list[str] | None],
) -> "DuckDBFile | None":
    session, statement, values = connector.open_query(sql, params)
    opened = None
    try:
        if is_query(statement.query):
            with connector.mapped("query"):
                relation = session.sql(statement, params=values)
                kinds = [str(kind) for kind in relation.types]
                settings = session.execute(
                    "SELECT current_setting('TimeZone'), current_setting('enable_external_access')"
                ).fetchone()
            zone, may_write_files = settings or ("", True)
            wanted = expressions([f"c{index}" for index in range(len(kinds))], kinds, zone == "UTC")
            if wanted is not None and may_write_files:
                columns = [column_of(name, kind) for name, kind in zip(relation.columns, kinds, strict=True)]
                chosen = ", ".join(
                    f"{each} AS {connector.quote(column.name)}" for each, column in zip(wanted, columns, strict=True)
                )
                copy = _copy_to(statement.query, chosen, len(columns), options)
                opened = DuckDBFile(connector, session, columns, copy, values)
    finally:
        if opened is None:
            connector.close_session(session)
    return opened


def _copy_to(query: str, chosen: str, width: int, options: str) -> Callable[[str], str]:
    """The COPY statement for a path."""
    names = ", ".join(f"c{index}" for index in range(width))
    body = query.strip().removesuffix(";")
    copy = f"COPY (SELECT {chosen} FROM (\n{body}\n) AS q({names})) TO "  # noqa: S608 - the query of the user
    return lambda path: f"{copy}'{path}' (USE_TMP_FILE false, {options})"


def csv_expressions(names: Sequence[str], kinds: Sequence[str], utc: bool) -> list[str] | None:
    """What to select so that COPY's CSV looks like our own; None if nothing does."""
    found = [_csv(name, kind, utc=utc) for name, kind in zip(names, kinds, strict=True)]
    return None if len(found) < 2 or None in found else [each for each in found if each]


def _csv(name: str, kind: str, *, utc: bool) -> str | None:
    if kind in (_WHOLE - {"DOUBLE"}) | _INTEGERS | _LARGE | _TEXTS or kind.startswith(("DECIMAL(", "ENUM(")):
        return name
    if kind in {"FLOAT", "DOUBLE"}:
        return f"CASE WHEN isnan({name}) THEN 'nan'::DOUBLE ELSE {name}::DOUBLE END"  # there is a -nan, too
    if kind in _TIMES:
        return f"{name}::TIMESTAMP"
    if kind == _INSTANT:
        return name if utc else f"({name} AT TIME ZONE 'UTC')::VARCHAR || '+00'"
    return f"base64({name})" if kind == "BLOB" else None


def parquet_expressions(names: Sequence[str], kinds: Sequence[str], utc: bool) -> list[str] | None:
    """What to select so that COPY's Parquet has the types of our own; None if nothing does."""
    del utc  # an instant is one, whatever the session's zone
    found = [_parquet(name, kind) for name, kind in zip(names, kinds, strict=True)]
    return None if None in found else [each for each in found if each]


def _parquet(name: str, kind: str) -> str | None:
    if kind in _WHOLE or kind in {_INSTANT, "BLOB"} or kind.startswith("DECIMAL("):
        return name
    if kind in _INTEGERS:
        return f"{name}::BIGINT"
    if kind == "FLOAT":
        return f"{name}::DOUBLE"
    return f"{name}::VARCHAR" if kind in _TEXTS or kind.startswith("ENUM(") else None


class DuckDBFile(OpenRows):
    """The bytes of one COPY, which runs in a thread of its own."""

    def __init__(
        self,
        connector: "DuckDBConnector",
        session: "DuckDBPyConnection",
        columns: list[Column],
        copy_to: Callable[[str], str],
        values: dict[str, Any],
    ) -> None:
        super().__init__(columns)
        self._connector, self._session, self._copy_to, self._values = connector, session, copy_to, values
        self.rows: int | None = None
        self._error: BaseException | None = None

    def blocks(self) -> Iterator[bytes]:
        """The bytes of the file."""
        reading, writing = os.pipe()
        if hasattr(fcntl, "F_SETPIPE_SZ"):
            fcntl.fcntl(reading, fcntl.F_SETPIPE_SZ, _BLOCK)
        copying = threading.Thread(target=self._run, args=(writing,), daemon=True)
        copying.start()
        connector = self._connector
        with connector.mapped("copying rows"), connector.limit.counting(self._session.interrupt) as clock:
            try:
                while True:
                    with clock.running():
                        block = os.read(reading, _BLOCK)
                    if not block:
                        break
                    yield block
            finally:
                os.close(reading)  # a COPY that still writes fails now
                copying.join()
            if self._error is not None:
                raise self._error

    def _run(self, writing: int) -> None:
        try:
            done = self._session.execute(self._copy_to(f"/dev/fd/{writing}"), self._values).fetchone()
            self.rows = int(done[0]) if done else 0
        except BaseException as error:  # noqa: BLE001 - raised where the bytes are read
            self._error = error
        finally:
            os.close(writing)

    def close(self) -> None:
        """End the session of the query."""
        self._connector.close_session(self._session)
