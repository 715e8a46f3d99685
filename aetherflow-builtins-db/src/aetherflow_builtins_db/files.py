"""Paths and permissions of database files; new files and folders are private to this user."""

import os
from pathlib import Path
from typing import Any

from aetherflow.core.api import ConnectorBase

_FOLDER_MODE, _FILE_MODE = 0o700, 0o600


def is_memory(path: str) -> bool:
    """Whether the path names a database in memory."""
    return path.startswith(":memory:")


def database_file(connector: ConnectorBase[Any, Any], path: str) -> Path:
    """The absolute path of a database file; the run resolves a relative path."""
    return Path(connector.ctx.database_path(path) if connector.ctx else path).expanduser().absolute()


def local_file(connector: ConnectorBase[Any, Any], path: str) -> str:
    """The absolute path of a key or certificate; a relative path is relative to the flow file."""
    file = Path(path).expanduser()
    if not file.is_absolute() and connector.ctx is not None:
        file = Path(getattr(connector.ctx, "asset_path", Path)(path))
    return str(file.absolute())


def make_parents(file: Path) -> None:
    """Create the missing folders above a file, private to this user."""
    missing = []
    folder = file.parent
    while not folder.exists():
        missing.append(folder)
        folder = folder.parent
    for each in reversed(missing):
        each.mkdir(mode=_FOLDER_MODE, exist_ok=True)


def create_private(file: Path) -> None:
    """Create an empty file with mode 0600 unless it exists; others can read it at no time."""
    try:
        os.close(os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, _FILE_MODE))
    except FileExistsError:
        pass


def make_private(file: Path) -> None:
    """Set mode 0600 on a file."""
    file.chmod(_FILE_MODE)


def cannot_create(file: Path) -> str | None:
    """The reason why a file cannot be created, found without creating it; None if it can."""
    folder = next(each for each in file.parents if each.exists())
    if not folder.is_dir():
        return f"{folder} is not a folder"
    return None if os.access(folder, os.W_OK | os.X_OK) else f"{folder} cannot be written by this user"
