"""Writes the ZIP archive in one pass, without seeking; parts may be copied in compressed form.

The output does not depend on the time or the machine: the same parts give the same bytes.
"""

import struct
import zipfile
import zlib
from collections.abc import Iterable
from typing import BinaryIO

from aetherflow_builtins_reports.package.archive import Archive
from aetherflow_builtins_reports.package.deflate import Spool

_LOCAL, _CENTRAL = struct.Struct("<4s5H3L2H"), struct.Struct("<4s6H3L5H2L")
_END, _END64 = struct.Struct("<4s4H2LH"), struct.Struct("<4sQ2H2L4Q")
_LOCATOR64 = struct.Struct("<4sLQL")
_LIMIT32, _LIMIT16 = 0xFFFFFFFF, 0xFFFF
_UTF8_FLAG = 0x800
_DATE, _TIME = (1 << 5) | 1, 0  # 1 January 1980, the first date of the ZIP format
_PLAIN_VERSION, _ZIP64_VERSION = 20, 45


class ArchiveWriter:
    """Writes parts one after the other; `close` writes the central directory."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._offset = 0
        self._central: list[bytes] = []

    def copy(self, archive: Archive, info: zipfile.ZipInfo) -> None:
        """Copy a part of another archive; its compressed bytes stay unchanged."""
        year, month, day, hour, minute, second = info.date_time
        stamp = ((max(year - 1980, 0) << 9) | (month << 5) | day, (hour << 11) | (minute << 5) | (second // 2))
        self._entry(info.filename, info.compress_type, info.CRC, info.compress_size, info.file_size, stamp)
        self._blocks(archive.raw(info))

    def add(self, name: str, data: bytes) -> None:
        deflater = zlib.compressobj(6, zlib.DEFLATED, -zlib.MAX_WBITS)
        packed = deflater.compress(data) + deflater.flush()
        self._entry(name, zipfile.ZIP_DEFLATED, zlib.crc32(data), len(packed), len(data))
        self._blocks([packed])

    def add_spool(self, name: str, spool: Spool) -> None:
        """Write a part from a finished spool."""
        self._entry(name, zipfile.ZIP_DEFLATED, spool.crc, spool.compressed_size, spool.size)
        self._blocks(spool.blocks())

    def _blocks(self, blocks: Iterable[bytes]) -> None:
        for block in blocks:
            self._file.write(block)
            self._offset += len(block)

    def _entry(
        self, name: str, method: int, crc: int, packed: int, size: int, stamp: tuple[int, int] = (_DATE, _TIME)
    ) -> None:
        date, time = stamp
        encoded, flags = _name(name)
        large, far = packed >= _LIMIT32 or size >= _LIMIT32, self._offset >= _LIMIT32
        version = _ZIP64_VERSION if large or far else _PLAIN_VERSION
        sizes = (_LIMIT32, _LIMIT32) if large else (packed, size)
        extra = struct.pack("<2H2Q", 1, 16, size, packed) if large else b""
        local = _LOCAL.pack(b"PK\3\4", version, flags, method, time, date, crc, *sizes, len(encoded), len(extra))
        more = struct.pack("<Q", self._offset) if far else b""
        listed = extra[4:] + more
        listed = struct.pack("<2H", 1, len(listed)) + listed if listed else b""
        offset = _LIMIT32 if far else self._offset
        self._central.append(
            _CENTRAL.pack(
                b"PK\1\2", version, version, flags, method, time, date, crc, *sizes,
                len(encoded), len(listed), 0, 0, 0, 0, offset,
            )
            + encoded + listed
        )  # fmt: skip
        self._blocks([local + encoded + extra])

    def close(self) -> None:
        """Write the central directory. The file stays open; its owner closes it."""
        start, count = self._offset, len(self._central)
        self._blocks(self._central)
        size = self._offset - start
        if start >= _LIMIT32 or size >= _LIMIT32 or count >= _LIMIT16:
            end64 = self._offset
            self._blocks([
                _END64.pack(b"PK\6\6", 44, _ZIP64_VERSION, _ZIP64_VERSION, 0, 0, count, count, size, start),
                _LOCATOR64.pack(b"PK\6\7", 0, end64, 1),
            ])  # fmt: skip
        count16, size32, start32 = min(count, _LIMIT16), min(size, _LIMIT32), min(start, _LIMIT32)
        self._blocks([_END.pack(b"PK\5\6", 0, 0, count16, count16, size32, start32, 0)])


def _name(name: str) -> tuple[bytes, int]:
    try:
        return name.encode("ascii"), 0
    except UnicodeEncodeError:
        return name.encode("utf-8"), _UTF8_FLAG
