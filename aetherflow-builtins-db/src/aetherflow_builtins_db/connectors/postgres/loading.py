"""Loads into PostgreSQL with COPY, directly from the file if possible; the server parses the text."""

import base64
import binascii
import codecs
import io
import json
import math
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from typing import Any, cast

from aetherflow.core.api import (
    ColumnType,
    ConnectorError,
    CsvFormat,
    FieldMap,
    LoadBatch,
    LoadFile,
    Row,
    RowsRefusedError,
    SqlTable,
    TableColumn,
)
from aetherflow_builtins_db.columns import UNKNOWN
from aetherflow_builtins_db.connectors.common.base import setting_literal
from aetherflow_builtins_db.connectors.postgres.errors import refusal
from aetherflow_builtins_db.connectors.postgres.swap import Swap
from aetherflow_builtins_db.contract import Transaction
from aetherflow_builtins_db.formats.delimited import DelimitedWriter
from aetherflow_builtins_db.formats.parquet import require_pyarrow
from aetherflow_builtins_db.formats.sink import HashingSink
from aetherflow_builtins_db.formats.values import text_value
from aetherflow_builtins_db.loading.records import ParquetReader
from aetherflow_builtins_db.loading.server import STAGE, Server
from aetherflow_builtins_db.loading.source import BLOCK, SourceFile

_ENCODINGS = {"utf-8": "UTF8", "ascii": "UTF8", "iso8859-1": "LATIN1", "iso8859-15": "LATIN9", "cp1252": "WIN1252"}
_BYTES = ColumnType("bytes")
_INTEGERS = frozenset({"smallint", "integer", "bigint"})
_FLOATS = frozenset({"double precision", "real"})
_ARROW_ROWS = 50_000
_DIALECT = CsvFormat(include_header=False)


class PostgresServer(Server):
    savepoints = True
    converts = False
    streams = "csv"
    swaps = True

    @property
    def tx(self) -> Transaction:
        """The open transaction, of this connector."""
        return cast(Transaction, self.job.tx)

    def look_up(self, parts: tuple[str, ...]) -> SqlTable | None:
        """The table in `pg_class`, found by its schema or the search path; None if there is none."""
        schema, name = parts[-2] if len(parts) > 1 else None, parts[-1]
        found = self.database.read(
            "SELECT n.nspname, c.relname, c.oid::bigint FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
            "WHERE lower(c.relname) = lower(:name) AND c.relkind IN ('r', 'p', 'f', 'v') "
            "AND CASE WHEN :schema::text IS NULL THEN pg_table_is_visible(c.oid) "
            "ELSE lower(n.nspname) = lower(:schema) END ORDER BY c.relname = :name DESC, n.nspname = :schema DESC",
            {"name": name, "schema": schema},
        )[1]
        if not found:
            return None
        schema, name, oid = found[0]
        rows = self.database.read(
            "SELECT attname, format_type(atttypid, atttypmod), attnotnull FROM pg_attribute "
            "WHERE attrelid = CAST(:oid AS oid) AND attnum > 0 AND NOT attisdropped ORDER BY attnum",
            {"oid": oid},
        )[1]
        columns = tuple(
            TableColumn(column, _BYTES if declared == "bytea" else UNKNOWN, declared, not required)
            for column, declared, required in rows
        )
        return SqlTable(self.quote(schema, name), schema, name, columns)

    def new_table(self, parts: tuple[str, ...]) -> SqlTable:
        """The table, in the named schema or in that where CREATE TABLE puts it."""
        name = parts[-1]
        if len(parts) > 1:
            return SqlTable(self.quote(parts[-2], name), parts[-2], name, ())
        ((schema,),) = self.database.read("SELECT current_schema()")[1]
        return SqlTable(self.quote(schema, name) if schema else self.quote(name), schema, name, ())

    # Filling

    def load_file(
        self, source: LoadFile, into: SqlTable, fields: FieldMap, columns: Sequence[TableColumn], extra: Row
    ) -> int | None:
        """Send the bytes of the file to COPY; None if PostgreSQL would read them differently than this package."""
        if source.format == "parquet":
            return self._load_parquet(cast(SourceFile, source), into, fields, columns, extra)
        dialect = source.dialect
        encoding = _ENCODINGS.get(codecs.lookup(dialect.encoding).name.removesuffix("-sig"))
        if (
            source.format not in {"csv", "tsv"}
            or extra
            or encoding is None
            or len(fields.picks) != fields.width
            or fields.width == 1  # a line `\.` would end the data
            or dialect.quoting == "none"
            or dialect.escapechar
            or not (dialect.delimiter + dialect.quotechar).isascii()
            or any(_needs_form(column) for column in columns)
        ):
            return None
        in_order = [column for _, column in sorted(zip(fields.picks, columns, strict=True), key=lambda each: each[0])]
        options = (
            f"FORMAT csv, HEADER {dialect.include_header}, DELIMITER {_literal(dialect.delimiter)}, "
            f"QUOTE {_literal(dialect.quotechar)}, NULL {_literal(dialect.null_value)}, ENCODING '{encoding}'"
        )
        with source.binary() as file:
            return self._copy(into, in_order, options, _checked(_blocks(file), dialect))

    def _load_parquet(
        self, source: SourceFile, into: SqlTable, fields: FieldMap, columns: Sequence[TableColumn], extra: Row
    ) -> int | None:
        """Send record batches as CSV that Arrow formats, which is much faster than rows in Python."""
        with source.reader(keys=None, width=None) as reader:
            parquet = cast(ParquetReader, reader)
            names = [parquet.names[index] for index in fields.picks]
            kinds = [parquet.schema.field(name).type for name in names]
            plain = all(_arrow_writes(kind, column) for kind, column in zip(kinds, columns, strict=False))
            if extra or not plain or len(names) == 1 or any(_needs_form(column) for column in columns):
                return None
            blocks = (_csv_of(batch.select(names)) for batch in parquet.record_batches(_ARROW_ROWS, names))
            return self._copy(into, columns, "FORMAT csv, NULL '', ENCODING 'UTF8'", blocks)

    def insert(self, into: SqlTable, columns: Sequence[TableColumn], batch: LoadBatch) -> int:
        forms = [(index, column) for index, column in enumerate(columns) if _needs_form(column)]
        rows: Sequence[Row] = batch.rows
        integers = [index for index, column in enumerate(columns) if column.declared in _INTEGERS]
        if any(isinstance(row[index], float | Decimal) for row in rows for index in integers):
            at = set(integers)
            rows = [tuple([_whole(cell) if index in at else cell for index, cell in enumerate(row)]) for row in rows]
        if forms:
            rows = [_formed(row, forms, index) for index, row in enumerate(rows)]
        buffer = io.BytesIO()
        dialect = _DIALECT if len(columns) > 1 else CsvFormat(include_header=False, quoting="all")
        DelimitedWriter(HashingSink(buffer), [column.name for column in columns], dialect).write(rows)
        data = buffer.getvalue()
        try:
            return self._copy(into, columns, "FORMAT csv, NULL '', ENCODING 'UTF8'", [data])
        except RowsRefusedError as error:
            one_line_each = data.count(b"\n") == len(rows)
            error.index = error.index - 1 if error.index and one_line_each else None
            raise

    def _copy(
        self, into: SqlTable, columns: Sequence[TableColumn], options: str, blocks: Iterable[bytes | memoryview]
    ) -> int:
        sql = f"COPY {into.sql} ({self.list_of(columns)}) FROM STDIN ({options})"
        with self._refusals():
            return self.tx.copy_in(sql, blocks)  # type: ignore[attr-defined, no-any-return]  # see CopyTransaction

    def _refusals(self) -> "_Refusals":
        return _Refusals()

    # Modes

    def empty(self, table: SqlTable) -> int | None:
        """TRUNCATE, as part of the transaction; other sessions that read the table wait until its end."""
        self.tx.execute(f"TRUNCATE TABLE {table.sql}")
        return None

    def stage(self, table: SqlTable, columns: Sequence[TableColumn], keys: Sequence[TableColumn]) -> SqlTable:
        """Create a temporary table with the same NOT NULL columns."""
        del keys
        names = self.list_of(columns)
        self.tx.execute(f"CREATE TEMPORARY TABLE {STAGE} ON COMMIT DROP AS SELECT {names} FROM {table.sql} WHERE false")
        for column in columns:
            if not column.nullable:
                self.tx.execute(f"ALTER TABLE {STAGE} ALTER COLUMN {self.quote(column.name)} SET NOT NULL")
        return SqlTable(STAGE, None, STAGE, tuple(columns))

    def lock_for_merge(self, table: SqlTable) -> None:
        """Lock the table against other writers; readers are not blocked."""
        self.tx.execute(f"LOCK TABLE {table.sql} IN SHARE ROW EXCLUSIVE MODE")

    def check_replaceable(self, table: SqlTable) -> None:
        """StepError if the table has dependents that a new table would lose, such as views or foreign keys."""
        self._swap = Swap(self.tx, self.quote, table, self.job.name)
        self._swap.check()

    def prepare_replacement(self, table: SqlTable) -> SqlTable:  # noqa: ARG002 - `check_replaceable` got the same table
        """Create a table with the same columns, defaults, constraints and indexes."""
        return self._swap.prepare()

    def swap(self, table: SqlTable, staged: SqlTable) -> None:  # noqa: ARG002
        """Drop the old table and give the new one its name, privileges and index names."""
        self._swap.finish()


class _Refusals:
    """Turns errors about the data into RowsRefusedError."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if not isinstance(error, ConnectorError):
            return
        if (found := refusal(error.__cause__)) is not None:
            raise RowsRefusedError(found.reason, found.line) from error.__cause__


def _csv_of(batch: Any) -> memoryview:
    """A record batch as CSV: without quotes if no text needs any, which Arrow writes and the server reads faster."""
    pa = require_pyarrow()
    import pyarrow.compute as pc
    from pyarrow.csv import WriteOptions, write_csv

    if pa.float32() in batch.schema.types:  # of which 0.1 is another number than 0.1 of a double
        wide = [column.cast(pa.float64()) if column.type == pa.float32() else column for column in batch.columns]
        batch = pa.RecordBatch.from_arrays(wide, names=batch.schema.names)
    lengths = [pc.binary_length(column) for column in batch.columns if _is_text(column.type)]
    quoted = any(pc.min(each).as_py() == 0 for each in lengths)  # an empty text without quotes is null
    for style in ["needed"] if quoted else ["none", "needed"]:
        out = pa.BufferOutputStream()
        try:
            write_csv(batch, out, WriteOptions(include_header=False, quoting_style=style))
            break
        except pa.ArrowInvalid:  # a text has a comma, a quote or a line end
            if style == "needed":
                raise
    return memoryview(out.getvalue())


def _is_text(kind: Any) -> bool:
    types = require_pyarrow().types
    return bool(types.is_string(kind) or types.is_large_string(kind))


def _arrow_writes(kind: Any, column: TableColumn) -> bool:
    """Whether PostgreSQL reads the text that Arrow writes for this type as the same value of the column."""
    types = require_pyarrow().types
    if types.is_floating(kind):
        return column.declared in _FLOATS and not types.is_float16(kind)
    if types.is_decimal(kind):  # in a text it would be 1E-7
        return column.declared in _FLOATS or column.declared.startswith("numeric")
    if types.is_timestamp(kind):  # in a text it would have all digits; without a zone it is that of UTC
        zoned = column.declared.endswith(" with time zone")
        return zoned or (column.declared.startswith("timestamp") and kind.tz in {None, "UTC"})
    return bool(types.is_boolean(kind) or types.is_integer(kind) or types.is_date(kind) or _is_text(kind))


def _blocks(file: Any) -> Iterator[bytes]:
    block = file.read(BLOCK)
    yield block.removeprefix(codecs.BOM_UTF8)
    while block := file.read(BLOCK):
        yield block


def _checked(blocks: Iterator[bytes], dialect: CsvFormat) -> Iterator[bytes]:
    """The blocks; RowsRefusedError for a quote within a field that has none around it, or text behind a closing one.

    PostgreSQL would drop the quotes of `a "b" c`, and would not end the field at a delimiter between them.
    """
    quote, inside, last = dialect.quotechar.encode(), False, b"\n"
    kinds = bytearray(b"x" * 256)
    for sign in (dialect.delimiter, "\r", "\n"):
        kinds[ord(sign)] = ord(",")
    kinds[quote[0]] = ord('"')
    for block in blocks:
        if quote in block or last == quote:
            parts = block.split(quote)
            outside = (quote if inside else last) + quote.join(parts[inside::2])
            inside ^= len(parts) % 2 == 0
            seen = (outside + quote if inside else outside).translate(kinds)
            if b'x"' in seen or b'"x' in seen:
                raise RowsRefusedError("a quote stands within a field")
        last = block[-1:]
        yield block


def _literal(text: str) -> str:
    escaped = text.replace("\\", "\\\\")
    return f"E{setting_literal(escaped)}" if escaped != text else setting_literal(text)


def _needs_form(column: TableColumn) -> bool:
    """Whether files hold the column's values in another form than PostgreSQL reads: base64 and JSON lists."""
    return column.type.kind == "bytes" or column.declared.endswith("[]")


def _whole(cell: Any) -> Any:
    """A float or Decimal without a fraction as int; other values unchanged. Dataframes with nulls hold such floats."""
    return int(cell) if isinstance(cell, float | Decimal) and math.isfinite(cell) and cell % 1 == 0 else cell


def _formed(row: Row, forms: Sequence[tuple[int, TableColumn]], number: int) -> Row:
    cells = list(row)
    for index, column in forms:
        if cells[index] is None:
            continue
        try:
            cells[index] = _hex(cells[index]) if column.type.kind == "bytes" else _array(cells[index], column.declared)
        except ValueError as error:
            raise RowsRefusedError(f"column {column.name}: {error}", number) from error
    return tuple(cells)


def _hex(value: Any) -> str:
    if isinstance(value, str):
        try:
            value = base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError) as error:
            raise ValueError("the value is no base64, which is how files hold bytes") from error
    return "\\x" + bytes(value).hex()


def _array(value: Any, declared: str) -> str:
    """A list in PostgreSQL's array notation; text that already has it stays."""
    if isinstance(value, str):
        if not value.lstrip().startswith("["):
            return value
        value = json.loads(value)
    return "{" + ",".join([_element(each, declared) for each in value]) + "}"


def _element(value: Any, declared: str) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, list | tuple):
        return _array(value, declared)
    text = _hex(value) if declared.startswith("bytea") else text_value(value)
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
