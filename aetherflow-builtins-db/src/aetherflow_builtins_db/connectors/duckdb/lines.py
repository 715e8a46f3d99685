"""CSV that DuckDB formats: SQL concatenates each row to one line of text, on all threads and in the query's order.

COPY … TO is not used: it collects whole row groups per thread before it writes, which is slower and takes several
times the memory.
"""

import string
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from aetherflow.core.api import Column, CsvFormat
from aetherflow_builtins_db.connectors.common.base import setting_literal
from aetherflow_builtins_db.connectors.common.rows import OpenRows
from aetherflow_builtins_db.connectors.duckdb.contract import Sessions
from aetherflow_builtins_db.connectors.duckdb.rows import DECIMAL, column_of, is_enum, record_batches, wrapped
from aetherflow_builtins_db.contract import Params
from aetherflow_builtins_db.statements import is_query

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_BATCH_LINES = 2048
_INTEGERS = frozenset({"TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT"})
_LARGE = frozenset({"HUGEINT", "UHUGEINT"})
_FLOATS = frozenset({"FLOAT", "DOUBLE"})
_TEXTS = frozenset({"VARCHAR", "JSON"})
_TIMES = frozenset({"TIMESTAMP_S", "TIMESTAMP_MS"})
"""TIMESTAMP_NS is missing: DuckDB rounds nanoseconds in text, its driver truncates them."""
_PLAIN = frozenset({"BOOLEAN", "DATE", "INTERVAL", "TIME", "TIMESTAMP", "UUID"})
_INSTANT = "TIMESTAMP WITH TIME ZONE"
_SIGNS = frozenset(string.ascii_letters + string.digits + "+-:. /=")
"""All characters that occur in values other than text, including Base64."""


def open_lines(connector: Sessions, sql: str, params: Params, dialect: CsvFormat) -> "DuckDBLines | None":
    """Open a query as CSV without a header; None if the bytes could differ from DelimitedWriter's."""
    session, statement, values = connector.open_query(sql, params)
    opened = None
    try:
        if is_query(statement.query, "postgresql"):
            with connector.mapped("query"):
                relation = session.sql(statement, params=values)
                kinds = [str(kind) for kind in relation.types]
                zone = session.execute("SELECT current_setting('TimeZone')").fetchall()
            texts = line_values(kinds, dialect, utc=zone == [("UTC",)])
            if texts is not None:
                columns = [column_of(name, kind) for name, kind in zip(relation.columns, kinds, strict=True)]
                opened = DuckDBLines(connector, session, columns, _lines(statement.query, texts, dialect), values)
    finally:
        if opened is None:
            connector.close_session(session)
    return opened


def _lines(query: str, texts: Sequence[str], dialect: CsvFormat) -> str:
    """A SELECT with one column that holds the CSV lines, each with its line end."""
    line = f", {setting_literal(dialect.delimiter)}, ".join(texts)
    return wrapped(f"concat({line}, chr(10))", query, len(texts))


def line_values(kinds: Sequence[str], dialect: CsvFormat, *, utc: bool) -> list[str] | None:
    """SQL expressions for the CSV text of the columns `c0`, `c1`, …; None if a type has no byte-equal expression."""
    if len(kinds) < 2:  # a null would make an empty line
        return None
    found = []
    for index, kind in enumerate(kinds):
        text = _text(f"c{index}", kind, utc=utc)
        if text is None:
            return None
        found.append(_null(_quoted(text, kind, dialect), dialect))
    return found


def _text(name: str, kind: str, *, utc: bool) -> str | None:
    if kind == "VARCHAR":
        return name
    if (found := DECIMAL.fullmatch(kind)) and found.group(1) == found.group(2):  # DuckDB writes .5, DelimitedWriter 0.5
        return f"regexp_replace({name}::VARCHAR, '^(-?)[.]', '\\10.')"
    if kind in _PLAIN | _INTEGERS | _LARGE | _TEXTS or found or is_enum(kind):
        return f"{name}::VARCHAR"
    if kind in _FLOATS:
        return f"CASE WHEN isnan({name}) THEN 'nan' ELSE {name}::DOUBLE::VARCHAR END"  # DuckDB writes -nan, too
    if kind in _TIMES:
        return f"{name}::TIMESTAMP::VARCHAR"
    if kind == _INSTANT:
        zoned = f"({name} AT TIME ZONE 'UTC')::VARCHAR || '+00'"
        return f"{name}::VARCHAR" if utc else f"CASE WHEN isinf({name}) THEN {name}::VARCHAR ELSE {zoned} END"
    return f"base64({name})" if kind == "BLOB" else None


def _quoted(text: str, kind: str, dialect: CsvFormat) -> str:
    """The expression with quotes around values that need them."""
    delimiter, quote, null = map(setting_literal, (dialect.delimiter, dialect.quotechar, dialect.null_value))
    is_text = kind in _TEXTS or is_enum(kind)
    may_be_empty = is_text or kind == "BLOB"
    tests = []
    if may_be_empty or (dialect.null_value and set(dialect.null_value) <= _SIGNS):
        tests.append(f"{text} = {null}")
    if is_text or {dialect.delimiter, dialect.quotechar} & _SIGNS:
        tests += [f"contains({text}, {each})" for each in (delimiter, quote)]
    if is_text:
        tests += [f"contains({text}, {each})" for each in ("chr(10)", "chr(13)")]
    if not tests:
        return text
    doubled = f"{quote} || replace({text}, {quote}, {setting_literal(dialect.quotechar * 2)}) || {quote}"
    return f"CASE WHEN {' OR '.join(tests)} THEN {doubled} ELSE {text} END"


def _null(text: str, dialect: CsvFormat) -> str:
    """The expression with `null_value` for nulls; concat() already turns a null into empty text."""
    return f"coalesce({text}, {setting_literal(dialect.null_value)})" if dialect.null_value else text


class DuckDBLines(OpenRows):
    """The CSV lines of one query, computed on demand."""

    def __init__(
        self,
        connector: Sessions,
        session: "DuckDBPyConnection",
        columns: list[Column],
        sql: str,
        values: dict[str, Any],
    ) -> None:
        super().__init__(columns)
        self._connector, self._session, self._sql, self._values = connector, session, sql, values
        self.rows = 0

    def blocks(self) -> Iterator[bytes | memoryview]:
        """Yield blocks of whole lines. With pyarrow no line becomes a Python str, which halves the time."""
        try:
            import pyarrow  # noqa: F401
        except ImportError:
            yield from self._from_texts()
        else:
            yield from self._from_arrow()

    def _from_arrow(self) -> Iterator[memoryview]:
        with self._connector.mapped("query"):
            relation = self._session.sql(self._sql, params=self._values)
        for batch in record_batches(self._connector, self._session, relation, _BATCH_LINES):
            self.rows += batch.num_rows
            yield _joined(batch.column(0))

    def _from_texts(self) -> Iterator[bytes]:
        connector, session = self._connector, self._session
        with connector.mapped("fetching rows"), connector.limit.counting(session.interrupt) as clock:
            with clock.running():
                session.execute(self._sql, self._values)
            while True:
                with clock.running():
                    batch = session.fetchmany(_BATCH_LINES)
                if not batch:
                    return
                self.rows += len(batch)
                yield "".join([line for (line,) in batch]).encode()

    def close(self) -> None:
        """End the session of the query."""
        self._connector.close_session(self._session)


def _joined(lines: Any) -> memoryview:
    """The bytes of all lines of an Arrow array, without a copy: they are contiguous in its buffer."""
    import pyarrow as pa

    array = lines.cast(pa.large_binary())
    _, offsets, data = array.buffers()
    starts = memoryview(offsets).cast("q")
    return memoryview(data).cast("B")[starts[array.offset] : starts[array.offset + len(array)]]
