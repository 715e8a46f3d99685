"""Whether the engine's stores can work: notifications, the locks of senders, the locks of flows. Nothing is created."""

import os
import shlex
import sqlite3
from pathlib import Path

from aetherflow.core.base import durable
from aetherflow.core.base.engine_files import LOCKS
from aetherflow.core.base.errors import StateError
from aetherflow.core.base.owners import user_name
from aetherflow.core.kernel.locks.schema import SCHEMA_VERSION as LOCKS_SCHEMA
from aetherflow.core.kernel.state.unusable import aside, newer, unreadable
from aetherflow.core.records.reading import read_store
from aetherflow.core.runtime.notify.start import book_of
from aetherflow.core.runtime.sending.book import SCHEMA_VERSION as BOOK_SCHEMA
from aetherflow.core.runtime.sending.book import WHAT as BOOK

LOCK_STORE = "lock store"
_TABLES = "SELECT name FROM sqlite_master WHERE type='table' AND name NOT LIKE 'sqlite%'"


def unusable_stores(root: Path, locks: Path, *, whole: bool = False) -> dict[Path, StateError]:
    """Return each store that a run or a sender could not work with, and why. `whole`: every page of it is read.

    A missing or an older store is fine: the next command that writes makes or migrates it.
    """
    book = book_of(root)
    found = {book: _why_unusable(book, "notify", BOOK, BOOK_SCHEMA, "messages", whole=whole)}
    if found[book] is None and durable.server_at(root) is None:  # a server was asked once: that is enough
        senders = durable.store_beside(book, LOCKS)
        found[senders] = _of_locks(senders, whole=whole)
    if durable.server_at(locks) is None:
        found[locks] = _of_locks(locks, whole=whole)
    return {path: why for path, why in found.items() if why is not None}


def _of_locks(path: Path, *, whole: bool) -> StateError | None:
    return _why_unusable(path, "locks", LOCK_STORE, LOCKS_SCHEMA, "locks", whole=whole)


def _why_unusable(path: Path, store: str, what: str, schema: int, table: str, *, whole: bool) -> StateError | None:
    def look(db: durable.Database) -> tuple[int, list[str]]:
        version = db.schema_version()
        if durable.server_at(path) is not None:
            return version, [table]
        tables = [name for (name,) in db.execute(_TABLES)]
        for name in tables:
            db.execute(f"SELECT 1 FROM {name} LIMIT 1").fetchone()  # noqa: S608 the names are those of the file
        if whole and (bad := db.execute("PRAGMA quick_check(1)").fetchone()[0]) != "ok":
            raise sqlite3.DatabaseError(f"database disk image is malformed: {bad}")
        return version, tables

    try:
        if durable.server_at(path) is None and not _is_there(path, what):
            return None
        version, tables = read_store(path, look, store)
    except StateError as error:
        return error
    except FileNotFoundError as error:
        # of a server: nothing was ever sent. Else it is a folder
        return None if durable.server_at(path) is not None else unreadable(path, error, what)
    except (sqlite3.Error, OSError) as error:
        return unreadable(path, error, what)
    if version > schema:
        return newer(what, path, version, schema)
    if tables and (table not in tables or not version):
        message = f"{what} {path} is a database that AetherFlow did not create"
        if path.name == LOCKS or what == BOOK:
            return StateError(message, fix="move it away; a new one is made", commands=[aside(path)])
        return StateError(message, fix="name another file in AETHERFLOW_LOCK_STORE")
    return None if durable.server_at(path) is not None else why_not_written(path, what)


def _is_there(path: Path, what: str) -> bool:
    """Whether there is such a file. StateError for a link to a folder that is missing, OSError."""
    try:
        path.stat()
    except FileNotFoundError:
        if not durable.real_file(path).parent.is_dir() and os.path.lexists(path):
            command = shlex.join(["ls", "-l", str(path)])
            message = f"{what} {path} is a link to {durable.real_file(path)}, whose folder is missing"
            raise StateError(
                message, fix="look at it, and make the folder, or remove the link", commands=[command]
            ) from None
        return False
    return True


def why_not_written(path: Path, what: str) -> StateError | None:
    """Return why a store that can be read cannot be written: its folder, its file, and what is next to it count."""
    real = durable.real_file(path)
    side = durable.side_folder(path)
    if os.path.lexists(side) and not side.is_dir():
        fix = "move it away: a folder of this name holds what lives next to the store"
        return StateError(f"{what} {path}: {side} is not a folder", fix=fix, commands=[aside(side)])
    for part in (real.parent, real, side, *(Path(f"{real}{ending}") for ending in durable.BESIDE)):
        if os.path.lexists(part) and not os.access(part, os.W_OK):
            if os.statvfs(part).f_flag & os.ST_RDONLY:
                command = shlex.join(["findmnt", "-T", str(part)])
                return StateError(f"{what} {path}: read-only file system", fix="mount it writable", commands=[command])
            message = f"{what} {path}: permission denied: {user_name(os.geteuid())} cannot write {part}"
            command = shlex.join(["namei", "-l", str(part)])
            return StateError(message, fix="type it as the owner, or let this user write it", commands=[command])
    return None
