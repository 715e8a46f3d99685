"""Reads Parquet as chunks, with the types of its columns."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from aetherflow_builtins_reports.errors import SourceError, missing_extra
from aetherflow_builtins_reports.sources.chunk import CHUNK_ROWS, Chunk

_BATCH_ROWS = 8 * CHUNK_ROWS


class ParquetSource:
    """A Parquet file, read in batches; without `has_header` its column names are ignored."""

    closing: Callable[[], object] = staticmethod(lambda: None)
    """Called when the file is closed."""

    def __init__(self, path: Path, *, has_header: bool = True) -> None:
        try:
            import pyarrow as pa
            import pyarrow.parquet as pq
        except ImportError as error:
            raise missing_extra(f"reading {path.name}", "parquet") from error
        self.path = path
        self.arrow = pa
        try:
            self._file: Any = pq.ParquetFile(path, memory_map=False, pre_buffer=False)
        except (pa.ArrowException, OSError) as error:
            if _is_of_the_system(error):
                raise
            raise SourceError(f"{path} is no Parquet file: {error}") from error
        self.names: list[str] | None = list(self._file.schema_arrow.names) if has_header else None
        self.rows = int(self._file.metadata.num_rows)

    def batches(self) -> Iterator[Any]:
        """Yield Arrow's record batches; SourceError if the file is damaged."""
        try:
            yield from self._file.iter_batches(batch_size=_BATCH_ROWS, use_threads=False)
        except (self.arrow.ArrowException, OSError) as error:
            if _is_of_the_system(error):
                raise
            raise SourceError(f"{self.path} cannot be read: {error}") from error

    def chunks(self) -> Iterator[Chunk]:
        for batch in self.batches():
            for start in range(0, batch.num_rows, CHUNK_ROWS):
                part = batch.slice(start, CHUNK_ROWS)
                yield Chunk([self.values(column) for column in part.columns], part.num_rows)

    def values(self, column: Any) -> list[Any]:
        """The values of an Arrow column, as Python has them."""
        kind, types = column.type, self.arrow.types
        if types.is_timestamp(kind) and kind.unit == "ns":  # Python's types have microseconds only
            column = column.cast(self.arrow.timestamp("us", kind.tz), safe=False)
        elif types.is_time64(kind) and kind.unit == "ns":
            column = column.cast(self.arrow.time64("us"), safe=False)
        elif types.is_duration(kind):
            column = column.cast(self.arrow.duration("us"), safe=False)
        try:
            return list(column.to_pylist())
        except (ValueError, OverflowError):  # times outside Python's years 1 to 9999
            return [_value(scalar) for scalar in column]

    @property
    def sha256(self) -> str:
        # a limited child, which needs none, starts without what opens files durably
        from aetherflow_builtins_reports.sources.opening import file_sha256

        return file_sha256(self.path)

    def close(self) -> None:
        self._file.close()
        self.closing()


def read_through(path: str, *, rows: bool) -> None:
    """In a limited child: decode the file as `chunks` does, or without `rows` only what is known of it.

    A page, or a dictionary, may unpack to any size, and no setting of Arrow limits that.
    """
    source = ParquetSource(Path(path))
    for batch in source.batches() if rows else ():
        for column in batch.columns:
            if _grows(source.arrow, column.type):
                for start in range(0, len(column), CHUNK_ROWS):
                    source.values(column.slice(start, CHUNK_ROWS))


def _grows(arrow: Any, kind: Any) -> bool:
    """Whether values of a type can take far more memory in Python than in Arrow."""
    return bool(arrow.types.is_dictionary(kind) or arrow.types.is_nested(kind))


def _is_of_the_system(error: BaseException) -> bool:
    """Whether an error tells of memory or the disk, and not of the file."""
    return isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno is not None)


def _value(scalar: Any) -> Any:
    try:
        return scalar.as_py()
    except (ValueError, OverflowError):
        return str(scalar)
