"""Results as the text of COPY … TO STDOUT, the fastest way to read from PostgreSQL."""

import codecs
import csv
import io
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import chain
from typing import TYPE_CHECKING, Any

from aetherflow.core.api import Column, StepError
from aetherflow_builtins_db.columns import UNKNOWN
from aetherflow_builtins_db.connectors.common.contract import Connections
from aetherflow_builtins_db.connectors.common.rows import OpenRows
from aetherflow_builtins_db.connectors.postgres.copy_out import copy_out
from aetherflow_builtins_db.failures import one_line
from aetherflow_builtins_db.formats.values import short_value

if TYPE_CHECKING:
    import psycopg

_MOST_ARROW_BYTES = 2**31 - 1
"""Of one block for pyarrow, which refuses a row that no block holds: it gets those of COPY, of whole rows."""
_OBJECTS = frozenset({22, 30, 2249, 2287})
"""OIDs of int2vector, oidvector and records, which psycopg converts to Python objects, like arrays."""
# SQL that formats a double like Python's repr. Python writes 1.0 where PostgreSQL writes 1, and switches to exponents
# at 1e16, not 1e15. For large numbers Python may find a text with fewer digits that reads back as the same double.
_SHORTER = (
    r"(SELECT t FROM (VALUES (14), (15)) AS d(n), "
    r"LATERAL (SELECT round(split_part({0}::text, 'e', 1)::numeric, n)) AS m(v), "
    r"LATERAL (SELECT regexp_replace(v::text, '\.?0+$', '') || 'e' || split_part({0}::text, 'e', 2)) AS c(t) "
    r"WHERE abs(v) < 10 AND t::float8 = {0} ORDER BY n LIMIT 1)"
)
FLOAT = (
    "CASE WHEN {0} = trunc({0}) AND abs({0}) < 1e15 THEN {0}::text || '.0' WHEN abs({0}) < 1e15 THEN {0}::text "
    "WHEN abs({0}) < 1e16 THEN {0}::text::numeric::text || CASE WHEN {0} = trunc({0}) THEN '.0' ELSE '' END "
    "WHEN {0} = 'NaN' THEN 'nan' WHEN {0} = 'Infinity' THEN 'inf' WHEN {0} = '-Infinity' THEN '-inf' "
    f"WHEN abs({{0}}) >= 1e300 THEN {{0}}::text ELSE COALESCE({_SHORTER}, {{0}}::text) END"
)

_IN_YEARS_OF_PYTHON = "{0} >= '0001-01-01' AND {0} < '10000-01-01'"


def held(*moments: str) -> str:
    """SQL for whether Python has these moments; of others there is the text that PostgreSQL writes."""
    return " AND ".join(map(_IN_YEARS_OF_PYTHON.format, moments))


def makes_objects(connection: "psycopg.Connection[Any]", oid: int) -> bool:
    """Whether psycopg converts the type to a list or a tuple."""
    known = connection.adapters.types.get(oid)
    return oid in _OBJECTS or (known is not None and known.array_oid == oid)


def csv_query(connection: "psycopg.Connection[Any]", sql: str, described: Sequence["psycopg.Column"]) -> str | None:
    """A query whose COPY has the same bytes as DelimitedWriter's CSV; None if there is none."""
    oids = [column.type_code for column in described]
    if len(oids) < 2 or any(makes_objects(connection, oid) for oid in oids):
        return None  # COPY quotes a value `\.` that is alone in its line
    utc = connection.info.parameter_status("TimeZone") == "UTC"
    names = [f"c{index}" for index in range(len(oids))]
    wanted = [_expression(name, oid, utc=utc) for name, oid in zip(names, oids, strict=True)]
    if wanted == names:
        return sql
    return f"SELECT {', '.join(wanted)} FROM (\n{sql}\n) AS q({', '.join(names)})"  # noqa: S608 - the user's query


def _expression(name: str, oid: int, *, utc: bool) -> str:
    match oid:
        case 16:  # bool
            return f"{name}::text"
        case 700:  # real: the double that Python reads from its text
            return FLOAT.format(f"({name}::text::float8)")
        case 701:  # double
            return FLOAT.format(name)
        case 17:  # bytea
            return rf"replace(encode({name}, 'base64'), E'\n', '')"
        case 1184 if not utc:  # timestamptz
            instant = f"({name} AT TIME ZONE 'UTC')"
            within = held(instant, f"{name}::timestamp")
            return f"CASE WHEN {within} THEN {instant}::text || '+00' ELSE {name}::text END"
        case _:
            return name


class PostgresCopy(OpenRows):
    """The result of one COPY as bytes."""

    def __init__(
        self,
        connector: Connections,
        connection: "psycopg.Connection[Any]",
        columns: list[Column],
        copy_sql: str,
        values: dict[str, Any],
    ) -> None:
        super().__init__(columns)
        self._connector, self._copy_sql, self._values = connector, copy_sql, values
        self._connection: psycopg.Connection[Any] | None = connection
        self._ended = False

    @property
    def rows(self) -> int:
        """Number of rows in the blocks yielded so far."""
        return self.progress.rows

    def blocks(self) -> Iterator[bytes]:
        """Yield blocks of whole rows; call it once."""
        if (connection := self._connection) is None:
            return
        import psycopg

        # COPY takes no parameters in the protocol, so psycopg writes them as literals.
        text = (
            psycopg.ClientCursor(connection).mogrify(self._copy_sql, self._values) if self._values else self._copy_sql
        )
        with self._connector.mapped("copying rows", self.progress):
            for count, block in copy_out(connection, text):
                self.progress.rows += count
                self.progress.bytes += len(block)
                yield block
        self._ended = True

    def close(self) -> None:
        """End the query and its transaction. If rows are left, cancel the query and close the connection."""
        connection, self._connection = self._connection, None
        if connection is None:
            return
        if self._ended:
            self._connector.give_back(connection)
            return
        with suppress(Exception):  # the connection is closed in any case
            self._connector.cancel(connection)
        self._connector.discard(connection)


class PostgresArrow(OpenRows):
    """The rows of one query as Arrow; pyarrow parses the text of COPY."""

    def __init__(self, copy: PostgresCopy) -> None:
        super().__init__(copy.columns)
        self._copy = copy

    def record_batches(self) -> Iterator[Any]:
        """Yield a record batch for each block; StepError if a value does not fit its column's type."""
        import pyarrow as pa
        import pyarrow.csv as reader

        from aetherflow_builtins_db.formats.parquet import arrow_type

        # Numbers instead of names: two columns may have the same name here; refuse_duplicates reports that.
        types = {str(index): arrow_type(column.type) for index, column in enumerate(self.columns)}
        blocks = self._copy.blocks()
        first = next(blocks, b"")
        if not first:  # pyarrow raises an error for an empty file
            return
        source = _File(chain([with_mark(first)], blocks))
        try:
            batches = reader.open_csv(
                source,
                read_options=reader.ReadOptions(column_names=list(types), block_size=_MOST_ARROW_BYTES),
                parse_options=reader.ParseOptions(newlines_in_values=True, ignore_empty_lines=False),
                convert_options=reader.ConvertOptions(
                    column_types=types,
                    null_values=[""],
                    strings_can_be_null=True,
                    quoted_strings_can_be_null=False,
                    true_values=["t"],
                    false_values=["f"],
                ),
            )
            for batch in batches:
                source.forget(batch.num_rows)
                yield batch
        except pa.ArrowInvalid as error:
            raise self._misfit(source) or StepError(
                f"a value does not fit its column in Parquet: {one_line(str(error))}",
                fix="cast it in the SQL, or set its type: dtypes: {column: string}",
            ) from error

    def _misfit(self, source: "_File") -> StepError | None:
        """The error that names the first value in the blocks not yet parsed which does not fit its column."""
        from aetherflow_builtins_db.formats.coerce import coerce
        from aetherflow_builtins_db.formats.parquet import misfit

        number = source.rows
        for block in source.blocks:
            for row in csv.reader(io.StringIO(block.decode("utf-8-sig"), newline="")):
                number += 1
                for column, text in zip(self.columns, row, strict=False):
                    try:
                        coerce(text if text or column.type.kind == "string" else None, column.type)
                    except ValueError as error:
                        return misfit(column, number, f"{short_value(text)} {error}")
        return None

    def close(self) -> None:
        self._copy.close()


def arrow_safe(connection: "psycopg.Connection[Any]", columns: list[Column], oids: Sequence[int]) -> bool:
    """Whether pyarrow reads the same values from COPY's text as psycopg returns. It knows no seconds of a zone."""
    utc = connection.info.parameter_status("TimeZone") == "UTC"
    return bool(columns) and not any(
        column.type == UNKNOWN
        or column.type.kind == "bytes"
        or (column.type.zoned and not utc)
        or makes_objects(connection, oid)
        for column, oid in zip(columns, oids, strict=True)
    )


def with_mark(text: bytes) -> bytes:
    """The text for a reader that takes off a byte order mark, although the first value may begin with one."""
    return codecs.BOM_UTF8 + text if text.startswith(codecs.BOM_UTF8) else text


class _File:
    """A file object for pyarrow that reads from an iterator of blocks."""

    closed = False

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._blocks = blocks
        self._rest = b""
        self.blocks: deque[bytes] = deque()
        """Those of which no batch was made yet."""
        self.rows = 0
        """In batches that were made."""

    def forget(self, rows: int) -> None:
        """Count a batch; each is made of one block."""
        self.rows += rows
        self.blocks.popleft()

    def read(self, size: int = -1) -> bytes:
        if not self._rest and (block := next(self._blocks, b"")):
            self._rest = block
            self.blocks.append(block)
        if size < 0:
            size = len(self._rest)
        found, self._rest = self._rest[:size], self._rest[size:]
        return found

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return False

    def seekable(self) -> bool:
        return False

    def close(self) -> None:
        """Do nothing: PostgresCopy closes the query."""
