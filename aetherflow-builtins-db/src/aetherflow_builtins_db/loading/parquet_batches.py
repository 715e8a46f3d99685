"""Opens a Parquet file and decodes it in batches; it imports little, since each limited child starts with it."""

from collections.abc import Iterator, Sequence
from typing import Any

from aetherflow.core.api import StepError


class ParquetBatches:
    """An open Parquet file; StepError if it is damaged."""

    def __init__(self, path: str) -> None:
        import pyarrow as pa
        import pyarrow.parquet

        self._errors = (pa.ArrowException, OSError)
        try:
            self._file = pa.parquet.ParquetFile(path)
        except MemoryError:
            raise
        except self._errors as error:
            raise StepError(f"{path} is no Parquet file: {error}", fix="check the file, or set format") from error
        self.schema = self._file.schema_arrow
        self.names: list[str] = list(self.schema.names)

    def record_batches(self, size: int, columns: Sequence[str] | None = None) -> Iterator[Any]:
        """Yield Arrow's record batches, of some columns or all; StepError if the file is damaged."""
        number = 1
        try:
            for record_batch in self._file.iter_batches(batch_size=size, columns=columns):
                yield record_batch
                number += record_batch.num_rows
        except MemoryError:
            raise
        except self._errors as error:
            raise StepError(f"the Parquet file cannot be read from row {number} on: {error}") from error


def read_through(path: str, size: int | None) -> Iterator[int]:
    """In a limited child: decode a Parquet file in batches of `size` rows, or for None only what is known of it.

    Yields how many rows were decoded, 0 at first. A page, or a dictionary, may unpack to any size, and no setting of
    Arrow limits that.
    """
    import pyarrow as pa

    pa.set_cpu_count(1)  # every thread takes 8 MiB of the limit for its stack
    pa.set_io_thread_count(1)
    opened, rows = ParquetBatches(path), 0
    yield rows
    for record_batch in opened.record_batches(size) if size else ():
        for column in record_batch.columns:
            if pa.types.is_dictionary(column.type) or pa.types.is_nested(column.type):
                # its values can take far more memory in Python than in Arrow
                column.to_pylist()
        rows += record_batch.num_rows
        yield rows
