"""What the connectors share: paths, errors, and the part of the contract that fsspec does in the same way for all."""

import os
import threading
import uuid
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from aetherflow.core.api import (
    ConnectorBase,
    ConnectorConfig,
    ConnectorError,
    ConnectorInit,
    ConnectorOptions,
    RemoteFileMeta,
)

PART = ".part-"
"""Files that are being written begin so; listings leave them out."""
ConfigT = TypeVar("ConfigT", bound=ConnectorConfig)
OptionsT = TypeVar("OptionsT", bound=ConnectorOptions)


class FsspecBase(ConnectorBase[ConfigT, OptionsT]):
    """A file system of fsspec; one call at a time, since not every one of them takes more."""

    # what may lie behind an error of the library, in words that help
    FIX = "check the path, and the resource's config"

    def __init__(self, init: ConnectorInit) -> None:
        super().__init__(init)
        self._lock = threading.RLock()
        self._fs: Any = None
        self._stops = 0

    @abstractmethod
    def _open(self) -> Any:
        """A new file system, connected; the library is imported here."""

    @abstractmethod
    def _full(self, path: str) -> str:
        """A path as the file system has it."""

    @abstractmethod
    def _mtime(self, entry: dict[str, Any]) -> float | None:
        """When an entry of a listing was changed, in unix seconds."""

    @property
    def fs(self) -> Any:
        """The file system, connected at the first use."""
        if self._fs is None:
            self._fs = self._open()
        return self._fs

    def interrupt(self) -> None:
        """Stop the transfers that run in other threads."""
        self._stops += 1

    def close(self) -> None:
        """Let go of the file system; twice is fine."""
        self._fs = None

    # Files

    def list(self, remote_dir: str) -> Sequence[RemoteFileMeta]:
        """The entries of one folder."""
        with self._reported("listing", remote_dir):
            folder = self._full(remote_dir)
            found = []
            for entry in self._entries(folder):
                name = entry["name"].rstrip("/").rpartition("/")[2]
                if entry["name"].strip("/") == folder.strip("/") or name.startswith(PART):
                    continue
                is_dir = entry["type"] == "directory"
                found.append(
                    RemoteFileMeta(
                        path=f"{remote_dir.rstrip('/')}/{name}",
                        name=name,
                        is_dir=is_dir,
                        size=None if is_dir else entry["size"],
                        mtime=self._mtime(entry),
                    )
                )
            return sorted(found, key=lambda each: each.name or "")

    def _entries(self, folder: str) -> Iterable[dict[str, Any]]:
        entries: Iterable[dict[str, Any]] = self.fs.ls(folder, detail=True)
        return entries

    def read_bytes(self, remote_path: str) -> bytes:
        """The content of a file."""
        with self._reported("reading", remote_path):
            content: bytes = self.fs.cat_file(self._full(remote_path))
            return content

    def download(self, remote_path: str, local_path: str | Path) -> None:
        """Copy a file of the peer to a local one, whose folder exists: under another name, then renamed."""
        final = Path(local_path)
        part = final.with_name(f"{PART}{uuid.uuid4().hex}")
        with self._reported("downloading", remote_path):
            try:
                with part.open("xb") as file:
                    self._fetch(self._full(remote_path), part, file)
                    file.flush()
                    os.fsync(file.fileno())
                part.replace(final)
            finally:
                part.unlink(missing_ok=True)

    @abstractmethod
    def _fetch(self, path: str, part: Path, file: BinaryIO) -> None:
        """Write the content of a file of the peer into the local file `part`, which is open as `file`."""

    # Helpers

    def _guard(self) -> Callable[[], None]:
        """A function that raises once the connector is interrupted; to be called for every chunk."""
        stops = self._stops

        def check() -> None:
            if self._stops != stops:
                raise self._error("the transfer was interrupted", "the run was being stopped")

        return check

    def _error(self, message: str, fix: str) -> ConnectorError:
        return ConnectorError(f"resource {self.name} ({self.kind}:{self.driver}): {message}", fix=fix)

    @contextmanager
    def _reported(self, action: str, path: str) -> Iterator[None]:
        """One call at a time; what the library raises becomes an error for people."""
        with self._lock:
            try:
                yield
            except ConnectorError:
                raise
            except Exception as error:  # the libraries below fsspec raise kinds of their own
                text = getattr(error, "strerror", None) or " ".join(str(error).split()) or type(error).__name__
                raise self._error(f"{action} {path} failed: {text}", self.FIX) from error
