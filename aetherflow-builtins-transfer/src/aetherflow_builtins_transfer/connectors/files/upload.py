"""Uploads a file under a temporary name, checks it and renames it; an interrupted upload can be continued."""

import hashlib
import io
import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from aetherflow.core.api import open_file
from aetherflow_builtins_transfer.connectors.files.peer import PeerConnector
from aetherflow_builtins_transfer.connectors.files.session import FileSession, RemoteEntry
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

    connector: PeerConnector[Any, Any]
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
    _stops: int = field(default=0, init=False)
    _touched: bool = field(default=False, init=False)

    @classmethod
    def of_bytes(
        cls, connector: PeerConnector[Any, Any], data: bytes, remote_path: str, key: str | None = None
    ) -> "Upload":
        return cls(connector, remote_path, lambda: io.BytesIO(data), key)

    @classmethod
    def of_file(
        cls, connector: PeerConnector[Any, Any], local: Path, remote_path: str, key: str | None = None
    ) -> "Upload":
        return cls(connector, remote_path, lambda: open_file(local), key)

    def run(self) -> TransferResult:
        """Upload; raises ConnectorError, or OSError of the local file."""
        peer = self.connector
        self._stops = peer.stops
        target = peer.at(self.remote_path)
        part = peer.beside(target, part_name(peer.name_of(target), self.key or secrets.token_hex(6)))
        with self.open_source() as source:
            size, mtime = _facts(source)
            try:
                return peer.run(
                    "uploading to",
                    self.remote_path,
                    lambda session: self._once(session, source, size, mtime, part, target),
                    again=True,
                    detail=lambda: f" after {self.moved:,} of {size:,} bytes",
                )
            except BaseException:
                if self.key is None and self._touched:
                    self._drop(part)
                raise

    def _once(
        self, session: FileSession, source: BinaryIO, size: int, mtime: float | None, part: str, target: str
    ) -> TransferResult:
        peer = self.connector
        resumed = self._offset(session, source, size, part)
        digest = hashlib.sha256()
        _hash_prefix(source, resumed, digest)
        self.moved = resumed
        if self._renaming and self._arrived(session, size, part, target):
            _hash_prefix(source, size, digest := hashlib.sha256())
            return TransferResult(size, digest.hexdigest(), mtime, size)
        self._send(session, source, digest, part, target, resumed)
        if (found := session.stat(part).size) != self.moved:
            raise peer.error("other", f"uploading to {self.remote_path}: {found} of {self.moved} bytes arrived")
        if self.moved != size or _facts(source) != (size, mtime):
            raise peer.error(
                "other",
                f"uploading to {self.remote_path}: the local file changed while it was sent",
                "send files that are finished: write them under another name, then rename",
            )
        if self.verify and _remote_sha256(session, part, self._step) != digest.hexdigest():
            session.remove(part)
            raise peer.error("other", f"uploading to {self.remote_path}: what arrived has another sha256")
        if self.preserve_mtime and mtime is not None:
            session.set_mtime(part, mtime)
        if self.mode is not None:
            session.chmod(part, self.mode)
        self._renaming = True
        session.rename(part, target, replace=self.overwrite)
        return TransferResult(size, digest.hexdigest(), mtime, resumed)

    def _send(self, session: FileSession, source: BinaryIO, digest: Any, part: str, target: str, offset: int) -> None:
        def read(size: int) -> bytes:
            self._touched = True
            if data := source.read(size):
                digest.update(data)
                self.moved += len(data)
                self._step(len(data))
            return data

        try:
            session.store(part, offset, read)
        except Exception as error:
            if self._touched or self.connector.explain(error).kind != "missing":
                raise
            self.connector.make_folders(session, self.connector.parent(target))
            session.store(part, offset, read)

    def _step(self, size: int) -> None:
        self.connector.pace(size, self._stops)
        if self.on_bytes is not None:
            self.on_bytes(size)

    def _offset(self, session: FileSession, source: BinaryIO, size: int, part: str) -> int:
        """The offset to continue at: the length of an earlier attempt's file if it matches this file, otherwise 0."""
        if (self.key is None or not self.resume) and not self._touched:
            return 0
        found = _or_none(self.connector, lambda: session.stat(part, follow=False))
        if found is None or found.kind != "file" or not found.size or found.size > size:
            return 0
        begin = max(0, found.size - TAIL)
        source.seek(begin)
        expected = source.read(found.size - begin)
        return found.size if piece(session, part, begin, len(expected)) == expected else 0

    def _arrived(self, session: FileSession, size: int, part: str, target: str) -> bool:
        """Whether a rename whose answer was lost took effect."""
        if _or_none(self.connector, lambda: session.stat(part, follow=False)) is not None:
            return False
        found = _or_none(self.connector, lambda: session.stat(target))
        return found is not None and found.size == size

    def _drop(self, part: str) -> None:
        """Remove the unfinished file; errors are ignored, because the first error is the one to raise."""
        try:
            with self.connector.a_session() as session:
                session.remove(part)
        except Exception:  # noqa: BLE001 - a later delivery of the same file removes it
            return


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


def piece(session: FileSession, path: str, offset: int, length: int) -> bytes:
    """Read `length` bytes of a file on the server."""
    found: list[bytes] = []
    session.fetch(path, offset, length, found.append)
    return b"".join(found)


def _remote_sha256(session: FileSession, path: str, step: Callable[[int], None]) -> str:
    digest = hashlib.sha256()

    def take(data: bytes) -> None:
        digest.update(data)
        step(len(data))

    session.fetch(path, 0, None, take)
    return digest.hexdigest()


def _or_none(connector: PeerConnector[Any, Any], look: Callable[[], RemoteEntry]) -> RemoteEntry | None:
    """The result of `look`, None if there is nothing."""
    try:
        return look()
    except Exception as error:
        if connector.explain(error).kind == "missing":
            return None
        raise
