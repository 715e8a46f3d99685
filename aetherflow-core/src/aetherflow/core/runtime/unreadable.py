"""Which files of a state root cannot be read."""

import os
import shlex
import sqlite3
from collections.abc import Iterable
from functools import partial
from pathlib import Path

from aetherflow.core.base import durable
from aetherflow.core.base.engine_files import REGISTRY, STORES, engine_folder
from aetherflow.core.base.errors import StateError
from aetherflow.core.kernel.state.unusable import DAMAGE, newer, schema_of, unreadable
from aetherflow.core.records.reading import HEADER, read_store
from aetherflow.core.records.registry_file import read_registry
from aetherflow.core.records.registry_tables import SCHEMA_VERSION
from aetherflow.core.runtime.workspace.places import default_state_root

INDEX, VARIABLE = "registry of runs", "AETHERFLOW_STATE_ROOT"


def unreadable_in(root: Path) -> dict[Path, StateError]:
    """File or folder to why it cannot be read; nothing for the default root where it is not there yet.

    The next run builds a damaged registry again; until then the state files say all but refused starts.
    """
    if durable.server_at(root) is not None:
        return {}
    try:
        names = os.listdir(root)  # noqa: PTH208 a name is enough
    except FileNotFoundError:
        named = os.environ.get(VARIABLE) or root != default_state_root(None, os.environ)
        return {root: _missing(root)} if named else {}
    except OSError as error:
        return {root: unreadable(root, error, "state root")}
    folder = engine_folder(root)
    path, own = folder / REGISTRY, STORES if folder == root else ()
    if durable.is_there(path):
        try:
            version = read_registry(root, lambda db: db.schema_version())
            return {path: newer(INDEX, path, version, SCHEMA_VERSION)} if version > SCHEMA_VERSION else {}
        except (sqlite3.Error, OSError) as error:
            if getattr(error, "sqlite_errorcode", 0) & 0xFF not in DAMAGE:
                return {path: unreadable(path, error, INDEX)}
    found = {}
    for name in sorted(names):
        if name.endswith(".sqlite") and name not in own:
            try:
                with (root / name).open("rb") as file:
                    file.read(len(HEADER))
            except OSError as error:
                found[root / name] = unreadable(root / name, error)
    return found


def require_readable(root: Path, states: Iterable[Path] = ()) -> None:
    """Raise the StateError of the first file or folder under a state root, or of these states, that cannot be read.

    A state that isn't there, or is of an older version, is no error: the next run makes or migrates it.
    """
    for error in unreadable_in(root).values():
        raise error
    for path in states:
        try:
            if durable.is_there(path):
                read_store(path, partial(schema_of, path=path))
        except FileNotFoundError:  # there is a server, and no state in it yet
            pass
        except (sqlite3.Error, OSError) as error:
            raise unreadable(path, error) from error


def as_rows(root: Path) -> list[dict[str, str | None]]:
    """Return the files and folders that cannot be read as `--json` shows them."""
    return [
        {"state_path": str(path), "error": str(error), "fix": error.fix} for path, error in unreadable_in(root).items()
    ]


def _missing(root: Path) -> StateError:
    setting = VARIABLE if os.environ.get(VARIABLE) else "the project file"
    there = next(parent for parent in root.parents if parent.exists())
    commands = [shlex.join(["ls", "-l", str(there)]), shlex.join(["mkdir", "-p", "-m", "700", str(root)])]
    message = f"state root {root}: there is no such folder; {setting} names it"
    return StateError(message, fix="correct the name, or create the folder", commands=commands)
