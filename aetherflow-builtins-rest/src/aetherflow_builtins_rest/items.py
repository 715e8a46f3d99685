"""Writes Parquet from the JSON lines of an API's items, without holding all items in memory."""

import json
import math
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any, BinaryIO

from aetherflow.core.api import StepError, StepInputError, install_command

BATCH_ROWS = 10_000
GROUP_ROWS = 100_000


def require_pyarrow() -> ModuleType:
    """Import and return pyarrow; StepInputError with the install command if it is missing."""
    try:
        import pyarrow as pa
        import pyarrow.parquet
    except ImportError as error:
        raise StepInputError(
            "format parquet needs pyarrow, which is not installed", fix=install_command("parquet")
        ) from error
    return pa  # type: ignore[no-any-return]  # pyarrow ships no types


def write_parquet(
    lines: Callable[[], BinaryIO], target: BinaryIO, compression: str, on_rows: Callable[[int], None]
) -> None:
    """Write Parquet from JSON lines, which are read twice: for the column types, then for the values.

    A column with only nulls is text; a column with integers and floats is float. StepError for a column whose values
    have no common type. `on_rows` is called with the number of rows so far.
    """
    pa = require_pyarrow()
    schema = None
    for batch, first in _batches(lines):
        found = _table(pa, batch, first, None).schema
        schema = found if schema is None else _unified(pa, schema, found, first)
    if schema is None:
        schema = pa.schema([])
    schema = pa.schema([field.with_type(_without_null(pa, field.type)) for field in schema])
    count = 0
    with pa.parquet.ParquetWriter(_Sink(target), schema, compression=compression) as writer:
        pending: list[Any] = []
        for batch, first in _batches(lines):
            pending.append(_table(pa, batch, first, schema))
            count += len(batch)
            if sum(table.num_rows for table in pending) >= GROUP_ROWS:
                writer.write_table(pa.concat_tables(pending))
                pending = []
            on_rows(count)
        if pending:
            writer.write_table(pa.concat_tables(pending))


def _batches(lines: Callable[[], BinaryIO]) -> Iterator[tuple[list[Any], int]]:
    """Yield lists of items, each with the number of its first item, from 1."""
    first, batch = 1, []
    with lines() as file:
        for line in file:
            try:
                batch.append(json.loads(line, parse_float=_finite))
            except ValueError as error:
                raise StepError(
                    f"item {first + len(batch):,}: {error}", fix="use format jsonl, which keeps each value as it is"
                ) from error
            if len(batch) == BATCH_ROWS:
                yield batch, first
                first, batch = first + len(batch), []
    if batch:
        yield batch, first


def _finite(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise ValueError(f"the number {text[:40]} is larger than a column of floats can hold")
    return value


def _table(pa: ModuleType, batch: list[Any], first: int, schema: Any) -> Any:
    for number, item in enumerate(batch, first):
        if not isinstance(item, dict):
            raise StepError(
                f"item {number:,} is no object, so it has no columns", fix="use format jsonl, or items that are objects"
            )
    try:
        if schema is None:  # from_pylist without a schema would take the keys of the first item only
            names = dict.fromkeys(name for item in batch for name in item)
            arrays = {name: _array(pa, name, [item.get(name) for item in batch], first) for name in names}
            return pa.table(arrays)
        return pa.Table.from_pylist(batch, schema=schema)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError) as error:
        raise _misfit(error, first) from error


def _array(pa: ModuleType, name: str, values: list[Any], first: int) -> Any:
    try:
        return pa.array(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError) as error:
        raise _misfit(error, first, name) from error


def _unified(pa: ModuleType, one: Any, other: Any, first: int) -> Any:
    try:
        return pa.unify_schemas([one, other], promote_options="permissive")
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise _misfit(error, first) from error


def _misfit(error: Exception, first: int, name: str = "") -> StepError:
    where = f"column {name!r}, " if name else ""
    text = " ".join(str(error).split())[:200]
    return StepError(
        f"{where}items from {first:,} on: the values do not fit in one column: {text}",
        fix="use format jsonl, which keeps each value as it is",
    )


def _without_null(pa: ModuleType, kind: Any) -> Any:
    if pa.types.is_null(kind):
        return pa.string()
    if pa.types.is_list(kind):
        return pa.list_(_without_null(pa, kind.value_type))
    if pa.types.is_struct(kind):
        fields = [field.with_type(_without_null(pa, field.type)) for field in kind]
        return pa.struct(fields) if fields else pa.string()
    return kind


class _Sink:
    """A file object for pyarrow, which would otherwise close the file of its owner."""

    closed = False

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def write(self, data: bytes) -> int:
        return self._file.write(data)

    def tell(self) -> int:
        return self._file.tell()

    def flush(self) -> None:
        """Do nothing: this class buffers nothing."""

    def close(self) -> None:
        """Do nothing: the file's owner closes it."""

    def writable(self) -> bool:
        return True
