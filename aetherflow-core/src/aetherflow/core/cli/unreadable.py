"""Which files of a state root cannot be read."""

import os
import sqlite3
from pathlib import Path

from aetherflow.core.base import durable
from aetherflow.core.base.errors import StateError
from aetherflow.core.kernel.state.reading import HEADER, why_unreadable
from aetherflow.core.kernel.state.registry_file import NAME, read_registry
from aetherflow.core.kernel.state.registry_tables import SCHEMA_VERSION

_DAMAGE = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
"""The next run builds a damaged registry again; until then the state files say all but refused starts."""


def unreadable_in(root: Path, config: Path | None) -> dict[Path, StateError]:
    """File or folder to why it cannot be read; nothing for the default root where it is not there yet."""
    if durable.server_at(root) is not None:
        return {}
    try:
        names = os.listdir(root)  # noqa: PTH208 a name is enough
    except FileNotFoundError:
        fix = "correct the name of the state root, or create the folder"
        return {root: StateError(f"state root {root}: there is no such folder", fix=fix)} if _is_named(config) else {}
    except OSError as error:
        return {root: StateError(f"state root {root}: {error.strerror}", fix="check the path and its permissions")}
    path = root / NAME
    if NAME in names:
        try:
            version = read_registry(root, lambda db: db.schema_version())
            if version <= SCHEMA_VERSION:
                return {}
            newer = f"registry of runs {path}: it has schema {version}, this engine knows up to {SCHEMA_VERSION}"
            return {path: StateError(newer, fix="update aetherflow-core")}
        except (sqlite3.Error, OSError) as error:
            if getattr(error, "sqlite_errorcode", 0) & 0xFF not in _DAMAGE:
                reason, fix = why_unreadable(path, error)
                return {path: StateError(f"registry of runs {path}: {reason}", fix=fix)}
    found = {}
    for name in sorted(names):
        if name.endswith(".sqlite") and name not in (NAME, "locks.sqlite", "notify.sqlite"):
            try:
                with (root / name).open("rb") as file:
                    file.read(len(HEADER))
            except OSError as error:
                reason, fix = why_unreadable(root / name, error)
                found[root / name] = StateError(f"state file {root / name}: {reason}", fix=fix)
    return found


def as_rows(root: Path, config: Path | None) -> list[dict[str, str | None]]:
    """Return the files and folders that cannot be read as `--json` shows them."""
    return [
        {"state_path": str(path), "error": str(error), "fix": error.fix}
        for path, error in unreadable_in(root, config).items()
    ]


def _is_named(config: Path | None) -> bool:
    from aetherflow.core.runtime.environment.project_file import find_project

    return config is not None or bool(os.environ.get("AETHERFLOW_STATE_ROOT")) or find_project(Path.cwd()) is not None
