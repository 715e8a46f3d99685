"""Compresses written parts with zlib, or with isal, which is ten times as fast and needs a sixth more bytes."""

import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, TypeAlias

Compression: TypeAlias = Literal["auto", "zlib", "isal"]

_ZLIB_LEVEL = 3
"""Takes half the time of zlib's default, 6, for an eighth more bytes; writing a sheet is mostly compression."""
_ISAL_LEVEL = 1
_HELD_BYTES = 1 << 17
_BLOCK = 1 << 20


def _library(wanted: Compression) -> tuple[Any, int]:
    if wanted != "zlib":
        try:
            from isal import isal_zlib
        except ImportError:
            if wanted == "isal":
                raise
        else:
            return isal_zlib, _ISAL_LEVEL
    return zlib, _ZLIB_LEVEL


class Spool:
    """A part that is being written, compressed into an unnamed file: the ZIP header needs its sizes first."""

    def __init__(self, folder: Path, compression: Compression = "auto") -> None:
        library, level = _library(compression)
        self._deflater = library.compressobj(level, zlib.DEFLATED, -zlib.MAX_WBITS)
        self._crc32 = library.crc32
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 -- closed by close()
        self._held: list[bytes] = []
        self._held_bytes = 0
        self.crc = 0
        self.size = 0
        """Size in bytes before compression."""
        self.compressed_size = 0

    def write(self, data: bytes) -> None:
        self._held.append(data)
        self._held_bytes += len(data)
        if self._held_bytes >= _HELD_BYTES:
            self._push()

    def _push(self) -> None:
        data = b"".join(self._held)
        self._held, self._held_bytes = [], 0
        self.crc = self._crc32(data, self.crc)
        self.size += len(data)
        self._store(self._deflater.compress(data))

    def _store(self, data: bytes) -> None:
        self._file.write(data)
        self.compressed_size += len(data)

    def finish(self) -> None:
        """Flush the compressor; `write` must not be called any more."""
        self._push()
        self._store(self._deflater.flush())
        self._file.seek(0)

    def blocks(self) -> Iterator[bytes]:
        """Yield the compressed bytes; call it once, after `finish`."""
        while block := self._file.read(_BLOCK):
            yield block

    def close(self) -> None:
        self._file.close()
