"""Writes Parquet with the column types of the database: decimals stay decimals, instants are UTC in microseconds.

pyarrow is imported on use: its import is slow, and flows that write CSV do not need it.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import PurePath
from types import ModuleType, TracebackType
from typing import Any, Literal, Self, TypeAlias

from aetherflow.core.api import ArrowRows, Column, ColumnType, Row, StepError, install_command
from aetherflow_builtins_db.formats.coerce import coerce
from aetherflow_builtins_db.formats.sink import HashingSink
from aetherflow_builtins_db.formats.values import short_value

Compression: TypeAlias = Literal["zstd", "snappy", "gzip", "none"]

_GROUP_ROWS, _GROUP_BYTES = 131_072, 64 * 2**20
"""A row group ends at either limit: large enough to read fast, small enough for memory."""
_LIMITS = {
    "date": (-719_162, 2_932_896),
    "time": (0, 86_399_999_999),
    "datetime": (-62_135_596_800_000_000, 253_402_300_799_999_999),
}
"""The ranges of Python's types: days since 1970, microseconds since midnight, microseconds since 1970."""
_BATCH_BYTES = 2**30


def libraries_for(inputs: Mapping[str, Any], path: Any, zstd: Sequence[str] = (".zst",)) -> dict[str, str]:
    """What `Step.libraries` says of raw inputs with `format` and `compression`, which the name of the file may tell.

    `zstd` are the suffixes of what is compressed so.
    """
    name = PurePath(path.lower()) if isinstance(path, str) else PurePath()
    packed = name.suffix in zstd
    kind = name.with_suffix("").suffix if packed or name.suffix == ".gz" else name.suffix
    is_parquet = inputs["format"] == "parquet" if inputs.get("format") else kind == ".parquet"
    is_packed = inputs["compression"] == "zstd" if inputs.get("compression") else packed
    return {"pyarrow": install_command("parquet")} if is_parquet or is_packed else {}


def has_pyarrow() -> bool:
    """Whether pyarrow, which the extra `parquet` brings, is installed."""
    return find_spec("pyarrow") is not None


def require_pyarrow() -> ModuleType:
    """Import and return pyarrow; ParquetSupportMissing with the install command if it is missing."""
    try:
        import pyarrow as pa
        import pyarrow.parquet
    except ImportError as error:
        from aetherflow.core.api import ParquetSupportMissing  # imported on first access

        raise ParquetSupportMissing(
            "format parquet needs pyarrow, which is not installed", fix=install_command("parquet")
        ) from error
    return pa  # type: ignore[no-any-return]  # pyarrow ships no types


def arrow_type(column_type: ColumnType) -> Any:
    """The pyarrow type for a column type; text for unknown ones."""
    pa = require_pyarrow()
    match column_type.kind:
        case "decimal":
            return pa.decimal128(column_type.precision, column_type.scale)
        case "datetime":
            return pa.timestamp("us", tz="UTC" if column_type.zoned else None)
        case "bool":
            return pa.bool_()
        case "int":
            return pa.int64()
        case "float":
            return pa.float64()
        case "date":
            return pa.date32()
        case "time":
            return pa.time64("us")
        case "bytes":
            return pa.binary()
        case _:
            return pa.string()


class ParquetWriter:
    """Writes rows and record batches to a sink as row groups. Use it in a `with` block, whose end writes the footer."""

    def __init__(self, sink: HashingSink, columns: Sequence[Column], compression: Compression) -> None:
        self._pa = require_pyarrow()
        self._sink = sink
        self.columns = list(columns)
        self.schema = self._pa.schema([(column.name, arrow_type(column.type)) for column in columns])
        self._writer = self._pa.parquet.ParquetWriter(sink, self.schema, compression=compression)
        self._pending: list[Any] = []
        self._pending_rows = self._pending_bytes = self._row_count = 0

    def write_rows(self, rows: Sequence[Row]) -> None:
        """Write rows; StepError names row and column of a value that does not fit its column."""
        values = zip(*rows, strict=True) if rows else [()] * len(self.columns)
        arrays = [self._array(column, list(cells)) for column, cells in zip(self.columns, values, strict=True)]
        self.write_batch(self._pa.RecordBatch.from_arrays(arrays, schema=self.schema))

    def write_batch(self, batch: Any) -> None:
        """Write a record batch of the writer's schema."""
        self._pending.append(batch)
        self._pending_rows += batch.num_rows
        self._pending_bytes += batch.nbytes
        self._row_count += batch.num_rows
        if self._pending_rows >= _GROUP_ROWS or self._pending_bytes >= _GROUP_BYTES:
            self.end_group()

    def cast_batch(self, batch: Any) -> Any:
        """A record batch with the same columns, cast to the schema's types; StepError for a value that does not fit."""
        arrays = []
        for column, field, array in zip(self.columns, self.schema, batch.columns, strict=True):
            try:
                arrays.append(self._in_range(column, array.cast(field.type)))
            except self._pa.ArrowInvalid:
                arrays.append(self._array(column, self._cells(column, array)))
        return self._pa.RecordBatch.from_arrays(arrays, schema=self.schema)

    def _cells(self, column: Column, array: Any) -> list[Any]:
        cells = []
        for index, value in enumerate(array, 1):
            try:
                cells.append(value.as_py())
            except (OverflowError, ValueError) as error:  # an instant outside Python's years
                raise self._misfit(column, index, "is no date of the years 1 to 9999") from error
        return cells

    def _in_range(self, column: Column, array: Any) -> Any:
        """Return the array; StepError for values that Python cannot read: infinity, 24:00, years outside 1 to 9999."""
        limits = _LIMITS.get(column.type.kind)
        if limits is None or array.null_count == len(array):
            return array
        import pyarrow.compute as pc

        numbers = array.view(self._pa.int32() if column.type.kind == "date" else self._pa.int64())
        least, most = pc.min_max(numbers).as_py().values()
        if limits[0] <= least and most <= limits[1]:
            return array
        bad = pc.or_(pc.less(numbers, limits[0]), pc.greater(numbers, limits[1])).index(True).as_py()
        what = "time of day" if column.type.kind == "time" else "date of the years 1 to 9999"
        raise self._misfit(column, bad + 1, f"is no {what}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Write the pending rows and the footer; after an error close pyarrow's writer without writing anything."""
        if error is None:
            self.end_group()
        else:
            self._sink.abandon()
        self._writer.close()

    def end_group(self) -> None:
        """Write what is pending as a row group."""
        if self._pending:
            self._writer.write_table(self._pa.Table.from_batches(self._pending, self.schema), _GROUP_ROWS)
        self._pending, self._pending_rows, self._pending_bytes = [], 0, 0

    def _array(self, column: Column, cells: list[Any]) -> Any:
        wanted = arrow_type(column.type)
        # Most values already have the right type, and pyarrow checks that fast. Where pyarrow would convert in a lossy
        # way (drop a zone, read text as bytes, a float as a boolean) or raises, `coerce` decides.
        if _plain(cells, column.type):
            try:
                return self._pa.array(cells, type=wanted)
            except (self._pa.ArrowException, OverflowError):
                pass
        return self._pa.array([self._fit(column, index, cell) for index, cell in enumerate(cells, 1)], type=wanted)

    def _fit(self, column: Column, index: int, value: Any) -> Any:
        try:
            return coerce(value, column.type)
        except ValueError as error:
            raise self._misfit(column, index, f"{short_value(value)} {error}") from error

    def _misfit(self, column: Column, index: int, what: str) -> StepError:
        return misfit(column, self._row_count + index, what)


def misfit(column: Column, row: int, what: str) -> StepError:
    """The error for a value that does not fit its column."""
    return StepError(
        f"column {column.name!r}, row {row}: the value {what}",
        fix=f"cast it in the SQL, or set its type: dtypes: {{{column.name}: string}}",
    )


def _plain(cells: Sequence[Any], column_type: ColumnType) -> bool:
    if not set(map(type, cells)) <= {column_type.python_type, type(None)}:
        return False
    return column_type.kind != "datetime" or all(
        (cell.tzinfo is not None) == column_type.zoned for cell in cells if cell is not None
    )


def write_parquet(
    columns: Sequence[Column],
    batches: Iterable[list[Row]],
    sink: HashingSink,
    *,
    compression: Compression,
    on_rows: Callable[[int], None],
) -> None:
    """Write all rows; `on_rows` is called with the number of rows so far after every batch."""
    count = 0
    with ParquetWriter(sink, columns, compression) as writer:
        for batch in batches:
            writer.write_rows(batch)
            count += len(batch)
            on_rows(count)


def write_arrow(
    rows: ArrowRows, sink: HashingSink, *, compression: Compression, on_rows: Callable[[int], None]
) -> None:
    """Write an Arrow result; the file has the same types as one of `write_parquet`."""
    count = 0
    with ParquetWriter(sink, rows.columns, compression) as writer:
        for batch in rows.record_batches():
            for part in _parts(batch):
                writer.write_batch(writer.cast_batch(part))
                count += part.num_rows
                on_rows(count)


def _parts(batch: Any) -> Iterator[Any]:
    """Split a batch so that each text column stays below 2 GiB, the limit of Arrow's string type."""
    if batch.nbytes <= _BATCH_BYTES or batch.num_rows < 2:
        yield batch
        return
    half = batch.num_rows // 2
    yield from _parts(batch.slice(0, half))
    yield from _parts(batch.slice(half))
