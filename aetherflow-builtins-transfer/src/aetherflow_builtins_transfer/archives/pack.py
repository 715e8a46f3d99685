"""Writes archives as streams: members are sorted and have a fixed time by default, so equal files give equal bytes."""

import stat
import tarfile
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, BinaryIO, Literal, TypeAlias, cast

from aetherflow.core.api import ArchiveInput, Packing, open_file, require
from aetherflow_builtins_transfer.archives.engines import deflaters
from aetherflow_builtins_transfer.archives.unpack import Tick, no_tick
from aetherflow_builtins_transfer.archives.zip_member import replace_compressor

Compression: TypeAlias = Literal["deflated", "stored"]
AesStrength: TypeAlias = Literal[128, 192, 256]

CHUNK_BYTES = 1 << 20
FIXED_TIME = 315_532_800
"""1980-01-01 00:00 UTC, the earliest time that a zip archive can hold."""
_FIXED_DATE = (1980, 1, 1, 0, 0, 0)
_LAST_DATE = (2107, 12, 31, 23, 59, 58)
_UNIX = 3
_FOLDER_MODE, _FILE_MODE, _PROGRAM_MODE = 0o755, 0o644, 0o755
_DOS_FOLDER = 0x10
_ZSTD_LEVELS = {"speed": 3, "size": 7}


def pack(
    sink: BinaryIO,
    sources: Sequence[ArchiveInput],
    how: Packing,
    tick: Tick = no_tick,
    aes_strength: AesStrength = 256,
) -> None:
    """Write an archive of these files to a stream, which need not be seekable; `tick` gets the bytes done so far."""
    ordered = sorted(sources, key=lambda source: source.name.encode())
    if how.form == "zip":
        _pack_zip(sink, ordered, how, tick, aes_strength)
    else:
        with _compressed(sink, how) as stream:
            _pack_tar(stream, ordered, how, tick)


def _pack_zip(
    sink: BinaryIO, sources: Sequence[ArchiveInput], how: Packing, tick: Tick, aes_strength: AesStrength
) -> None:
    deflated = how.compression == "deflated"
    method = zipfile.ZIP_DEFLATED if deflated else zipfile.ZIP_STORED
    with _zip_file(sink, how, aes_strength) as archive, deflaters(how.optimize) as new_deflater:
        done = 0
        for source in sources:
            info = _zip_info(archive, source, how)
            if source.is_dir:
                _folder_member(archive, info)
                continue
            info.compress_type = method
            with open_file(Path(source.path)) as file, archive.open(info, "w") as member:
                if deflated:
                    replace_compressor(member, new_deflater())
                for chunk in _chunks(file):
                    member.write(chunk)
                    done += len(chunk)
                    tick(done)


def _zip_file(sink: BinaryIO, how: Packing, aes_strength: AesStrength) -> Any:
    if how.password is None:
        return zipfile.ZipFile(sink, "w")
    pyzipper = require("pyzipper")
    archive = pyzipper.AESZipFile(sink, "w")
    archive.setpassword(how.password.encode())
    archive.setencryption(pyzipper.WZ_AES, nbits=aes_strength)
    return archive


def _zip_info(archive: Any, source: ArchiveInput, how: Packing) -> Any:
    found = Path(source.path).stat()
    name = f"{source.name}/" if source.is_dir else source.name
    date = _zip_date(found.st_mtime) if how.keep_times else _FIXED_DATE
    info = getattr(archive, "zipinfo_cls", zipfile.ZipInfo)(name, date)  # pyzipper has its own class
    info.create_system = _UNIX
    info.external_attr = _mode(found.st_mode, source) << 16 | (_DOS_FOLDER if source.is_dir else 0)
    if not source.is_dir:
        info.file_size = found.st_size  # zipfile decides on zip64 before the first byte
    return info


def _folder_member(archive: Any, info: Any) -> None:
    info.compress_type = zipfile.ZIP_STORED
    with archive.open(info, "w"):
        pass


def _pack_tar(stream: Any, sources: Sequence[ArchiveInput], how: Packing, tick: Tick) -> None:
    with tarfile.open(
        fileobj=cast(IO[bytes], stream), mode="w|", format=tarfile.PAX_FORMAT, bufsize=CHUNK_BYTES
    ) as archive:
        archive.copybufsize = CHUNK_BYTES  # type: ignore[attr-defined]  # tarfile.open has no argument for it in this mode
        done = 0
        for source in sources:
            found = Path(source.path).stat()
            info = tarfile.TarInfo(source.name)
            info.mode = _mode(found.st_mode, source) & 0o7777
            info.mtime = int(found.st_mtime) if how.keep_times else FIXED_TIME
            if source.is_dir:
                info.type = tarfile.DIRTYPE
                archive.addfile(info)
                continue
            info.size = found.st_size
            with open_file(Path(source.path)) as file:
                archive.addfile(info, cast(IO[bytes], _Counted(file, done, tick)))
            done += info.size


class _Counted:
    """A file that reports progress when it is read."""

    def __init__(self, file: BinaryIO, done: int, tick: Tick) -> None:
        self._file = file
        self._done = done
        self._tick = tick

    def read(self, size: int) -> bytes:
        data = self._file.read(size)
        self._done += len(data)
        self._tick(self._done)
        return data


@contextmanager
def _compressed(sink: BinaryIO, how: Packing) -> Iterator[Any]:
    if how.form == "tar":
        yield sink
    elif how.form == "tar.gz":
        with deflaters(how.optimize) as new_deflater:
            stream = _GzipStream(sink, new_deflater())
            yield stream
            stream.finish()
    else:
        packer = require("zstandard").ZstdCompressor(level=_ZSTD_LEVELS[how.optimize], write_checksum=True)
        with packer.stream_writer(sink, closefd=False) as stream:
            yield stream


class _GzipStream:
    """A gzip stream (RFC 1952) without name and time, compressed by a Deflater."""

    _HEADER = b"\x1f\x8b\x08\0\0\0\0\0\0\xff"

    def __init__(self, sink: BinaryIO, deflater: Any) -> None:
        self._sink = sink
        self._deflater = deflater
        self._crc = 0
        self._size = 0
        sink.write(self._HEADER)

    def write(self, data: bytes) -> int:
        self._crc = zlib.crc32(data, self._crc)
        self._size += len(data)
        if ready := self._deflater.compress(data):
            self._sink.write(ready)
        return len(data)

    def finish(self) -> None:
        self._sink.write(self._deflater.flush())
        self._sink.write(self._crc.to_bytes(4, "little") + (self._size & 0xFFFFFFFF).to_bytes(4, "little"))


def _mode(mode: int, source: ArchiveInput) -> int:
    """File type and permissions, reduced to values that do not depend on the account's umask."""
    if source.is_dir:
        return stat.S_IFDIR | _FOLDER_MODE
    return stat.S_IFREG | (_PROGRAM_MODE if mode & 0o100 else _FILE_MODE)


def _zip_date(mtime: float) -> tuple[int, int, int, int, int, int]:
    at = time.gmtime(mtime)
    return min(max((at[0], at[1], at[2], at[3], at[4], at[5]), _FIXED_DATE), _LAST_DATE)


def _chunks(file: BinaryIO) -> Iterator[bytes]:
    read: Callable[[int], bytes] = file.read
    while chunk := read(CHUNK_BYTES):
        yield chunk
