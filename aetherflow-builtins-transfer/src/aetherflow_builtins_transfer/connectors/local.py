"""The drivers `sftp:local` and `smb:local`: a local folder instead of a server, for development."""

import os
import stat as modes
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from pydantic import Field

from aetherflow.core.api import ConnectorConfig, EntryKind, PlainText, RemoteEntry, WritePath
from aetherflow_builtins_transfer.connectors.files.connector import (
    FileOptions,
    OptionsT,
    PooledFiles,
    SetsPermissions,
)
from aetherflow_builtins_transfer.connectors.files.session import FileSession, Read, Write
from aetherflow_builtins_transfer.connectors.smb.paths import SharePath, is_name, parse
from aetherflow_builtins_transfer.failures import Fault, RemoteError, one_line, os_fault
from aetherflow_builtins_transfer.paths import private_folder


class Config(ConnectorConfig):
    root: WritePath = Field(
        min_length=1,
        description="Folder that replaces the server, relative to `<workspace.root>/<flow id>`; created if missing.",
    )


class LocalSmbConfig(Config):
    """The folder, and the share for paths without one."""

    share: PlainText | None = Field(None, min_length=1, description="Default share: a folder below `root`.")


class Options(FileOptions):
    """The options of a connector to a real server."""


class LocalSession(FileSession):
    """Files below one folder. PermissionError for a link that leads out of it."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def _in(self, path: str, *, follow: bool = True) -> Path:
        place = self._root.joinpath(*[part for part in path.split("/") if part not in ("", ".")])
        checked = place if follow else place.parent
        if not checked.resolve().is_relative_to(self._root):
            raise PermissionError(1, "a link leads out of the folder that stands for the server", path)
        return place

    def entries(self, folder: str) -> list[RemoteEntry]:
        with os.scandir(self._in(folder)) as found:
            return [_entry(each.name, each.stat(follow_symlinks=False)) for each in found]

    def stat(self, path: str, *, follow: bool = True) -> RemoteEntry:
        place = self._in(path, follow=follow)
        return _entry(place.name, place.stat(follow_symlinks=follow))

    def fetch(self, path: str, offset: int, limit: int | None, write: Write) -> None:
        with self._in(path).open("rb") as file:
            file.seek(offset)
            while data := file.read(self.chunk if limit is None else min(limit, self.chunk)):
                write(data)
                limit = None if limit is None else limit - len(data)

    def store(self, path: str, offset: int, read: Read) -> None:
        flags = os.O_WRONLY | os.O_CREAT | (0 if offset else os.O_TRUNC)
        with os.fdopen(os.open(self._in(path), flags, 0o600), "wb", 0) as file:
            file.seek(offset)
            while data := read(self.chunk):
                file.write(data)
            os.fsync(file.fileno())

    def rename(self, old: str, new: str, *, replace: bool) -> None:
        source, target = self._in(old, follow=False), self._in(new, follow=False)
        if replace:
            source.replace(target)
        else:
            os.link(source, target, follow_symlinks=False)  # the only call that refuses an existing name
            source.unlink()

    def remove(self, path: str) -> None:
        self._in(path, follow=False).unlink()

    def mkdir(self, path: str) -> None:
        self._in(path).mkdir(mode=0o700)

    def rmdir(self, path: str) -> None:
        self._in(path, follow=False).rmdir()

    def set_mtime(self, path: str, mtime: float) -> None:
        os.utime(self._in(path), (mtime, mtime))

    def chmod(self, path: str, mode: int) -> None:
        self._in(path).chmod(mode)

    def alive(self) -> bool:
        return True

    def close(self) -> None:
        """Do nothing: no handle is kept between calls."""


def _entry(name: str, found: os.stat_result) -> RemoteEntry:
    kind: EntryKind = "other"
    if modes.S_ISDIR(found.st_mode):
        kind = "folder"
    elif modes.S_ISLNK(found.st_mode):
        kind = "link"
    elif modes.S_ISREG(found.st_mode):
        kind = "file"
    return RemoteEntry(name, kind, found.st_size, found.st_mtime)


ConfigT = TypeVar("ConfigT", bound=Config)


class LocalShareSession(LocalSession):
    """Local folders as shares, which come into being with what is made in them. Files have no permission bits."""

    chmod = FileSession.chmod

    def mkdir(self, path: str) -> None:
        self._share(path)
        super().mkdir(path)

    def store(self, path: str, offset: int, read: Read) -> None:
        self._share(path)
        super().store(path, offset, read)

    def _share(self, path: str) -> None:
        self._in("/" + path.strip("/").partition("/")[0]).mkdir(mode=0o700, exist_ok=True)


class LocalFolderFiles(PooledFiles[ConfigT, OptionsT]):
    """The base class of both local drivers."""

    SESSION: type[LocalSession] = LocalSession

    def local_places(self) -> Sequence[Path]:
        return [self._root]

    @property
    def _root(self) -> Path:
        # no handle in it is kept between calls
        given = Path(self.conf.root).expanduser()
        if not given.is_absolute() and self.ctx is not None:
            given = Path(self.ctx.database_path(str(given)))
        return given.resolve()

    @property
    def peer(self) -> str:
        return str(self._root)

    def open_session(self) -> FileSession:
        """Open a session on the folder, which is created if missing."""
        root = self._root
        try:
            private_folder(root)
        except OSError as error:
            raise self.error(
                "denied", f"the folder {root} cannot be made: {one_line(error)}", "check config.root"
            ) from error
        return self.SESSION(root)

    def probe(self) -> None:
        self.reach(lambda session: session.stat("/"))

    def explain(self, error: BaseException) -> Fault:
        """Classify an error of the operating system."""
        if isinstance(error, RemoteError):
            return Fault(error.kind, str(error))
        if isinstance(error, OSError):
            return os_fault(error)
        return Fault("other", f"{type(error).__name__}: {one_line(error)}")


class SftpLocal(LocalFolderFiles[Config, Options], SetsPermissions[Config, Options]):
    """A local folder instead of an SFTP server, for development: the same contract, without network.

        resources:
          partner: {kind: sftp, driver: local, config: {root: partner}}

    Absolute and relative paths both start in `config.root`.
    """

    def at(self, path: str) -> str:
        """The path below the folder; RemoteError for `..`."""
        parts = [part for part in path.split("/") if part not in ("", ".")]
        if ".." in parts or "\0" in path:
            raise self.error("other", f"not a usable path: {path!r}", "give it without '..'")
        return "/" + "/".join(parts)


class SmbLocal(LocalFolderFiles[LocalSmbConfig, Options]):
    """A local folder instead of an SMB server, for development; its subfolders are the shares.

        resources:
          partner: {kind: smb, driver: local, config: {root: partner, share: data}}

    Paths have all forms of `smb:smbclient`; the host name is ignored.
    """

    SESSION = LocalShareSession

    def at(self, path: str) -> str:
        r"""The path below the folder; its first part is the share."""
        if not path and self.conf.share is None:
            return "/"
        return self._place(parse(path, self.conf.share, None, self.label))

    def split(self, path: str) -> tuple[str, str]:
        """The folder as a UNC path, and the name; the host is none."""
        if not path and self.conf.share is None:
            return "", ""
        found = parse(path, self.conf.share, None, self.label)
        folder = SharePath(found.share, found.parts[:-1]).unc("local")
        return folder, found.parts[-1] if found.parts else ""

    def can_name(self, name: str) -> bool:
        """False for names that are not valid in SMB."""
        return is_name(name)

    @staticmethod
    def _place(found: SharePath) -> str:
        return "/" + "/".join([found.share, *found.parts])
