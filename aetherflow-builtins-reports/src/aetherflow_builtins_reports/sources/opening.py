"""Opens files, decompresses them by suffix, and hashes them while they are read."""

import gzip
import hashlib
import io
from pathlib import Path
from typing import IO, Any, cast

from aetherflow.core.api import open_file
from aetherflow_builtins_reports.errors import missing_extra

BLOCK = 1 << 16
PACKED_SUFFIXES = (".gz", ".zst")


def unpacked_suffix(path: Path) -> str:
    """The suffix in lower case, without that of a compression: `.csv` for `a.csv.gz`."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] in PACKED_SUFFIXES:
        suffixes.pop()
    return suffixes[-1] if suffixes else ""


class HashedFile(io.RawIOBase):
    """A file that hashes its bytes while they are read, so that the file is read only once."""

    def __init__(self, path: Path) -> None:
        self._file = open_file(path)
        self._hash = hashlib.sha256()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        count = self._file.readinto(buffer)
        self._hash.update(memoryview(buffer)[:count])
        return count

    @property
    def sha256(self) -> str:
        """SHA-256 of the whole file, in hexadecimal; reads the rest of the file."""
        while block := self._file.read(BLOCK):
            self._hash.update(block)
        return self._hash.hexdigest()

    def close(self) -> None:
        if hasattr(self, "_file"):  # missing if open() failed: the finalizer calls close() on that object, too
            self._file.close()
        super().close()


def unpack(file: HashedFile, path: Path) -> IO[bytes]:
    """A reader of the file's bytes, decompressed if its suffix is .gz or .zst."""
    suffix = path.suffix.lower()
    if suffix == ".gz":
        return cast("IO[bytes]", gzip.GzipFile(fileobj=cast("IO[bytes]", io.BufferedReader(file, BLOCK)), mode="rb"))
    if suffix == ".zst":
        try:
            import zstandard
        except ImportError as error:
            raise missing_extra(f"reading {path.name}", "zstd") from error
        reader = zstandard.ZstdDecompressor().stream_reader(cast("IO[bytes]", file), read_across_frames=True)
        return cast("IO[bytes]", reader)
    return cast("IO[bytes]", io.BufferedReader(file, BLOCK))


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with open_file(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
