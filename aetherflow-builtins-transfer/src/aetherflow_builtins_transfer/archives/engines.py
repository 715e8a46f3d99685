"""Deflate with the fastest installed library, on all processors; the output does not depend on their number."""

import os
import zlib
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any, Literal, NamedTuple, TypeAlias

Optimize: TypeAlias = Literal["speed", "size"]

BLOCK_BYTES = 1 << 20
"""Blocks are compressed independently, so the output depends on their size but not on the number of threads."""
_WINDOW_BITS = -15
"""Raw deflate, without a zlib or gzip header: archives have their own headers."""
_MAX_THREADS = 8


class Engine(NamedTuple):
    """A deflate library at one level."""

    name: str
    level: int
    compressobj: Callable[..., Any]

    def pack(self, block: bytes | memoryview, *, last: bool) -> bytes:
        """Compress one block of a deflate stream.

        All blocks but the last end on a byte boundary, so they can be joined.
        """
        packer = self.compressobj(self.level, zlib.DEFLATED, _WINDOW_BITS)
        packed: bytes = packer.compress(block)
        rest: bytes = packer.flush(zlib.Z_FINISH if last else zlib.Z_SYNC_FLUSH)
        return packed + rest


def choose_engine(optimize: Optimize) -> Engine:
    """ISA-L for speed, zlib-ng for size, if installed; otherwise Python's zlib at level 1 or 6."""
    if optimize == "speed" and find_spec("isal"):
        from isal import isal_zlib

        return Engine("isal", 1, isal_zlib.compressobj)
    if optimize == "size" and find_spec("zlib_ng"):
        from zlib_ng import zlib_ng

        return Engine("zlib-ng", 5, zlib_ng.compressobj)
    return Engine("zlib", 1 if optimize == "speed" else 6, zlib.compressobj)


class Deflater:
    """A compressor with the methods of `zlib.compressobj()`; the blocks are compressed by the threads of a pool."""

    def __init__(self, engine: Engine, pool: ThreadPoolExecutor, threads: int) -> None:
        self._engine = engine
        self._pool = pool
        self._limit = 2 * threads  # blocks in flight: enough to keep all threads busy with constant memory
        self._pending: deque[Future[bytes]] = deque()
        self._rest = bytearray()

    def compress(self, data: bytes | memoryview) -> bytes:
        """Add bytes; return compressed bytes that are ready."""
        self._rest += data
        ready = []
        while len(self._rest) > BLOCK_BYTES:  # one byte at least is left for the last block
            block = bytes(memoryview(self._rest)[:BLOCK_BYTES])
            del self._rest[:BLOCK_BYTES]
            self._pending.append(self._pool.submit(self._engine.pack, block, last=False))
            if len(self._pending) > self._limit:
                ready.append(self._pending.popleft().result())
        return b"".join(ready)

    def flush(self) -> bytes:
        """Finish the stream; return its remaining compressed bytes."""
        last = self._engine.pack(bytes(self._rest), last=True)  # small files need no thread
        self._rest.clear()
        ready = [future.result() for future in self._pending]
        self._pending.clear()
        return b"".join([*ready, last])


@contextmanager
def deflaters(optimize: Optimize) -> Iterator[Callable[[], Deflater]]:
    """Yield a factory for compressors that share one thread pool."""
    engine = choose_engine(optimize)
    threads = min(len(os.sched_getaffinity(0)), _MAX_THREADS)
    pool = ThreadPoolExecutor(threads, thread_name_prefix="deflate")
    try:
        yield lambda: Deflater(engine, pool, threads)
    finally:
        pool.shutdown(cancel_futures=True)
