"""Reads zip archives with the standard library, or pyzipper for AES, after checks of their structure."""

import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

from aetherflow.core.api import ExtractLimits, open_file, require_attr
from aetherflow_builtins_transfer.archives.entries import Member, Opener, kind_of_mode
from aetherflow_builtins_transfer.archives.failures import RefusedMemberError
from aetherflow_builtins_transfer.archives.names import shown

_END, _END64, _END64_LOCATOR = b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07"
_CENTRAL, _LOCAL = b"PK\x01\x02", b"PK\x03\x04"
_END_BYTES, _CENTRAL_BYTES, _LOCAL_BYTES = 22, 46, 30
_MAX_COMMENT = 65535
_UNIX = 3
_ENCRYPTED, _UTF8 = 0x1, 0x800
_AES_METHOD = 99
MAX_TABLE_BYTES = 1 << 26
"""Maximum size of the central directory, which the libraries read into memory."""
_METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}
"""Accepted methods. Others are rare, and their libraries allocate as much memory as the archive demands."""
_DAMAGE = (
    zipfile.BadZipFile,
    NotImplementedError,
    EOFError,
    zlib.error,
    struct.error,
    ValueError,
    OverflowError,
    IndexError,
)


class ZipReader:
    """An open zip archive with a checked structure: members do not overlap, local headers match the directory."""

    def __init__(self, path: Path, limits: ExtractLimits, password: str | None = None) -> None:
        """RefusedMemberError if the file is no zip archive, or its structure is contradictory."""
        self.packed = path.stat().st_size
        self._password = password.encode() if password else None
        self._file = open_file(path)
        try:
            encrypted_aes = _survey(self._file, self.packed, limits.max_members)
            self._file.seek(0)
            opener: Any = require_attr("pyzipper", "AESZipFile") if encrypted_aes else zipfile.ZipFile
            with damage():
                self._zip = opener(self._file)
            self._infos: list[Any] = self._zip.infolist()
            self._check_layout()
        except BaseException:
            self._file.close()
            raise

    def declared(self) -> list[Member]:
        return [_entry(info) for info in self._infos]

    def members(self) -> Iterator[tuple[Member, Opener]]:
        """Yield each member with a function that opens it."""
        for info in self._infos:
            yield _entry(info), partial(self._open, info)

    def close(self) -> None:
        self._zip.close()
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _open(self, info: Any) -> BinaryIO:
        if info.flag_bits & _ENCRYPTED and not self._password:
            raise RefusedMemberError(f"member {shown(_name(info))} is encrypted", "give its password")
        try:
            with damage():
                found: BinaryIO = self._zip.open(info, pwd=self._password if info.flag_bits & _ENCRYPTED else None)
                return found
        except RuntimeError as error:
            raise RefusedMemberError(
                f"the password does not open member {shown(_name(info))}", "check the password"
            ) from error

    def _check_layout(self) -> None:
        """Check that members do not overlap, and that local headers agree with the central directory."""
        shift = self._zip.start_dir - _start_in_table(self._file, self.packed)
        end = 0
        for info in sorted(self._infos, key=lambda info: info.header_offset):
            name = shown(_name(info))
            if "\0" in info.orig_filename:
                raise RefusedMemberError(f"member {name} has a control character in its name")
            if info.header_offset < max(end, shift):
                raise RefusedMemberError(f"member {name} overlaps another one")
            self._file.seek(info.header_offset)
            header = self._file.read(_LOCAL_BYTES)
            if len(header) < _LOCAL_BYTES or header[:4] != _LOCAL:
                raise RefusedMemberError(f"member {name} has no header where the table of contents says")
            flags, method = struct.unpack_from("<HH", header, 6)
            name_length, extra_length = struct.unpack_from("<HH", header, 26)
            local_name = self._file.read(name_length)
            end = info.header_offset + _LOCAL_BYTES + name_length + extra_length + info.compress_size
            if end > self._zip.start_dir:
                raise RefusedMemberError(f"member {name} overlaps the table of contents")
            self._check_member(info, flags, method, local_name)

    def _check_member(self, info: Any, flags: int, method: int, local_name: bytes) -> None:
        name = shown(_name(info))
        encoding = "utf-8" if info.flag_bits & _UTF8 else "cp437"
        if local_name != info.orig_filename.encode(encoding, "replace"):
            raise RefusedMemberError(f"member {name} has another name in its own header")
        if (flags ^ info.flag_bits) & _ENCRYPTED:
            raise RefusedMemberError(f"member {name} is encrypted according to one table only")
        if info.compress_type not in _METHODS:
            raise RefusedMemberError(
                f"member {name} is compressed by method {info.compress_type}, which is not supported",
                "stored and deflated members can be unpacked",
            )
        aes = getattr(info, "wz_aes_version", None) is not None
        if method != (_AES_METHOD if aes else info.compress_type):
            raise RefusedMemberError(f"member {name} is compressed by another method in its own header")
        plain = not info.flag_bits & _ENCRYPTED
        if plain and info.compress_type == zipfile.ZIP_STORED and info.compress_size != info.file_size:
            raise RefusedMemberError(f"member {name} is stored in {info.compress_size:,} bytes but declares others")
        if info.filename.endswith("/") and info.file_size:
            raise RefusedMemberError(f"member {name} is a folder with content")


@contextmanager
def damage() -> Iterator[None]:
    """Convert the libraries' errors about damaged archives to RefusedMemberError."""
    try:
        yield
    except Exception as error:
        if not isinstance(error, _DAMAGE) and type(error).__name__ != "BadZipFile":  # pyzipper has its own class
            raise
        reason = str(error) or type(error).__name__
        raise RefusedMemberError(f"it is damaged: {reason}", "fetch it again, or ask its sender") from error


def _name(info: Any) -> str:
    """The name of a member. Unix programs often write UTF-8 without the flag for it; otherwise names are cp437."""
    if info.flag_bits & _UTF8:
        return str(info.filename)
    try:
        return str(info.filename).encode("cp437").decode("utf-8")
    except UnicodeError:
        return str(info.filename)


def _entry(info: Any) -> Member:
    unix, name = info.create_system == _UNIX, _name(info)
    mode = info.external_attr >> 16 if unix else 0
    return Member(
        name=name,
        kind=kind_of_mode(mode, is_dir=name.endswith("/")),
        size=info.file_size,
        packed=info.compress_size,
        executable=bool(mode & 0o100),
        encrypted=bool(info.flag_bits & _ENCRYPTED),
    )


def _survey(file: BinaryIO, size: int, max_members: int) -> bool:
    """Check the central directory before a library loads it; return whether a member is encrypted with AES."""
    start, length = _table(file, size)
    if length > MAX_TABLE_BYTES:
        raise RefusedMemberError(f"its table of contents has {length:,} bytes; {MAX_TABLE_BYTES:,} is the most")
    file.seek(start)
    aes, members, left = False, 0, length
    while left >= _CENTRAL_BYTES:
        header = file.read(_CENTRAL_BYTES)
        if header[:4] != _CENTRAL:
            raise RefusedMemberError("it is damaged: its table of contents is broken")
        members += 1
        if members > max_members:
            raise RefusedMemberError(
                f"it has more than {max_members:,} members", "raise max_members if it may have them"
            )
        method = struct.unpack_from("<H", header, 10)[0]
        names = sum(struct.unpack_from("<HHH", header, 28))
        aes |= method == _AES_METHOD
        file.seek(names, 1)
        left -= _CENTRAL_BYTES + names
    return aes


def _start_in_table(file: BinaryIO, size: int) -> int:
    """The declared offset of the central directory; data before the archive shift its real position."""
    return _end_record(file, size)[1]


def _table(file: BinaryIO, size: int) -> tuple[int, int]:
    """Position and length of the central directory."""
    length, _, position = _end_record(file, size)
    start = position - length
    if start < 0:
        raise RefusedMemberError("it is damaged: its table of contents lies outside of the file")
    return start, length


def _end_record(file: BinaryIO, size: int) -> tuple[int, int, int]:
    """Length and declared offset of the central directory, and the position where it ends."""
    tail_start = max(0, size - _END_BYTES - _MAX_COMMENT)
    file.seek(tail_start)
    tail = file.read()
    found = tail.rfind(_END)
    if found < 0 or len(tail) - found < _END_BYTES:
        raise RefusedMemberError("it is no zip archive, or its end is missing", "fetch it again, or ask its sender")
    disk, table_disk = struct.unpack_from("<HH", tail, found + 4)
    length, offset, comment = struct.unpack_from("<IIH", tail, found + 12)
    if found + _END_BYTES + comment > len(tail):
        raise RefusedMemberError("it is damaged: its end is cut off")
    position = tail_start + found
    locator = tail[found - 20 : found] if found >= 20 else b""
    if locator[:4] == _END64_LOCATOR:
        disk = table_disk = 0
        if struct.unpack_from("<I", locator, 16)[0] > 1:
            disk = 1
        position -= 20 + 56
        if position < 0:
            raise RefusedMemberError("it is damaged: its end is cut off")
        file.seek(position)
        record = file.read(56)
        if record[:4] != _END64:
            raise RefusedMemberError("it is damaged: its end record is not where it should be")
        length, offset = struct.unpack_from("<QQ", record, 40)
    if disk or table_disk:
        raise RefusedMemberError("it is one part of an archive in several files")
    return length, offset, position
