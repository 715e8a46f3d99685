"""Uploads a file under a temporary name, checks it and renames it; an interrupted upload can be continued."""

import hashlib
import io
import os
import secrets
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from aetherflow.core.api import (
    AppendsFiles,
    BackgroundHash,
    HashesFiles,
    RemoteEntry,
    SetsMode,
    SetsMtime,
    open_file,
)
from aetherflow_builtins_transfer.moving.calls import Calls, kind_of
from aetherflow_builtins_transfer.paths import part_name

TAIL = 256 * 1024
"""Bytes before the point of resumption that are compared before the upload continues."""


@dataclass(frozen=True, slots=True)
class TransferResult:
    """A transferred file: size in bytes, SHA-256, time of the last change at the source, bytes that an earlier attempt
    had already transferred, and for a file of a batch the stat result of the local file.
    """

    size: int
    sha256: str
    mtime: float | None
    resumed_at: int = 0
    source: os.stat_result | None = None


@dataclass
class Upload:
    """One upload of a file or of bytes."""

    calls: Calls
    remote_path: str
    open_source: Callable[[], BinaryIO]
    key: str | None = None
    resume: bool = True
    verify: bool = False
    preserve_mtime: bool = False
    mode: int | None = None
    overwrite: bool = True
    on_bytes: Callable[[int], None] | None = None
    moved: int = 0
    _renaming: bool = field(default=False, init=False)
    _touched: bool = field(default=False, init=False)

    @classmethod
    def of_bytes(cls, calls: Calls, data: bytes, remote_path: str, key: str | None = None) -> "Upload":
        return cls(calls, remote_path, lambda: io.BytesIO(data), key)

    @classmethod
    def of_file(cls, calls: Calls, local: Path, remote_path: str, key: str | None = None) -> "Upload":
        return cls(calls, remote_path, lambda: open_file(local), key)

    def run(self) -> TransferResult:
        """Upload; raises ConnectorError, or OSError of the local file."""
        peer, target = self.calls.connector, self.remote_path
        folder, name = peer.split(target)
        part = target if peer.WRITES_WHOLE else peer.join(folder, part_name(name, self.key or secrets.token_hex(6)))
        with self.open_source() as source:
            size, mtime = _facts(source)
            try:
                return self.calls.attempt(
                    "uploading to",
                    target,
                    lambda: self._once(source, size, mtime, part, folder),
                    again=True,
                    detail=lambda: f" after {self.moved:,} of {size:,} bytes",
                )
            except BaseException:
                if self.key is None and self._touched and not peer.WRITES_WHOLE:
                    self._drop(part)
                raise

    def _once(self, source: BinaryIO, size: int, mtime: float | None, part: str, folder: str) -> TransferResult:
        peer, error, target = self.calls.connector, self.calls.error, self.remote_path
        resumed = self._offset(source, size, part)
        self.moved = resumed
        if self._renaming and self._arrived(size, part):
            _hash_prefix(source, size, digest := hashlib.sha256())
            return TransferResult(size, digest.hexdigest(), mtime, size)
        if part == target and not self.overwrite and self._look(target) is not None:
            raise error("exists", f"uploading to {target} failed: it exists")
        sha256 = self._send(source, part, folder, resumed)
        if (found := self.calls.stat_once(part).size) != self.moved:
            raise error("other", f"uploading to {target}: {found} of {self.moved} bytes arrived")
        if self.moved != size or _facts(source) != (size, mtime):
            if part == target:
                peer.remove(part)
            raise error(
                "other",
                f"uploading to {target}: the local file changed while it was sent",
                "send files that are finished: write them under another name, then rename",
            )
        if self.verify and self._sha256_at_peer(part) != sha256:
            peer.remove(part)
            raise error("other", f"uploading to {target}: what arrived has another sha256")
        if self.preserve_mtime and mtime is not None and isinstance(peer, SetsMtime):
            peer.set_mtime(part, mtime)
        if self.mode is not None:
            if not isinstance(peer, SetsMode):
                raise error("other", f"{target} cannot get the mode {self.mode:o}: the peer has no permission bits")
            peer.chmod(part, self.mode)
        if part != target:
            self._renaming = True
            peer.rename(part, target, overwrite=self.overwrite)
        return TransferResult(size, sha256, mtime, resumed)

    def _send(self, source: BinaryIO, part: str, folder: str, offset: int) -> str:
        """Send the bytes after `offset`; returns the sha256 of the whole source."""
        try:
            return self._write(source, part, offset)
        except Exception as error:
            if kind_of(error) != "missing":
                raise
        make_folders(self.calls, folder)
        self.moved = offset
        return self._write(source, part, offset)

    def _write(self, source: BinaryIO, part: str, offset: int) -> str:
        def read(size: int) -> bytes:
            self._touched = True
            if data := source.read(size):
                digest.update(data)
                self.moved += len(data)
                if self.on_bytes is not None:
                    self.on_bytes(len(data))
            return data

        peer = self.calls.connector
        with closing(BackgroundHash()) as digest:
            _hash_prefix(source, offset, digest)
            if offset and isinstance(peer, AppendsFiles):
                peer.append(part, read, offset)
            else:
                peer.write(part, read)
            return digest.hexdigest()

    def _offset(self, source: BinaryIO, size: int, part: str) -> int:
        """The offset to continue at: the length of an earlier attempt's file if it matches this file, otherwise 0."""
        peer = self.calls.connector
        if ((self.key is None or not self.resume) and not self._touched) or self.remote_path == part:
            return 0
        if not isinstance(peer, AppendsFiles):
            return 0
        found = self._look(part)
        if found is None or found.kind != "file" or not found.size or found.size > size:
            return 0
        begin = max(0, found.size - TAIL)
        source.seek(begin)
        expected = source.read(found.size - begin)
        return found.size if piece(self.calls, part, begin, len(expected)) == expected else 0

    def _arrived(self, size: int, part: str) -> bool:
        """Whether a rename whose answer was lost took effect."""
        if self._look(part) is not None:
            return False
        found = self._look(self.remote_path, follow=True)
        return found is not None and found.size == size

    def _look(self, path: str, *, follow: bool = False) -> RemoteEntry | None:
        """What is at a path, None if there is nothing."""
        try:
            return self.calls.stat_once(path, follow=follow)
        except Exception as error:
            if kind_of(error) == "missing":
                return None
            raise

    def _sha256_at_peer(self, path: str) -> str:
        return sha256_at_peer(self.calls, path, self.on_bytes)

    def _drop(self, part: str) -> None:
        """Remove the unfinished file; errors are ignored, because the first error is the one to raise."""
        with suppress(Exception):  # a later delivery of the same file removes it
            self.calls.connector.remove(part)


def make_folders(calls: Calls, path: str, *, again: bool = True) -> None:
    """Create a folder and its missing parents; existing ones are no error."""
    peer = calls.connector
    above, name = peer.split(path)
    if not name:
        return
    try:
        peer.make_folder(path)
    except Exception as error:
        kind = kind_of(error)
        if kind == "missing" and again and above != path:
            make_folders(calls, above)
            make_folders(calls, path, again=False)  # another thread may make it, too
        elif kind in (None, "missing", "lost", "stopped") or calls.stat_once(path).kind != "folder":
            raise


def _facts(file: BinaryIO) -> tuple[int, float | None]:
    """Size and time of the last change; the time is None for content in memory."""
    try:
        found = os.fstat(file.fileno())
    except (OSError, AttributeError):  # content in memory
        return file.seek(0, os.SEEK_END), None
    return found.st_size, found.st_mtime


def _hash_prefix(file: BinaryIO, length: int, digest: Any) -> None:
    """Hash the first `length` bytes; the file's position is then after them."""
    file.seek(0)
    while length > 0 and (chunk := file.read(min(length, 1 << 20))):
        digest.update(chunk)
        length -= len(chunk)


def piece(calls: Calls, path: str, offset: int, length: int) -> bytes:
    """Read `length` bytes of a file at the peer."""
    found: list[bytes] = []
    calls.connector.read(path, lambda data: found.append(bytes(data)), offset=offset, limit=length)
    return b"".join(found)


def sha256_at_peer(calls: Calls, path: str, step: Callable[[int], None] | None = None) -> str:
    """SHA-256 of a file at the peer, in hexadecimal; the file is read unless the peer computes it."""
    peer = calls.connector
    if isinstance(peer, HashesFiles) and (known := peer.hash_at_peer(path)) is not None:
        return known.lower()
    digest = hashlib.sha256()

    def take(data: bytes) -> None:
        digest.update(data)
        if step is not None:
            step(len(data))

    peer.read(path, take)
    return digest.hexdigest()
