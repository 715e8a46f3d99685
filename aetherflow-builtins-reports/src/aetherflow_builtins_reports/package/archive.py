"""Reads the archive: the list of parts, parts inflated within limits, and the compressed bytes of parts."""

import zipfile
import zlib
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from aetherflow_builtins_reports.errors import WorkbookError

MAX_PARTS = 20_000
MAX_SMALL_BYTES = 64 << 20
"""Limit for a part that is held in memory, such as styles, tables and the list of sheets."""
MAX_STREAM_BYTES = 16 << 30
"""Limit for a part that is read as a stream: a sheet, or the shared strings."""
MAX_RATIO, RATIO_FROM = 400, 32 << 20
"""Maximum ratio of inflated to compressed size for parts above RATIO_FROM bytes. Real sheets stay below 100."""
HELD_RATIO, HELD_FROM = 100, 2 << 20
"""The same for parts that are held in memory, where a byte of styles may take 70; real ones stay below 60."""
BLOCK = 1 << 16
_COPY_BLOCK = 1 << 20
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_LOCAL_HEADER = 30


class Archive:
    """An open workbook file. Part names have no leading slash; their case is ignored (ECMA-376 part 2)."""

    def __init__(self, source: Path | BytesIO, name: str = "") -> None:
        self.name = name or str(source)
        self._file: BinaryIO = source if isinstance(source, BytesIO) else source.open("rb")
        try:
            self._zip = self._open()
            self.infos = self._zip.infolist()
            self._refuse_oddities()
        except BaseException:
            self._file.close()
            raise
        self._by_name = {info.filename.lower().lstrip("/"): info for info in self.infos}

    def _open(self) -> zipfile.ZipFile:
        start = self._file.read(len(_OLE))
        if start == _OLE:
            self._file.seek(0)
            if "EncryptedPackage".encode("utf-16-le") in self._file.read(16 << 20):
                raise self.error("is encrypted with a password", "save it without a password")
            raise self.error("is in the old .xls format", "save it as .xlsx")
        try:
            return zipfile.ZipFile(self._file)
        except (zipfile.BadZipFile, NotImplementedError, ValueError) as error:
            raise self.error(f"is no Excel workbook: {error}", "give a .xlsx, .xlsm, .xltx or .xltm file") from error

    def _refuse_oddities(self) -> None:
        if len(self.infos) > MAX_PARTS:
            raise self.error(f"has {len(self.infos)} parts, more than {MAX_PARTS}")
        names = [info.filename.lower() for info in self.infos]
        if len(set(names)) < len(names):
            raise self.error("holds a part twice, so it is damaged", "open and save it in Excel")
        if any(info.flag_bits & 0x1 for info in self.infos):
            raise self.error("holds parts that are encrypted", "save it without a password")

    def error(self, what: str, fix: str = "") -> WorkbookError:
        """A WorkbookError about this file, for the caller to raise."""
        return WorkbookError(f"{self.name} {what}", fix=fix)

    def __contains__(self, part: str) -> bool:
        return part.lower() in self._by_name

    def info(self, part: str) -> zipfile.ZipInfo:
        """The ZIP entry of a part; WorkbookError if it does not exist."""
        try:
            return self._by_name[part.lower()]
        except KeyError:
            raise self.error(f"lacks the part {part}, so it is damaged", "open and save it in Excel") from None

    def read(self, part: str) -> bytes:
        """The inflated bytes of a part, within the limits for parts that are held in memory."""
        most = max(HELD_FROM, self.info(part).compress_size * HELD_RATIO)
        return b"".join(self.stream(part, min(most, MAX_SMALL_BYTES)))

    def stream(self, part: str, limit: int = MAX_STREAM_BYTES) -> Iterator[bytes]:
        """Yield the inflated bytes of a part in blocks; WorkbookError if it is damaged or exceeds the limits.

        The limits apply to the bytes that are actually inflated, not to the size in the header.
        """
        info, count = self.info(part), 0
        most = min(limit, max(RATIO_FROM, info.compress_size * MAX_RATIO))
        try:
            with self._zip.open(info) as file:
                while block := file.read(BLOCK):
                    count += len(block)
                    if count > most:
                        raise self.error(f"is not opened: its part {part} inflates to more than {most >> 20} MiB")
                    yield block
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
            raise self.error(f"is damaged: part {part}: {error}", "open and save it in Excel") from error

    def refuse_bombs(self) -> None:
        """Raise WorkbookError if a part's declared ratio is too high; for libraries that inflate parts in memory."""
        for info in self.infos:
            if info.file_size > max(RATIO_FROM, info.compress_size * MAX_RATIO):
                raise self.error(f"is not opened: its part {info.filename} inflates to {info.file_size >> 20} MiB")

    def raw(self, info: zipfile.ZipInfo) -> Iterator[bytes]:
        """Yield the compressed bytes of a part, without inflating them."""
        self._file.seek(info.header_offset)
        header = self._file.read(_LOCAL_HEADER)
        if len(header) < _LOCAL_HEADER or header[:4] != b"PK\x03\x04":
            raise self.error(f"is damaged: part {info.filename} is not where its list says")
        self._file.seek(int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little"), 1)
        left = info.compress_size
        while left:
            block = self._file.read(min(left, _COPY_BLOCK))
            if not block:
                raise self.error(f"is damaged: part {info.filename} ends early")
            left -= len(block)
            yield block

    def close(self) -> None:
        self._zip.close()
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
