"""Shared by the modules of this package: names of unfinished writes, creating and syncing folders."""

import hashlib
import os
import re
import secrets
from pathlib import Path

from aetherflow.core.base.durable.failpoint import hit
from aetherflow.core.base.durable.places import FOLDER_MODE, Folder, naming

PART_PREFIX, PART_SUFFIX = ".aetherflow-", ".part"
"""Start and end of the names of unfinished writes; leftovers of a crash match both."""
_NAME_BYTES = 120
"""Bytes of a longer name that the names of its unfinished writes hold; their hash takes 17, key and suffix the rest."""
SOURCE_FOLDER_MODE, SOURCE_FILE_MODE = 0o755, 0o644
"""Modes of files that a person creates with a command, to edit; a project file writable by others is refused."""


def sync_dir(path: Path) -> None:
    """Make renames and creations inside a folder durable."""
    with Folder(path) as folder:
        folder.sync()


def sync_file(path: Path) -> None:
    """Make the content of a finished file durable."""
    hit(f"fsync {path.name}")
    with Folder(path.parent) as folder:
        sync_in(folder, path.name)


def sync_in(folder: Folder, name: str) -> None:
    """Make the content of a finished file in an open folder durable."""
    descriptor = folder.open(name, os.O_RDONLY)
    try:
        with naming(folder.path, name):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_dir(path: Path, *, mode: int = FOLDER_MODE) -> None:
    """Create a folder and its parents, each one durable in its parent."""
    if not path.is_dir():
        Folder(path, mode=mode).close()


def part_of(final: Path) -> Path:
    """A temporary name in the folder of `final`, within the file system's 255 bytes."""
    return final.with_name(f"{stems_of(final)[0]}.{secrets.token_hex(6)}{PART_SUFFIX}")


def parts_of(final: Path, folder: Folder) -> list[str]:
    """The leftovers of unfinished writes of `final`, in its folder."""
    shape = re.compile(re.escape(stems_of(final)[0]) + r"\.[0-9a-f]{12}" + re.escape(PART_SUFFIX))
    return [name for name in folder.names() if shape.fullmatch(name)]


def stems_of(final: Path) -> list[str]:
    """The prefix of the names of all unfinished writes of `final`, and of no other file in its folder.

    A name that is cut has its hash in it, and is longer than any that is not cut. For such a name also the prefix
    before 1.1, which several names share: only who looks at locks may remove a file by it.
    """
    name = final.name.encode(errors="surrogateescape")
    stem = PART_PREFIX + name[:_NAME_BYTES].decode(errors="ignore")
    if len(name) <= _NAME_BYTES:
        return [stem]
    return [f"{stem}~{hashlib.sha256(name).hexdigest()[:16]}", stem]


def is_part(path: Path) -> bool:
    """True for the name of an unfinished write."""
    return path.name.startswith(PART_PREFIX) and path.name.endswith(PART_SUFFIX)
