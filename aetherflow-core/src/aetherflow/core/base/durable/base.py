"""Shared by the modules of this package: modes, names of unfinished writes, creating and syncing folders."""

import contextlib
import os
import re
import secrets
from collections.abc import Iterator
from pathlib import Path

from aetherflow.core.base.durable.failpoint import hit

PART_PREFIX, PART_SUFFIX = ".aetherflow-", ".part"
"""Start and end of the names of unfinished writes; leftovers of a crash match both."""
FOLDER_MODE, FILE_MODE = 0o700, 0o600
"""Modes of everything that runs write: only the owner has access."""
SOURCE_FOLDER_MODE, SOURCE_FILE_MODE = 0o755, 0o644
"""Modes of files that a person creates with a command, to edit; a project file writable by others is refused."""


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """Add the path to an OSError without one (calls on descriptors), or with only its last part (rmtree)."""
    try:
        yield
    except OSError as error:
        if isinstance(error.filename, str) and error.filename.startswith("/"):
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error


def sync_path(path: Path, flags: int = 0) -> None:
    """Fsync the file or folder at a path."""
    descriptor = os.open(path, os.O_RDONLY | flags)
    try:
        with naming(path):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_dir(path: Path) -> None:
    """Make renames and creations inside a folder durable."""
    sync_path(path, os.O_DIRECTORY)


def sync_file(path: Path) -> None:
    """Make the content of a finished file durable."""
    hit(f"fsync {path.name}")
    sync_path(path)


def make_dir(path: Path, *, mode: int = FOLDER_MODE) -> None:
    """Create a folder and its parents, each one durable in its parent."""
    missing = []
    while not path.is_dir():
        missing.append(path)
        if path.parent == path:
            break
        path = path.parent
    for folder in reversed(missing):
        hit(f"mkdir {folder.name}")
        with contextlib.suppress(FileExistsError):
            folder.mkdir(mode=mode)
        sync_dir(folder.parent)


def part_of(final: Path) -> Path:
    """A temporary name beside `final`, cut so that it stays within the file system's 255 bytes."""
    return final.with_name(f"{hidden_stem(final)}.{secrets.token_hex(6)}{PART_SUFFIX}")


def parts_of(final: Path) -> list[Path]:
    """The leftovers of unfinished writes of `final`, sorted."""
    shape = re.compile(re.escape(hidden_stem(final)) + r"\.[0-9a-f]{12}" + re.escape(PART_SUFFIX))
    return sorted(path for path in final.parent.iterdir() if shape.fullmatch(path.name))


def hidden_stem(final: Path) -> str:
    """The common prefix of the names of all unfinished writes of `final`."""
    return PART_PREFIX + final.name.encode(errors="surrogateescape")[:120].decode(errors="ignore")


def is_part(path: Path) -> bool:
    """True for the name of an unfinished write."""
    return path.name.startswith(PART_PREFIX) and path.name.endswith(PART_SUFFIX)
