"""Lets a limited child decode a third-party file first, whose library allocates what the file says."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from aetherflow.core.api import RunContext
from aetherflow_builtins_db.loading.source import SourceFile

BASE_MEMORY, MEMORY_FACTOR = 224 << 20, 16
"""Bytes of memory for any Parquet file, and for each byte of its size. Usual files take 60 MiB and 2 for each byte."""
BASE_SECONDS, SECONDS_PER_MIB = 5, 2
"""CPU time for any Parquet file, and for each MiB of its size."""


@contextmanager
def decodable(source: SourceFile, ctx: RunContext, *, look_at: int | None) -> Iterator[SourceFile]:
    """A Parquet file, as nobody can change it in the block, with a limited child that reads it; another as it is.

    The child keeps ahead: who reads the file waits until it has decoded the same rows.

    :param look_at: rows that are decoded at a time; None: only what is known of the file
    """
    if source.format != "parquet":
        yield source
        return
    with ctx.steady_file(source.path) as path:
        steady = replace(source, path=path)
        with ctx.stream_limited(
            "aetherflow_builtins_db.loading.parquet_batches:read_through",
            {"path": str(path), "size": look_at},
            subject=str(source.path),
            memory_bytes=BASE_MEMORY + MEMORY_FACTOR * steady.size,
            cpu_seconds=BASE_SECONDS + SECONDS_PER_MIB * (steady.size >> 20),
            fix="look where the file is from; if it is sound, write it with smaller pages and row groups",
        ) as decoded:
            yield replace(steady, decoded=_Ahead(decoded).wait)


class _Ahead:
    """How far the child is."""

    def __init__(self, decoded: Iterator[int]) -> None:
        self._decoded = decoded
        self._rows: float = -1
        self._failure: Exception | None = None

    def wait(self, rows: int | None) -> None:
        """Return when that many rows are decoded, or all, if there are fewer or for None; raises what the child met."""
        if self._failure is not None:
            raise self._failure
        try:
            while self._rows < (math.inf if rows is None else rows):
                self._rows = next(self._decoded, math.inf)
        except Exception as error:
            self._failure = error
            raise
