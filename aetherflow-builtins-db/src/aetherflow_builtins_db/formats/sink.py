"""The file being written: hashed on the way, so that nothing is read twice."""

import gzip
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO, Literal, Protocol, TypeAlias, runtime_checkable

Packing: TypeAlias = Literal["none", "gzip", "zstd"]


class Sink(Protocol):
    """What a writer writes to."""

    def write(self, data: bytes | memoryview, /) -> int: ...


@runtime_checkable
class _Hashed(Protocol):
    """A file that knows the SHA-256 of what was written to it."""

    sha256: str


class HashingSink:
    """Passes bytes on to a binary file and knows their SHA-256. Closing it leaves the file open: it has an owner.

    A file of `ctx.write_file` is hashed as it is written, which is not done twice.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._hash = None if isinstance(file, _Hashed) else hashlib.sha256()
        self._size = 0
        self._abandoned = False
        self.closed = False

    def write(self, data: bytes | memoryview) -> int:
        if self._abandoned:
            return len(data)
        self._file.write(data)
        if self._hash is not None:
            self._hash.update(data)
        self._size += len(data)
        return len(data)

    def tell(self) -> int:
        return self._size

    def flush(self) -> None:
        """Nothing to do: nothing is held back here."""

    def close(self) -> None:
        """Leave the file open."""

    def abandon(self) -> None:
        """Swallow what is still written: a format that must write an end can be closed after a failure."""
        self._abandoned = True

    @property
    def sha256(self) -> str:
        """Of everything written so far, in hexadecimal."""
        if self._hash is not None:
            return self._hash.hexdigest()
        return str(self._file.sha256)  # type: ignore[attr-defined]  # see __init__


@contextmanager
def packed(sink: HashingSink, packing: Packing) -> Iterator[Sink]:
    """A sink whose bytes arrive compressed; the same bytes always give the same file. After an error no end is written.

    zstd is pyarrow's.
    """
    if packing == "none":
        yield sink
        return
    stream: gzip.GzipFile
    if packing == "gzip":
        stream = gzip.GzipFile(filename="", fileobj=sink, mode="wb", compresslevel=6, mtime=0)
    else:
        import pyarrow

        stream = pyarrow.CompressedOutputStream(sink, "zstd")
    try:
        yield stream
    except BaseException:
        sink.abandon()
        raise
    finally:
        stream.close()
