"""Checks of the host: writable folders, a local file system for the state, a plausible clock."""

import os
import time
from pathlib import Path

from aetherflow.core.base.engine_files import NOTIFY, engine_folder
from aetherflow.core.base.errors import StateError
from aetherflow.core.base.location import Location
from aetherflow.core.base.problems import Problem

NETWORK = (
    "afs",
    "beegfs",
    "ceph",
    "cifs",
    "davfs",
    "gpfs",
    "lustre",
    "ncpfs",
    "nfs",
    "ocfs2",
    "smb",
    "sshfs",
    "webdav",
)
DAY = 86_400
FIRST_SECOND = 1_735_689_600
"""2025-01-01; a clock before it is wrong, since this program is newer."""


def check_place(path: Path, what: str, at: Location) -> list[Problem]:
    """Whether a folder, or the first existing one above it, can be written; nothing is created."""
    existing = nearest_existing(path)
    if not existing.is_dir():
        why = f"{existing} is not a folder"
    elif not os.access(existing, os.W_OK | os.X_OK):
        why = f"{existing} cannot be written by this user"
    else:
        return []
    fix = "correct the path, or the permissions of that folder"
    return [Problem("AF6002", f"{what} {path} cannot be used: {why}", at, code="host:not_writable", fix=fix)]


def check_state_file(path: Path, at: Location) -> list[Problem]:
    """Whether the state file, or its folder, can be written and is on a local file system."""
    try:
        there = path.is_file()
    except OSError as error:
        from aetherflow.core.kernel.state.unusable import unreadable  # as in `_unusable`

        return [state_problem(unreadable(path, error), at)]
    if there and not os.access(path, os.R_OK | os.W_OK):
        message = f"state file {path} cannot be read and written by this user"
        problems = [Problem("AF6002", message, at, code="host:not_writable", fix="correct its permissions")]
    else:
        problems = _unusable(path, at) if there else check_place(path.parent, "state folder", at)
    if (kind := network_kind(path, mounts())) is not None:
        message = f"state file {path} is on a network file system ({kind}), whose locks cannot be relied on"
        fix = "move flow.state.path or AETHERFLOW_STATE_ROOT to a local disk"
        problems.append(Problem("AF6001", message, at, code="host:network_state", fix=fix, severity="warning"))
    return problems


def _unusable(path: Path, at: Location) -> list[Problem]:
    import sqlite3  # a driver, too, which is imported only where there is a file

    from aetherflow.core.kernel.state.unusable import schema_of, unreadable
    from aetherflow.core.records.reading import read_any

    try:
        read_any(path, lambda db: schema_of(db, path))
    except (sqlite3.Error, OSError) as error:
        return [state_problem(unreadable(path, error), at)]
    except StateError as error:
        return [state_problem(error, at)]
    return []


def check_stores(root: Path, locks: Path, at: Location) -> list[Problem]:
    """Whether the stores of notifications and locks can be read and written."""
    folder = engine_folder(root)
    if not any(map(os.path.lexists, (folder / NOTIFY, folder / f"{NOTIFY}.d", locks))):
        return []
    from aetherflow.core.checks.stores import unusable_stores  # SQLite, a driver, too

    return [state_problem(error, at) for error in unusable_stores(root, locks, whole=True).values()]


def state_problem(error: StateError, at: Location) -> Problem:
    """Return the finding for a store that cannot be used."""
    return Problem(error.code, error.message, at, code="host:state", fix=error.fix)


def check_clock(witness: Path, at: Location, now: float | None = None) -> list[Problem]:
    """Whether the clock is plausible: not before 2025, and not a day behind the mtime of `witness`."""
    now = time.time() if now is None else now
    fix = "set the clock, and keep it right by NTP: dates of runs and leases of locks depend on it"
    if now < FIRST_SECOND:
        return [Problem("AF6003", "the clock of this host is before 2025", at, code="host:clock", fix=fix)]
    try:
        written = witness.stat().st_mtime
    except OSError:
        return []
    if written > now + DAY:
        message = f"the clock of this host is more than a day behind {witness}"
        return [Problem("AF6003", message, at, code="host:clock", fix=fix, severity="warning")]
    return []


def nearest_existing(path: Path) -> Path:
    """The path, or the first one above it that exists."""
    for each in (path, *path.parents):
        try:
            if each.exists():
                return each
        except OSError:  # a folder above that may not be searched
            continue
    return Path(path.anchor or ".")


def mounts() -> str:
    """The mount table of this process; empty where the system has none."""
    try:
        return Path("/proc/self/mounts").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def network_kind(path: Path, table: str) -> str | None:
    """The type of the file system of a path, according to a mount table, if it is a network one; else None."""
    target = nearest_existing(path).resolve()
    best, kind = -1, ""
    for line in table.splitlines():
        fields = line.split()
        if len(fields) < 3:
            continue
        point = Path(fields[1].replace("\\040", " ").replace("\\011", "\t").replace("\\134", "\\"))
        if target.is_relative_to(point) and len(point.parts) >= best:
            best, kind = len(point.parts), fields[2]
    return kind if kind.removeprefix("fuse.").startswith(NETWORK) else None
