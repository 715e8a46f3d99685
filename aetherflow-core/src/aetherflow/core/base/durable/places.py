"""A folder that is held open, in which names are made, replaced and removed: nobody can exchange what leads to it.

A path is looked at when it is allowed, and used later. Until then others who may write one of its folders could
put a link in the place of another one. So a link on the way is followed only if root or the user who runs has made it,
and all effects below happen in the folder that was opened.
"""

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path
from types import TracebackType
from typing import Self

from aetherflow.core.base.durable.failpoint import hit
from aetherflow.core.base.owners import MOST_LINKS, PART, ROOT, require_own

FILE_MODE, FOLDER_MODE = 0o600, 0o700
"""Modes of everything that runs write: only the owner has access."""


@contextlib.contextmanager
def naming(path: Path, name: str = "") -> Iterator[None]:
    """Add the path, or that of a name in it, to an OSError that has none (calls on descriptors), or its last part."""
    try:
        yield
    except OSError as error:
        if isinstance(error.filename, str) and error.filename.startswith("/"):
            raise
        raise OSError(error.errno, error.strerror, str(path / name)) from error


class Folder:
    """An open folder. With `mode`, it and its parents are created if they are missing, each durable in its parent.

    UntrustedError if a link of another user leads there, OSError.
    """

    descriptor = -1

    def __init__(self, path: Path, *, mode: int | None = None) -> None:
        self.path = path.absolute()
        with naming(self.path):
            found = _known(self.path)
            self.descriptor = _walk(self.path, mode) if found is None else found

    def open(self, name: str, flags: int, mode: int = FILE_MODE) -> int:
        """Open a file in it; a link at its name is not followed."""
        with naming(self.path, name):
            return os.open(name, flags | os.O_NOFOLLOW | os.O_CLOEXEC, mode, dir_fd=self.descriptor)

    def rename(self, name: str, target: str, to: "Folder | None" = None) -> None:
        """Rename what stands in it, into another folder if one is given; a file of that name is replaced."""
        to = to or self
        to.require_place()
        with naming(self.path, name):
            os.replace(name, target, src_dir_fd=self.descriptor, dst_dir_fd=to.descriptor)

    def unlink(self, name: str) -> None:
        """Remove a file or link."""
        with naming(self.path, name):
            os.unlink(name, dir_fd=self.descriptor)

    def names(self) -> list[str]:
        """What stands in it, sorted."""
        with naming(self.path), _readable(self.descriptor) as readable:
            return sorted(os.listdir(readable))  # noqa: PTH208 of a descriptor

    def sync(self) -> None:
        """Make what was done in it durable."""
        with naming(self.path), _readable(self.descriptor) as readable:
            os.fsync(readable)

    def require_place(self) -> None:
        """OSError if its path leads to another folder now: what is made here would be found by nobody."""
        if not os.path.samestat(os.fstat(self.descriptor), self.path.stat()):
            raise OSError(errno.ESTALE, "another folder has taken its place meanwhile", str(self.path))

    def close(self) -> None:
        """Close it; what was opened in it stays open."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1

    def __del__(self) -> None:
        self.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


@contextlib.contextmanager
def _readable(folder: int) -> Iterator[int]:
    """A folder opened again to be listed and synced, which a descriptor that only marks a place cannot be."""
    found = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=folder)
    try:
        yield found
    finally:
        os.close(found)


def _known(path: Path) -> int | None:
    """The folder, if Linux tells that it stands at this very path, without a link on the way: no walk is needed."""
    try:
        found = os.open(path, PART & ~os.O_NOFOLLOW | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return None
    with contextlib.suppress(OSError):
        if os.readlink(f"/proc/self/fd/{found}") == str(path):  # noqa: PTH115 a Path costs as much again
            return found
    os.close(found)
    return None


def _walk(path: Path, mode: int | None) -> int:
    """From descriptor to descriptor, each link judged by who made it."""
    todo, links = list(reversed(path.parts[1:])), 0
    here = _root()
    try:
        while todo:
            name = todo.pop()
            try:
                found = os.open(name, PART | os.O_CLOEXEC, dir_fd=here)
            except FileNotFoundError:
                if mode is None:
                    raise
                hit(f"mkdir {name}")
                with contextlib.suppress(FileExistsError):
                    os.mkdir(name, mode, dir_fd=here)
                with _readable(here) as parent:
                    os.fsync(parent)
                todo.append(name)
                continue
            facts = os.fstat(found)
            if not stat.S_ISLNK(facts.st_mode):
                os.close(here)
                here = found
                continue
            try:
                target = _target(name, found, here)
            finally:
                os.close(found)
            links += 1
            if links > MOST_LINKS:
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
            if facts.st_uid not in (ROOT, os.geteuid()):
                require_own(path, "the folder", shared=True)  # others may be trusted as well
            todo += reversed(target.split("/"))
            if target.startswith("/"):
                os.close(here)
                here = _root()
            todo = [each for each in todo if each not in ("", ".")]
        if not stat.S_ISDIR(os.fstat(here).st_mode):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        found, here = here, -1
        return found
    finally:
        if here >= 0:
            os.close(here)


def _root() -> int:
    return os.open("/", PART | os.O_DIRECTORY | os.O_CLOEXEC)


def _target(name: str, link: int, folder: int) -> str:
    """Where a link leads: the one that was judged, where the system can tell, else the one of that name."""
    if hasattr(os, "O_PATH"):
        return os.readlink("", dir_fd=link)
    return os.readlink(name, dir_fd=folder)


def open_to_read(path: Path) -> BufferedReader:
    """Open a regular file for reading, whatever stands there now: no link at its name, and none of another user above.

    OSError with ELOOP for a link, and with EINVAL for what is no file; UntrustedError.
    """
    with Folder(path.parent) as folder:
        found = folder.open(path.name, os.O_RDONLY | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(found).st_mode):
        os.close(found)
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    return os.fdopen(found, "rb")
