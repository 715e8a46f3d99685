"""The bundle source `archive`: a local zip or tar file. Members are read one by one, never extracted."""

import contextlib
import shutil
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from pydantic import Field

from aetherflow.core.api import BundleSource, BundleSourceConfig, ConnectorError, PlainText, ReadPath, RemoteFileMeta

CHUNK = 1 << 20


class Config(BundleSourceConfig):
    base_path: ReadPath = Field(
        min_length=1,
        description="The archive, zip or tar (plain, gz, bz2, xz); a relative path is beside the manifest.",
    )
    folder: PlainText = Field("", description="Folder in the archive that holds the bundle; default: all of it.")


class ArchiveSource(BundleSource[Config]):
    """Takes a bundle from a zip or tar file. Links and devices are refused; encrypted members cannot be read.

    Example:
        source:
          type: archive
          base_path: ../nightly-1.4.2.tar.gz
          folder: nightly-1.4.2
    """

    _zip: zipfile.ZipFile | None = None
    _tar: tarfile.TarFile | None = None

    def list(self) -> Iterator[RemoteFileMeta]:
        """Every file in the folder, with its size. The archive is opened again for each listing."""
        self.close()
        with self._explained():
            self._open()
            for name, size, kind in self._members():
                rel_path = self._inside(name)
                if rel_path is None or kind == "folder":
                    continue
                if kind != "file":
                    message = f"bundle source archive: {name} is {kind}, which a bundle cannot hold"
                    raise ConnectorError(message, fix="pack a copy of what it leads to")
                # mtime is that of the archive, since times of members are arbitrary
                yield RemoteFileMeta(rel_path=rel_path, name=Path(name).name, size=size, mtime=self._changed())

    def revision(self) -> str | None:
        """Path, inode, size and time of the archive, and the folder in it."""
        with self._explained():
            facts = self._path.stat()
        return f"{self._path.absolute()} {facts.st_ino} {facts.st_size} {facts.st_mtime_ns} {self._prefix}"

    def fetch(self, rel_path: str, target: BinaryIO) -> None:
        self.refuse_path(rel_path)
        name = f"{self._prefix}{rel_path}"
        with self._explained():
            self._open()
            if self._zip is not None:
                with self._zip.open(self._zip_name(name)) as source:
                    shutil.copyfileobj(source, target, CHUNK)
            elif self._tar is not None:
                found = self._tar.extractfile(self._tar_name(name))
                if found is None:
                    raise KeyError(name)
                shutil.copyfileobj(found, target, CHUNK)

    def close(self) -> None:
        for each in (self._zip, self._tar):
            if each is not None:
                each.close()
        self._zip = self._tar = None

    @property
    def _path(self) -> Path:
        return self.root / self.conf.base_path

    @property
    def _prefix(self) -> str:
        folder = self.conf.folder.strip("/")
        return f"{folder}/" if folder else ""

    def _changed(self) -> float:
        return self._path.stat().st_mtime

    def _open(self) -> None:
        if self._zip is not None or self._tar is not None:
            return
        if zipfile.is_zipfile(self._path):
            self._zip = zipfile.ZipFile(self._path)
        else:
            self._tar = tarfile.open(self._path)  # noqa: SIM115 until close()

    def _members(self) -> Iterator[tuple[str, int, str]]:
        if self._zip is not None:
            for info in self._zip.infolist():
                mode = info.external_attr >> 16 & 0o170000
                kind = "folder" if info.is_dir() else "a link" if mode == 0o120000 else "file"
                yield info.filename, info.file_size, kind
        elif self._tar is not None:
            for member in self._tar:
                kind = "file" if member.isfile() else "folder" if member.isdir() else "a link or a device"
                yield member.name.removeprefix("./"), member.size, kind

    def _inside(self, name: str) -> str | None:
        """The path in the bundle; None for a member outside of the folder."""
        return name.removeprefix(self._prefix) if name.startswith(self._prefix) and name != self._prefix else None

    def _zip_name(self, name: str) -> str:
        if self._zip is None or name not in self._zip.NameToInfo:
            raise KeyError(name)
        return name

    def _tar_name(self, name: str) -> tarfile.TarInfo:
        assert self._tar is not None  # noqa: S101 checked by the caller
        try:
            return self._tar.getmember(name)
        except KeyError:
            return self._tar.getmember(f"./{name}")

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        fix = f"look at bundle.source.base_path; it means {self._path.absolute()}"
        try:
            yield
        except KeyError as error:
            message = f"bundle source archive: {self._path} has no file {error.args[0]!r}"
            raise ConnectorError(message, fix="sync again: the archive may have been replaced") from error
        except (OSError, EOFError, RuntimeError, tarfile.TarError, zipfile.BadZipFile, NotImplementedError) as error:
            if isinstance(error, ConnectorError):
                raise
            reason = getattr(error, "strerror", None) or str(error)
            raise ConnectorError(f"bundle source archive: {self._path}: {reason}", fix=fix) from error
