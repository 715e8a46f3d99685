"""The bundle source `filesystem`: a local or mounted folder."""

import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from pydantic import Field

from aetherflow.core.api import BundleSource, BundleSourceConfig, ConnectorError, ReadPath, RemoteFileMeta


class Config(BundleSourceConfig):
    base_path: ReadPath = Field(
        min_length=1, description="Folder that holds the bundle; a relative one is beside the manifest."
    )


class FilesystemSource(BundleSource[Config]):
    """Takes a bundle from a folder. Links are refused: what they lead to is not part of the folder.

    Example:
        source:
          type: filesystem
          base_path: ../release
    """

    folder_key = "base_path"

    @property
    def base(self) -> Path:
        return self.root / self.conf.base_path

    def list(self) -> Iterator[RemoteFileMeta]:
        """Every regular file below the folder, with size and time."""
        yield from self._below(self.base, "")

    def _below(self, folder: Path, prefix: str) -> Iterator[RemoteFileMeta]:
        try:
            with os.scandir(folder) as found:
                entries = sorted(found, key=lambda entry: entry.name)
            for entry in entries:
                rel_path = prefix + entry.name
                facts = entry.stat(follow_symlinks=False)
                if stat.S_ISDIR(facts.st_mode):
                    yield from self._below(Path(entry.path), f"{rel_path}/")
                elif stat.S_ISREG(facts.st_mode):
                    yield RemoteFileMeta(
                        rel_path=rel_path, path=entry.path, name=entry.name, size=facts.st_size, mtime=facts.st_mtime
                    )
                else:
                    what = "a link" if stat.S_ISLNK(facts.st_mode) else "neither a file nor a folder"
                    message = f"bundle source filesystem: {entry.path} is {what}, which a bundle cannot hold"
                    raise ConnectorError(message, fix="put a copy in its place, or take it out of the folder")
        except OSError as error:
            raise self._failed(error) from error

    def revision(self) -> str | None:
        """A hash of all names, sizes and times; None if there is an entry that the listing refuses."""
        base = str(self.base)
        pending, lines = [base], []
        try:
            while pending:
                folder = pending.pop()
                with os.scandir(folder) as found:
                    for entry in found:
                        facts = entry.stat(follow_symlinks=False)
                        if stat.S_ISREG(facts.st_mode):
                            lines.append(f"{entry.path}\0{facts.st_size}\0{facts.st_mtime_ns}")
                        elif stat.S_ISDIR(facts.st_mode):
                            pending.append(entry.path)
                        else:
                            return None
        except OSError as error:
            raise self._failed(error) from error
        lines.sort()
        return hashlib.sha256("\n".join(lines).encode(errors="surrogateescape")).hexdigest()

    def fetch(self, rel_path: str, target: BinaryIO) -> None:
        self.refuse_path(rel_path)
        try:
            fd = os.open(self.base / rel_path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            with os.fdopen(fd, "rb") as source:
                left = os.fstat(fd).st_size  # a file that grows meanwhile is read up to here
                while data := source.read(min(left, 1 << 20)):
                    left -= target.write(data)
        except OSError as error:
            raise self._failed(error) from error

    def _failed(self, error: OSError) -> ConnectorError:
        where = error.filename or self.base
        message = f"bundle source filesystem: {where}: {error.strerror or error}"
        return ConnectorError(message, fix=f"look at bundle.source.base_path; it means {self.base.absolute()}")
