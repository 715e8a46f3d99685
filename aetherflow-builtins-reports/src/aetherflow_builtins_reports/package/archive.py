"""Reading the archive: its list of parts, a part inflated within limits, a part's compressed bytes as they are."""

import zipfile
import zlib
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from aetherflow_builtins_reports.errors import WorkbookError

MAX_PARTS = 20_000
MAX_SMALL_BYTES = 128 << 20
"""A part that is held in memory: styles, tables, the workbook's own list of sheets."""
MAX_STREAM_BYTES = 16 << 30
"""A part that is read as a stream: a sheet, or the shared strings."""
MAX_RATIO, RATIO_FROM = 400, 32 << 20
"""How many bytes may come out of one, once a part is larger than RATIO_FROM. Real sheets stay below 100."""
BLOCK = 1 << 16
_COPY_BLOCK = 1 << 20
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_LOCAL_HEADER = 30


class Archive:
    """An open workbook file. Parts are named without a leading slash and found in any case, as the standard says."""

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
        """The error to raise about this file."""
        return WorkbookError(f"{self.name} {what}", fix=fix)

    def __contains__(self, part: str) -> bool:
        return part.lower() in self._by_name

    def info(self, part: str) -> zipfile.ZipInfo:
        """Entry of a part; WorkbookError if it does not exist."""
        try:
            return self._by_name[part.lower()]
        except KeyError:
            raise self.error(f"lacks the part {part}, so it is damaged", "open and save it in Excel") from None

    def read(self, part: str) -> bytes:
        return b"".join(self.stream(part, MAX_SMALL_BYTES))

    def stream(self, part: str, limit: int = MAX_STREAM_BYTES) -> Iterator[bytes]:
        """A part, inflated, in blocks. What the header claims is not believed: bytes are counted as they come."""
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
        """Refuse a file whose parts inflate beyond all measure, before another program inflates them in memory."""
        for info in self.infos:
            if info.file_size > max(RATIO_FROM, info.compress_size * MAX_RATIO):
                raise self.error(f"is not opened: its part {info.filename} inflates to {info.file_size >> 20} MiB")

    def raw(self, info: zipfile.ZipInfo) -> Iterator[bytes]:
        """The compressed bytes of a part, never inflated."""
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
