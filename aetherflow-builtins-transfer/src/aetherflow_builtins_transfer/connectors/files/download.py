"""A file on its way from a peer: into a sink that keeps what came, so that a later attempt goes on from there."""

import hashlib
import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from aetherflow.core.api import ConnectorError, ResumableWriter
from aetherflow_builtins_transfer.connectors.files.peer import PeerConnector
from aetherflow_builtins_transfer.connectors.files.session import FileSession
from aetherflow_builtins_transfer.connectors.files.upload import TAIL, TransferResult, piece
from aetherflow_builtins_transfer.paths import part_name

CHECKPOINT_SECONDS = 1.0
"""What came within so long before the process died is brought again."""
Check = Callable[[ResumableWriter, TransferResult], None]
"""Refuses, by raising, a whole file before it gets its name."""


@dataclass
class Download:
    """A file on its way from the peer. The note of the sink says which file it was: its path, size and time."""

    connector: PeerConnector[Any, Any]
    remote_path: str
    sink: ResumableWriter
    check: Check | None = None
    on_bytes: Callable[[int], None] | None = None
    _path: str = field(default="", init=False)
    _arrived: int = field(default=0, init=False)
    _size: int | None = field(default=None, init=False)
    _note: dict[str, Any] = field(default_factory=dict, init=False)
    _saved_at: float = field(default=0, init=False)
    _stops: int = field(default=0, init=False)

    def run(self) -> TransferResult:
        """Bring it into the sink; a ConnectorError, or the OSError of the local file, if that fails.

        What came before a cut stays in the sink; after any other failure nothing does.
        """
        self._path, self._stops = self.connector.at(self.remote_path), self.connector.stops
        try:
            result = self.connector.run("downloading", self.remote_path, self._once, again=True, detail=self._how_far)
            if self.check is not None:
                self.check(self.sink, result)
        except BaseException as error:
            kind = getattr(error, "kind", "lost" if not isinstance(error, ConnectorError) else "other")
            if kind != "lost":
                self.sink.discard()
            raise
        return result

    def _how_far(self) -> str:
        return f" after {self._arrived:,} of {'?' if self._size is None else f'{self._size:,}'} bytes"

    def _once(self, session: FileSession) -> TransferResult:
        peer, sink = self.connector, self.sink
        before = session.stat(self._path)
        if before.kind != "file":
            raise peer.error(
                "other", f"{self.remote_path} is no file but a {before.kind}", "take files only; list steps do"
            )
        self._size = before.size
        self._note = {"path": self._path, "size": before.size, "mtime": before.mtime}
        resumed = self._arrived = self._offset(session)
        self._saved_at = time.monotonic()
        try:
            session.fetch(self._path, resumed, None, self._take)
        except BaseException:
            with suppress(Exception):  # the error that led here is the one to tell
                sink.checkpoint(self._note)
            raise
        after = session.stat(self._path)
        if (after.size, after.mtime) != (before.size, before.mtime):
            raise peer.error(
                "other",
                f"downloading {self.remote_path}: the file changed while it was read",
                "take files that are finished: min_age_seconds or stable_seconds of the list step",
            )
        if before.size is not None and self._arrived != before.size:
            raise peer.error("other", f"downloading {self.remote_path}: {self._arrived} of {before.size} bytes arrived")
        return TransferResult(self._arrived, sink.sha256, before.mtime, resumed)

    def _take(self, data: bytes) -> None:
        self.sink.write(data)
        self._arrived += len(data)
        if (now := time.monotonic()) - self._saved_at >= CHECKPOINT_SECONDS:
            self.sink.checkpoint(self._note)
            self._saved_at = now
        self.connector.pace(len(data), self._stops)
        if self.on_bytes is not None:
            self.on_bytes(len(data))

    def _offset(self, session: FileSession) -> int:
        """Where to go on: the length of what an earlier attempt left, if it is of this file, which still begins so."""
        sink = self.sink
        if not sink.size:
            return 0
        if dict(sink.note) == self._note and self._size is not None and sink.size <= self._size:
            begin = max(0, sink.size - TAIL)
            with sink.reader() as file:
                file.seek(begin)
                ours = file.read(sink.size - begin)
            if piece(session, self._path, begin, len(ours)) == ours:
                return sink.size
        sink.restart()
        return 0


class PartFile:
    """A sink that lives as long as one call: a local file under a temporary name, for nobody else's eyes."""

    def __init__(self, final: Path) -> None:
        self._final, self._part = final, final.with_name(part_name(final.name))
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        self._file = os.fdopen(os.open(self._part, flags, 0o600), "r+b", 1 << 18)
        self._hash = hashlib.sha256()
        self.size = 0
        self.note: dict[str, Any] = {}

    @property
    def sha256(self) -> str:
        """Of all that is in the file, in hex."""
        return self._hash.hexdigest()

    def write(self, data: bytes) -> int:
        self._file.write(data)
        self._hash.update(data)
        self.size += len(data)
        return len(data)

    def checkpoint(self, note: Mapping[str, Any]) -> None:
        """Say what the file is; it ends with the call, so there is nothing to keep."""
        self.note = dict(note)

    def restart(self) -> None:
        """Forget what came so far."""
        self._file.seek(0)
        self._file.truncate()
        self._hash = hashlib.sha256()
        self.size, self.note = 0, {}

    def reader(self) -> BinaryIO:
        """All that came, from its start."""
        self._file.flush()
        return self._part.open("rb")

    def publish(self, mtime: float | None) -> None:
        """Make the file lasting, and give it its name and perhaps a time."""
        self._file.flush()
        if mtime is not None:
            os.utime(self._part, (mtime, mtime))
        os.fsync(self._file.fileno())
        self._file.close()
        self._part.replace(self._final)
        _sync_folder(self._final.parent)

    def discard(self) -> None:
        """Remove the file, whatever it is called by now."""
        with suppress(OSError):
            self._file.close()
        self._part.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
