"""Lets a limited child decode a stranger's file first, whose library allocates what the file says."""

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
    """A Parquet file, as nobody can change it in the block, after a limited child has read it; another file as it is.

    :param look_at: rows that are decoded at a time; None: only what is known of the file
    """
    if source.format != "parquet":
        yield source
        return
    with ctx.steady_file(source.path) as path:
        steady = replace(source, path=path)
        ctx.call_limited(
            "aetherflow_builtins_db.loading.records:read_through",
            {"path": str(path), "size": look_at},
            subject=str(source.path),
            memory_bytes=BASE_MEMORY + MEMORY_FACTOR * steady.size,
            cpu_seconds=BASE_SECONDS + SECONDS_PER_MIB * (steady.size >> 20),
            fix="look where the file is from; if it is sound, write it with smaller pages and row groups",
        )
        yield steady
