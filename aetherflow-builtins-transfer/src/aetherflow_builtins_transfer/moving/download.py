"""Downloads a file to a sink that keeps received content, so that a later attempt can continue."""

import hashlib
import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from aetherflow.core.api import ConnectorError, ResumableWriter
from aetherflow_builtins_transfer.moving.calls import Calls
from aetherflow_builtins_transfer.moving.upload import TAIL, TransferResult, piece
from aetherflow_builtins_transfer.paths import part_name

CHECKPOINT_SECONDS = 1.0
"""Seconds between checkpoints; content received after the last one is downloaded again after a crash."""
Check = Callable[[ResumableWriter, TransferResult], None]
"""Called with the complete file before it gets its name; refuses it by raising."""


@dataclass
class Download:
    """One download. The note of the sink identifies the file by path, size and time."""

    calls: Calls
    remote_path: str
    sink: ResumableWriter
    check: Check | None = None
    on_bytes: Callable[[int], None] | None = None
    _arrived: int = field(default=0, init=False)
    _size: int | None = field(default=None, init=False)
    _note: dict[str, Any] = field(default_factory=dict, init=False)
    _saved_at: float = field(default=0, init=False)

    def run(self) -> TransferResult:
        """Download to the sink; raises ConnectorError, or OSError of the local file.

        After a lost connection the received content stays in the sink; after any other failure it is discarded.
        """
        try:
            result = self.calls.attempt("downloading", self.remote_path, self._once, again=True, detail=self._how_far)
            if self.check is not None:
                self.check(self.sink, result)
        except BaseException as error:
            kind = getattr(error, "kind", "lost" if not isinstance(error, ConnectorError) else "other")
            if kind not in ("lost", "stopped"):
                self.sink.discard()
            raise
        return result

    def _how_far(self) -> str:
        return f" after {self._arrived:,} of {'?' if self._size is None else f'{self._size:,}'} bytes"

    def _once(self) -> TransferResult:
        peer, sink, path = self.calls.connector, self.sink, self.remote_path
        before = self.calls.stat_once(path)
        if before.kind != "file":
            raise self.calls.error(
                "other", f"{self.remote_path} is no file but a {before.kind}", "take files only; list steps do"
            )
        self._size = before.size
        self._note = {"path": peer.identity(path), "size": before.size, "mtime": before.mtime}
        resumed = self._arrived = self._offset()
        self._saved_at = time.monotonic()
        try:
            peer.read(path, self._take, offset=resumed)
        except BaseException:
            with suppress(Exception):  # the first error is the one to raise
                sink.checkpoint(self._note)
            raise
        after = self.calls.stat_once(path)
        if (after.size, after.mtime) != (before.size, before.mtime):
            raise self.calls.error(
                "other",
                f"downloading {self.remote_path}: the file changed while it was read",
                "take files that are finished: min_age_seconds or stable_seconds of the list step",
            )
        if before.size is not None and self._arrived != before.size:
            raise self.calls.error(
                "other", f"downloading {self.remote_path}: {self._arrived} of {before.size} bytes arrived"
            )
        return TransferResult(self._arrived, sink.sha256, before.mtime, resumed)

    def _take(self, data: bytes) -> None:
        if self._size is not None and self._arrived + len(data) > self._size:
            what = (
                f"downloading {self.remote_path}: the file changed while it was read: more than the {self._size:,} "
                "bytes that were listed"
            )
            raise self.calls.error("other", what, "take files that are finished: min_age_seconds of the list step")
        self.sink.write(data)
        self._arrived += len(data)
        if (now := time.monotonic()) - self._saved_at >= CHECKPOINT_SECONDS:
            self.sink.checkpoint(self._note)
            self._saved_at = now
        if self.on_bytes is not None:
            self.on_bytes(len(data))

    def _offset(self) -> int:
        """The offset to continue at: the length of an earlier attempt's content if it matches the file, otherwise 0."""
        sink = self.sink
        if not sink.size:
            return 0
        if dict(sink.note) == self._note and self._size is not None and sink.size <= self._size:
            begin = max(0, sink.size - TAIL)
            with sink.reader() as file:
                file.seek(begin)
                ours = file.read(sink.size - begin)
            if piece(self.calls, self.remote_path, begin, len(ours)) == ours:
                return sink.size
        sink.restart()
        return 0


class PartFile:
    """A sink for one call: a private local file with a temporary name. It keeps nothing for a later attempt."""

    def __init__(self, final: Path) -> None:
        self._final, self._part = final, final.with_name(part_name(final.name))
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        self._file = os.fdopen(os.open(self._part, flags, 0o600), "r+b", 1 << 18)
        self._hash = hashlib.sha256()
        self.size = 0
        self.note: dict[str, Any] = {}

    @property
    def sha256(self) -> str:
        """SHA-256 of the content so far, in hexadecimal."""
        return self._hash.hexdigest()

    def write(self, data: bytes) -> int:
        self._file.write(data)
        self._hash.update(data)
        self.size += len(data)
        return len(data)

    def checkpoint(self, note: Mapping[str, Any]) -> None:
        """Set the note; nothing is made durable, because the file ends with the call."""
        self.note = dict(note)

    def restart(self) -> None:
        """Discard the content received so far."""
        self._file.seek(0)
        self._file.truncate()
        self._hash = hashlib.sha256()
        self.size, self.note = 0, {}

    def reader(self) -> BinaryIO:
        """Open the content received so far for reading."""
        self._file.flush()
        return self._part.open("rb")

    def publish(self, mtime: float | None) -> None:
        """Sync the file, set its time if given, and rename it to its final name."""
        self._file.flush()
        if mtime is not None:
            os.utime(self._part, (mtime, mtime))
        os.fsync(self._file.fileno())
        self._file.close()
        self._part.replace(self._final)
        _sync_folder(self._final.parent)

    def discard(self) -> None:
        """Remove the temporary file; no effect after `publish`."""
        with suppress(OSError):
            self._file.close()
        self._part.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
