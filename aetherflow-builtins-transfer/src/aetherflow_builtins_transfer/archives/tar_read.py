"""Reads tar archives, plain or compressed, one member after the other, in little memory."""

import gzip
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import IO, Any, BinaryIO, Literal, Self, cast

from aetherflow.core.api import open_file, require
from aetherflow_builtins_transfer.archives.entries import Member, MemberKind, Opener
from aetherflow_builtins_transfer.archives.failures import RefusedMemberError
from aetherflow_builtins_transfer.archives.names import shown

MAX_HEADER_BYTES = 1 << 20
"""Limit for the headers of one member (long names, attributes, sparse maps), which tarfile reads into memory."""
_MAX_TRAILING_BYTES = 1 << 24
_MAX_WINDOW = 1 << 27
"""Greatest zstd window in bytes, the default limit of the command-line tool."""
_SKIP_BYTES = 1 << 18
_TYPES: dict[bytes, MemberKind] = {
    tarfile.SYMTYPE: "symbolic link",
    tarfile.LNKTYPE: "hard link",
    tarfile.CHRTYPE: "device",
    tarfile.BLKTYPE: "device",
    tarfile.FIFOTYPE: "pipe",
    tarfile.DIRTYPE: "folder",
    tarfile.REGTYPE: "file",
    tarfile.AREGTYPE: "file",
    tarfile.CONTTYPE: "file",
}


class TarReader:
    def __init__(self, path: Path, form: Literal["tar", "tar.gz", "tar.zst"]) -> None:
        self.packed = path.stat().st_size
        self._file = open_file(path)
        self._stream = _Forward(_unpacked(self._file, form))

    def declared(self) -> None:
        """Always None: a tar archive has no table of contents."""

    def members(self) -> Iterator[tuple[Member, Opener]]:
        """Yield each member with a function that opens it; RefusedMemberError if the archive is damaged."""
        with _damage():
            archive = tarfile.TarFile(fileobj=cast(IO[bytes], self._stream), mode="r", errorlevel=2)
        while True:
            self._stream.header_left = MAX_HEADER_BYTES
            with _damage():
                info = archive.next()
            if info is None:
                break
            archive.members.clear()  # type: ignore[attr-defined]  # not in the stubs; tarfile would keep all members in memory
            if info.size < 0:  # the next header would be this one again: an endless loop
                raise RefusedMemberError(f"member {shown(info.name)} has a negative size")
            if info.issparse():
                raise RefusedMemberError(f"member {shown(info.name)} has holes, which are not supported")
            if info.type not in _TYPES:
                raise RefusedMemberError(f"member {shown(info.name)} is of an unknown type")
            entry = Member(
                name=info.name,
                kind=_TYPES[info.type],
                size=info.size if info.isreg() else 0,
                executable=bool(info.mode & 0o100),
            )
            yield entry, partial(_content, self._stream, info)
        self._check_end()

    def _check_end(self) -> None:
        """Check that a block of zeros ends the archive: tarfile also ends its list at a broken header."""
        if not self._stream.ends_in_zeros():
            raise RefusedMemberError("it is damaged: its end is missing", "fetch it again, or ask its sender")
        with _damage():
            self._stream.skip(_MAX_TRAILING_BYTES)
            if self._stream.skip(1):
                raise RefusedMemberError("it has more than padding after its end")

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _content(stream: "_Forward", info: tarfile.TarInfo) -> BinaryIO:
    return cast(BinaryIO, _Content(stream, info))


class _Content:
    """The bytes of one member."""

    def __init__(self, stream: "_Forward", info: tarfile.TarInfo) -> None:
        self._stream = stream
        self._left = info.size
        with _damage():
            stream.seek(info.offset_data)

    def read(self, size: int) -> bytes:
        if not (wanted := min(size, self._left)):
            return b""
        self._stream.header_left = wanted
        with _damage():
            data = self._stream.read(wanted)
        if not data:
            raise RefusedMemberError("it is damaged: its end is missing", "fetch it again, or ask its sender")
        self._left -= len(data)
        return data

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass


class _Forward:
    """A forward-only stream with a position; only the last block can be read again, which tarfile needs."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._position = 0
        self._last = b""
        self._again = b""
        self.header_left = MAX_HEADER_BYTES
        """Bytes that may still be read into memory."""

    def tell(self) -> int:
        return self._position

    def seek(self, target: int) -> int:
        back = self._position - target
        if back > len(self._last):
            raise RefusedMemberError("it is damaged: its members are not one after the other")
        if back > 0:
            self._again = self._last[-back:] + self._again
            self._last = self._last[:-back]
            self._position = target
        self.skip(target - self._position)
        return self._position

    def skip(self, amount: int) -> int:
        """Skip up to `amount` bytes; return the number of skipped bytes."""
        start = self._position
        while (left := start + amount - self._position) > 0 and self._pull(min(left, _SKIP_BYTES)):
            pass
        return self._position - start

    def read(self, size: int) -> bytes:
        if size < 0 or size > self.header_left:
            raise RefusedMemberError(f"it has a header of more than {MAX_HEADER_BYTES:,} bytes")
        self.header_left -= size
        return self._pull(size)

    def ends_in_zeros(self) -> bool:
        """Whether the last block that was read has only zeros."""
        return self._last == bytes(tarfile.BLOCKSIZE)

    def _pull(self, size: int) -> bytes:
        pieces = [self._again[:size]]
        self._again = self._again[size:]
        missing = size - len(pieces[0])
        while missing and (piece := self._stream.read(missing)):
            pieces.append(piece)
            missing -= len(piece)
        data = b"".join(pieces)
        self._position += len(data)
        self._last = (self._last + data)[-tarfile.BLOCKSIZE :]
        return data


def _unpacked(file: BinaryIO, form: str) -> Any:
    if form == "tar.gz":
        return gzip.GzipFile(fileobj=file)
    if form == "tar.zst":
        zstandard = require("zstandard")
        unpacker = zstandard.ZstdDecompressor(max_window_size=_MAX_WINDOW)
        return unpacker.stream_reader(file, read_across_frames=True, closefd=False)
    return file


@contextmanager
def _damage() -> Iterator[None]:
    """Convert the libraries' errors about damaged archives to RefusedMemberError."""
    try:
        yield
    except (tarfile.TarError, EOFError, zlib.error, OSError, ValueError, OverflowError) as error:
        reason = str(error) or type(error).__name__
        raise RefusedMemberError(f"it is damaged: {reason}", "fetch it again, or ask its sender") from error
    except Exception as error:
        if type(error).__name__ != "ZstdError":
            raise
        raise RefusedMemberError(f"it is damaged: {error}", "fetch it again, or ask its sender") from error
