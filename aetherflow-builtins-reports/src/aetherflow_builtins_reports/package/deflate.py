"""Compresses written parts with the best installed library: zlib-ng for size, isal for speed, else zlib."""

import tempfile
import zlib
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, TypeAlias

Compression: TypeAlias = Literal["auto", "zlib-ng", "isal", "zlib"]

_LIBRARIES = {"zlib-ng": ("zlib_ng.zlib_ng", 5), "isal": ("isal.isal_zlib", 1), "zlib": ("zlib", 3)}
"""Module and level, the preferred library first. zlib's level 3 takes the time of zlib-ng's 5 for a seventh more bytes;
its default, 6, takes twice that for the same bytes. Writing a sheet is mostly compression."""
_HELD_BYTES = 1 << 17
_BLOCK = 1 << 20


def installed(library: str) -> bool:
    """Whether a library of `Compression` is installed."""
    return find_spec(_LIBRARIES[library][0].partition(".")[0]) is not None


def _library(wanted: Compression) -> tuple[Any, int]:
    module, level = _LIBRARIES[next(filter(installed, _LIBRARIES)) if wanted == "auto" else wanted]
    return import_module(module), level


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
