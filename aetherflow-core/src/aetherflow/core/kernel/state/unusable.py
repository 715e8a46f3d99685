"""Files and servers that cannot be used as a state: what is wrong, and what to do."""

import os
import shlex
import sqlite3
from itertools import count
from pathlib import Path

from aetherflow.core.base import durable
from aetherflow.core.base.errors import StateError
from aetherflow.core.base.owners import user_name
from aetherflow.core.base.typed import by_release, command_line, typed_here
from aetherflow.core.kernel.state.schema import SCHEMA_VERSION

DAMAGE = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
"""The only SQLite error codes that mean damage; others mean contention, no space, no permission, another schema."""


def unreadable(path: Path, error: Exception, what: str = "state file") -> StateError:
    """The StateError for a file or folder that cannot be read, with the commands that help."""
    if (server := durable.server_at(path)) is not None:
        return unreachable(server, f"the {what.removesuffix(' file')} in {path} cannot be read: {error}")
    real, place = durable.real_file(path), f"{what} {path}"
    damaged = getattr(error, "sqlite_errorcode", 0) & 0xFF in DAMAGE
    is_folder = os.path.isdir(real)  # noqa: PTH112 is_dir raises on EACCES
    if what not in ("state file", "state root") and (damaged or is_folder):
        why = "it is a folder" if is_folder else error
        return StateError(f"{place}: {why}", fix="move it away; a new one is made", commands=[aside(path)])
    if isinstance(error, FileNotFoundError):
        return StateError(f"{place}: {error.strerror or error}", fix="check the path")
    # SQLite reports a full disk and no permission alike
    denied = _denied(real) or (real if isinstance(error, PermissionError) else None)
    if denied is not None:
        message = f"{place}: permission denied: {user_name(os.geteuid())} cannot read {denied}"
        command = f"namei -l {shlex.quote(str(denied))}"
        return StateError(message, fix="type it as the owner, or let this user read it", commands=[command])
    if isinstance(error, sqlite3.OperationalError | OSError) and _is_full(real.parent):
        command = f"df -h {shlex.quote(str(real.parent))}"
        return StateError(f"{place}: disk full", fix="free space on this disk", commands=[command])
    if damaged and what == "state file":
        command = typed_here("state", "restore", str(path), "--from", "FILE")
        return StateError(f"{place}: {error}", fix="restore a backup of it", commands=[command])
    return StateError(f"{place}: {getattr(error, 'strerror', None) or error}", fix="check the path and the disk")


def unreachable(server: durable.StoreServer, message: str) -> StateError:
    """The StateError for a server that cannot be used, with the command that shows why."""
    project = getattr(server, "project", "")  # a program that opens a backend by itself has none
    commands = [command_line("doctor", project, "--connect")] if project else []
    return StateError(message, fix="check the server, and its resource", commands=commands)


def aside(path: Path) -> str:
    """Return the command that moves a database away with its side files, which would change a new one."""
    real = durable.real_file(path)
    names = (f"{real}.damaged" + f"-{number}" * (number > 1) for number in count(1))
    target = next(name for name in names if not os.path.lexists(name))
    files = [name for name in (f"{real}{ending}" for ending in ("", *durable.BESIDE)) if os.path.lexists(name)]
    return f"mkdir -m 700 {shlex.quote(target)} && {shlex.join(['mv', *files, target])}"


def newer(what: str, path: Path, version: int, known: int) -> StateError:
    """The StateError for a store of a newer engine."""
    return of_newer_engine(f"{what} {path} has schema {version}, this engine knows up to {known}")


def of_newer_engine(message: str) -> StateError:
    """The StateError for anything that a newer engine has written."""
    return StateError(message, fix="install the release that wrote it", commands=[by_release(release="newer release")])


def _denied(path: Path) -> Path | None:
    """The first part of a path that this account cannot enter or read."""
    for part in (*reversed(path.parents), path):
        wanted = (os.X_OK if part.is_dir() else 0) | (os.R_OK if part == path else 0)
        if not os.access(part, wanted):
            return part if part.exists() else None
    return None


def _is_full(folder: Path) -> bool:
    try:
        return os.statvfs(folder).f_bavail == 0
    except OSError:
        return False


def schema_of(db: durable.Database, path: Path) -> int:
    """The schema of a state file, 0 for an empty database.

    Raises StateError for a file of a newer engine, of version 0.x, and of another program.
    """
    # tables before the version that counts: another process may create both meanwhile, and that is no file of 0.x
    tables = set[str]() if db.schema_version() else db.tables()
    version = db.schema_version()
    if version > SCHEMA_VERSION:
        raise newer("state file", path, version, SCHEMA_VERSION)
    if not version and {"job_runs", "step_runs"} <= tables:
        message = f"{path} is a state file of AetherFlow 0.x, whose runs cannot be shown or resumed any more"
        raise StateError(message, fix="name a new file in flow.state.path; this one stays as it is")
    if not version and tables:
        raise StateError(f"{path} is a database that AetherFlow did not create", fix="name another flow.state.path")
    return version


def require_schema(db: durable.Database, path: Path, wanted: int) -> None:
    """Raise StateError unless the file has the schema `wanted`."""
    if (version := schema_of(db, path)) == wanted:
        return
    if version == 0:
        raise StateError(f"{path} is no state file of AetherFlow", fix="name another file")
    message = f"state file {path} has the older schema {version}"
    raise StateError(message, fix=f"aetherflow state migrate {shlex.quote(str(path))}")
