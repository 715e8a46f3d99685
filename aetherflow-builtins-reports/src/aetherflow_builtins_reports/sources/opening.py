"""Files opened as bytes, unpacked by their suffix, hashed as they are read."""

import gzip
import hashlib
import io
from pathlib import Path
from typing import IO, Any, cast

from aetherflow_builtins_reports.errors import missing_extra

_BLOCK = 1 << 16
PACKED_SUFFIXES = (".gz", ".zst")


def unpacked_suffix(path: Path) -> str:
    """`.csv` of `a.csv.gz`, in lower case."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] in PACKED_SUFFIXES:
        suffixes.pop()
    return suffixes[-1] if suffixes else ""


class HashedFile(io.RawIOBase):
    """A file whose bytes are hashed on the way: nothing is read twice to know what was read."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb")
        self._hash = hashlib.sha256()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        count = self._file.readinto(buffer)
        self._hash.update(memoryview(buffer)[:count])
        return count

    @property
    def sha256(self) -> str:
        """Of the whole file: what was not read yet is read for it."""
        while block := self._file.read(_BLOCK):
            self._hash.update(block)
        return self._hash.hexdigest()

    def close(self) -> None:
        if hasattr(self, "_file"):  # not where it could not be opened: the finalizer closes such an object, too
            self._file.close()
        super().close()


def unpack(file: HashedFile, path: Path) -> IO[bytes]:
    """The bytes of a file, unpacked if its suffix is .gz or .zst."""
    suffix = path.suffix.lower()
    if suffix == ".gz":
        return cast("IO[bytes]", gzip.GzipFile(fileobj=cast("IO[bytes]", io.BufferedReader(file, _BLOCK)), mode="rb"))
    if suffix == ".zst":
        try:
            import zstandard
        except ImportError as error:
            raise missing_extra(f"reading {path.name}", "zstandard") from error
        reader = zstandard.ZstdDecompressor().stream_reader(cast("IO[bytes]", file), read_across_frames=True)
        return cast("IO[bytes]", reader)
    return cast("IO[bytes]", io.BufferedReader(file, _BLOCK))


def file_sha256(path: Path) -> str:
    """Hexadecimal hash of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
