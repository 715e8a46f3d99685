"""A connector with the documented minimum for files, `acme:folder`: a folder of this machine."""

import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from pydantic import Field

from aetherflow.core.api import (
    ConnectorBase,
    ConnectorConfig,
    ConnectorError,
    ConnectorInit,
    ConnectorOptions,
    Flag,
    RemoteFileMeta,
    WritePath,
)

CHUNK = 1024 * 1024
PART = ".part-"
"""Files that are being written begin so; listings leave them out."""


class Config(ConnectorConfig):
    """Where the files are."""

    folder: WritePath = Field(
        min_length=1, description="The folder; `~` is this user's home, a relative one is under the working directory."
    )


class Options(ConnectorOptions):
    """How the connector behaves."""

    create: Flag = Field(False, description="Create the folder if it is missing.")


class Folder(ConnectorBase[Config, Options]):
    """Files in a folder. Paths are relative to it, with `/` between their parts; none leads out of it.

    resources:
      inbox:
        kind: acme
        driver: folder
        config: {folder: /mnt/inbox}
    """

    # Name the modules of the library that speaks to the peer, and import them in the method that connects, not above.
    requires = ()

    def __init__(self, init: ConnectorInit) -> None:
        super().__init__(init)
        self._stops = 0

    def probe(self) -> None:
        """Reach the peer once and change nothing."""
        self._root()

    def interrupt(self) -> None:
        """Stop the transfers that run in other threads."""
        self._stops += 1

    # Files

    def list(self, remote_dir: str) -> "list[RemoteFileMeta]":
        """The entries of one folder."""
        with self._reported("listing", remote_dir):
            found = []
            for path in sorted(self._path(remote_dir).iterdir()):
                if not path.name.startswith(PART):
                    facts, is_dir = path.lstat(), path.is_dir() and not path.is_symlink()
                    found.append(
                        RemoteFileMeta(
                            path=f"{remote_dir.rstrip('/')}/{path.name}",
                            name=path.name,
                            is_dir=is_dir,
                            size=None if is_dir else facts.st_size,
                            mtime=facts.st_mtime,
                        )
                    )
            return found

    def read_bytes(self, remote_path: str) -> bytes:
        """The content of a file."""
        with self._reported("reading", remote_path):
            return self._path(remote_path).read_bytes()

    def write_bytes(self, remote_path: str, data: bytes) -> None:
        """Write a file as a whole; folders above it are made."""
        with self._reported("writing", remote_path):
            self._write(self._target(remote_path), lambda file: file.write(data))

    def upload(self, local_path: str | Path, remote_path: str) -> None:
        """Copy a local file to the peer; folders above it are made."""
        with self._reported("uploading to", remote_path), Path(local_path).open("rb") as source:
            self._write(self._target(remote_path), lambda file: self._copy(source, file))

    def download(self, remote_path: str, local_path: str | Path) -> None:
        """Copy a file of the peer to a local one, whose folder exists."""
        with self._reported("downloading", remote_path), self._path(remote_path).open("rb") as source:
            self._write(Path(local_path), lambda file: self._copy(source, file))

    def rename(self, old_path: str, new_path: str) -> None:
        """Give a file another name; one that has the name is replaced."""
        with self._reported("renaming", old_path):
            self._path(old_path).replace(self._path(new_path))

    def delete(self, remote_path: str) -> None:
        """Delete a file, a link or an empty folder."""
        with self._reported("deleting", remote_path):
            path = self._path(remote_path)
            if path.is_dir() and not path.is_symlink():
                path.rmdir()
            else:
                path.unlink()

    # Folders

    def mkdir(self, remote_dir: str) -> None:
        """Make one folder."""
        with self._reported("making", remote_dir):
            self._path(remote_dir).mkdir()

    def mkdir_recursive(self, remote_dir: str) -> None:
        """Make a folder and those above it; existing ones are fine."""
        with self._reported("making", remote_dir):
            self._path(remote_dir).mkdir(parents=True, exist_ok=True)

    def delete_recursive(self, remote_path: str) -> None:
        """Delete a folder and all in it; links are removed, not followed."""
        with self._reported("deleting", remote_path):
            path = self._path(remote_path)
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()

    # Helpers

    def _root(self) -> Path:
        root = Path(self.conf.folder).expanduser()
        if self.opts.create:
            root.mkdir(parents=True, exist_ok=True)
        if not root.is_dir():
            raise self._error(f"there is no folder {root}", "check config.folder, or set options.create")
        return root.resolve()

    def _path(self, remote_path: str) -> Path:
        root = self._root()
        path = root / remote_path.strip("/")
        # what a link at the end points to is not asked: it may be renamed or deleted like a file
        if ".." in path.parts or not path.parent.resolve().is_relative_to(root.parent if path == root else root):
            raise self._error(f"{remote_path} leads out of the folder", "name a path inside of it")
        return path

    def _target(self, remote_path: str) -> Path:
        path = self._path(remote_path)
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def _write(self, final: Path, fill: Callable[[BinaryIO], object]) -> None:
        """Write under another name, then rename: nobody ever sees a part under the final name."""
        part = final.with_name(f"{PART}{uuid.uuid4().hex}")
        try:
            with part.open("xb") as file:
                fill(file)
                file.flush()
                os.fsync(file.fileno())
            part.replace(final)
        finally:
            part.unlink(missing_ok=True)

    def _copy(self, source: BinaryIO, target: BinaryIO) -> None:
        stops = self._stops
        while chunk := source.read(CHUNK):
            if self._stops != stops:
                raise self._error("the transfer was interrupted", "the run was being stopped")
            target.write(chunk)

    def _error(self, message: str, fix: str) -> ConnectorError:
        return ConnectorError(f"resource {self.name} ({self.kind}:{self.driver}): {message}", fix=fix)

    @contextmanager
    def _reported(self, action: str, path: str) -> Iterator[None]:
        """Turn what the library raises into an error for people."""
        try:
            yield
        except OSError as error:
            message = f"{action} {path} failed: {error.strerror or error}"
            raise self._error(message, "check the path and the permissions") from error
