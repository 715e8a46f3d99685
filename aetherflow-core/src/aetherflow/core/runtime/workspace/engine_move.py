"""Moves what 1.0 kept in a state root and in work roots to the engine's folder, once in the life of each.

The folder is built beside its place, with copies of the databases in which paths are those of now, and appears by one
rename. Until then nothing of before is changed, so that a move that was killed begins again. From then on only what is
there counts, and the rest is removed; the file `moving.json` says until its end what that is.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import re
import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path

from aetherflow.core.base import durable
from aetherflow.core.base.engine_files import ENGINE, LEDGERS, LOCKS, NOTIFY, STORES
from aetherflow.core.base.errors import LockBusyError, StateError
from aetherflow.core.base.owners import require_own
from aetherflow.core.kernel.locks.alive import living_files
from aetherflow.core.kernel.locks.records import Owner
from aetherflow.core.kernel.locks.store import LockStore
from aetherflow.core.kernel.state.unusable import DAMAGE
from aetherflow.core.records.reading import read_any
from aetherflow.core.records.registry import known_flows
from aetherflow.core.runtime.workspace.places import BUNDLES, KNOWN_SCHEDULES, MOVING, SENDER, SERVERS, schedule_note

BUSY_SECONDS = 5.0
SENDER_SECONDS = 60.0
"""Time for a sender to hand over the message that it is sending."""
_STAGED = "engine.d"
"""Folder beside the place; nobody looks for states in one of such a name."""
_PATHS = {
    "ledgers": ("ledger",),
    "notifications": ("body",),
    "messages": ("body",),
    "slots": ("log",),
    "attempts": ("log",),
    "outbox": ("detail",),
}
"""Columns that name ledgers, and files beside them."""


def move_engine_files(root: Path) -> None:
    """Make the engine's folder in a state root, of what 1.0 kept there; StateError while that is in use."""
    folder = root / ENGINE
    with _reported(folder), _alone(root):
        if not folder.exists():
            stores, ledgers = _stores(root), _ledgers(root)
            if not stores and not ledgers:
                durable.make_dir(folder)
                return
            _require_unused(root, folder)
            _end_sender(root, folder)
            with contextlib.ExitStack() as held:  # a process that waits to write an open file fails: it is gone
                _stage(root, stores, ledgers, held)
                durable.swap_dir(root / _STAGED, folder, ENGINE)
                _remove_moved(root, folder)
        else:
            _remove_moved(root, folder)


def move_bundles(old: Path, folder: Path) -> None:
    """Move the bundle stores of 1.0 in a folder to that of now, which is made; StateError while one is in use."""
    note = folder / MOVING
    with _reported(folder), _alone(folder.parents[1]):
        stores = sorted(path.parent for path in old.glob("*/.lock"))  # a flow could have this name, too
        if not folder.exists():
            for lock in (*old.glob("*/.lock"), *old.glob("*/versions/*.lock")):
                if _is_held(lock):
                    raise _in_use(f"the bundle store {old}", folder, "a run or a sync")
            staged = folder.with_name(f"{folder.name}.d")
            if staged.exists():
                durable.remove_tree(staged)
            durable.write_bytes(staged / MOVING, b"[]")
            durable.swap_dir(staged, folder, BUNDLES)
        if not note.exists():
            return
        for store in stores:
            require_own(store, "the bundle store")
            if not (folder / store.name).exists():
                durable.swap_dir(store, folder / store.name, BUNDLES, at_once=True)
            if store.exists():  # it was copied, and not yet removed
                durable.remove_tree(store)
        _remove_empty(old)
        durable.remove_file(note)


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Let one process at a time move files to a folder."""
    gate = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(gate, fcntl.LOCK_EX)
        yield
    finally:
        os.close(gate)


def _is_held(lock: Path) -> bool:
    """Whether a process holds a lock of a bundle store, alone or with others."""
    with durable.open_lock(lock) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


@contextlib.contextmanager
def _reported(folder: Path) -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        message = f"the engine's files cannot be moved to {folder}: {error}"
        raise StateError(message, fix="check disk and owner, then do the same again: nothing is lost") from error


def _in_use(what: str, folder: Path, who: str) -> StateError:
    message = f"{what} is in use by {who}: it is not moved to {folder} now"
    return StateError(message, fix="wait for it, or stop it; then do the same again")


def _require_unused(root: Path, folder: Path) -> None:
    """Refuse the move while a process of the older engine is at work, since it looks for its files where they were."""
    files = {flow.state_path for flow in known_flows(root) if not durable.in_server(flow.state_path)}
    sides = [*(durable.side_folder(Path(path)) for path in sorted(files)), *(root / SERVERS).glob("*")]
    locks = (lock for side in sides for lock in sorted(side.glob("runs/*/*.lock")) if durable.is_locked(lock))
    if (lock := next(locks, None)) is not None:
        raise _in_use(f"the state root {root}", folder, f"run {lock.stem} of flow {lock.parent.name}")
    owners = dict.fromkeys((root / LEDGERS).glob("*.sqlite.d/owners"), "a scheduler")
    for told in _notes(root).values():
        owners[durable.side_folder(Path(told["ledger"])) / "owners"] = "a scheduler"
    owners[root / f"{LOCKS}.d"] = "a process with locks"
    for path, who in owners.items():
        if living_files(path):
            raise _in_use(f"the state root {root}", folder, who)


def _end_sender(root: Path, folder: Path) -> None:
    """Let a sender of notifications end, which it does at once for one that waits for its turn."""
    path = durable.store_beside(root / NOTIFY, LOCKS)
    if path.exists():
        with LockStore(path) as locks:
            owner = Owner("notify", f"move-{os.getpid()}")
            try:
                locks.acquire(SENDER, owner, ttl_seconds=SENDER_SECONDS, wait_seconds=SENDER_SECONDS).release()
            except LockBusyError as error:
                raise _in_use(f"the state root {root}", folder, "a sender of notifications") from error


def _stores(root: Path) -> list[Path]:
    """The stores in a state root, without a state that has such a name."""
    return [path for path in map(root.joinpath, STORES) if path.exists() and not _has(path, "step_runs")]


def _has(path: Path, table: str) -> bool:
    try:
        return read_any(path, lambda db: table in db.tables())
    except (sqlite3.Error, OSError):
        return False


def _ledgers(root: Path) -> list[Path]:
    """The ledgers in a state root that have their place by the path of their document, and not by its `state`."""
    return [path for path in sorted((root / LEDGERS).glob("*.sqlite")) if _by_document(path)]


def _by_document(ledger: Path) -> bool:
    match = re.search(r"-([0-9a-f]{8})\Z", ledger.stem)
    if match is None:
        return False
    try:
        query = "SELECT DISTINCT file FROM items WHERE file IS NOT NULL"
        documents = {row[0] for row in read_any(ledger, lambda db: db.execute(query).fetchall())}
    except (sqlite3.Error, OSError):
        return True  # its scheduler says what is wrong with it
    return not documents or match[1] in {hashlib.sha256(os.fsencode(each)).hexdigest()[:8] for each in documents}


def _notes(root: Path) -> dict[Path, dict[str, str]]:
    """The files that say where each ledger is, by path; without what cannot be read."""
    found = {}
    for path in sorted((root / LEDGERS / KNOWN_SCHEDULES).glob("*.json")):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            told = json.loads(path.read_bytes())
            found[path] = {name: str(told[name]) for name in ("document", "ledger")}
    return found


def _stage(root: Path, stores: list[Path], ledgers: list[Path], held: contextlib.ExitStack) -> None:
    staged, folder = root / _STAGED, root / ENGINE
    if staged.exists():
        durable.remove_tree(staged)
    durable.make_dir(staged)
    renamed = {str(path): str(folder / LEDGERS / path.name) for path in ledgers}
    parts = []
    for path in (*stores, *ledgers):
        target = staged / path.relative_to(root)
        durable.make_dir(target.parent)
        begins = f"{path.name}-", f"{path.name}."
        beside = [each for each in sorted(path.parent.iterdir()) if each.name.startswith(begins)]
        parts += [path, *beside, *(path.with_name(path.name + ending) for ending in durable.BESIDE)]
        copied = path.is_symlink() or _copy(path, target, renamed, held)
        if path.is_symlink():
            durable.swap_link(os.path.realpath(path), target)
        elif not copied:
            durable.link_file(path, target)
        for each in beside:
            if not (copied and each.name.endswith(durable.BESIDE)):
                _link(each, target.with_name(each.name))
    notes = _notes(root)
    for told in notes.values():
        ledger = renamed.get(told["ledger"], told["ledger"])
        durable.write_bytes(schedule_note(staged, Path(ledger)), json.dumps(told | {"ledger": ledger}).encode())
    moved = [str(path.relative_to(root)) for path in (*parts, *notes)]
    durable.write_bytes(staged / MOVING, json.dumps(moved).encode())


def _copy(path: Path, target: Path, renamed: Mapping[str, str], held: contextlib.ExitStack) -> bool:
    """Copy a database, with the paths of now; False for one that is damaged, which is moved as it is."""
    try:
        db = held.enter_context(contextlib.closing(durable.connect(path, busy_seconds=BUSY_SECONDS)))
        db.begin()
        with contextlib.closing(durable.connect_to_read(path, immutable=False)) as before:
            durable.backup_database(before, target)
    except sqlite3.Error as error:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF not in DAMAGE:
            raise
        return False
    with contextlib.closing(durable.connect(target, busy_seconds=BUSY_SECONDS)) as copy:
        known = {(row[0], row[1]) for row in copy.execute(_COLUMNS)}
        with durable.transaction(copy, f"rename in {target.name}"):
            for table, column in ((table, column) for table, columns in _PATHS.items() for column in columns):
                for old, new in renamed.items() if (table, column) in known else ():
                    change = f"UPDATE {table} SET {column}=replace({column}, ?, ?) WHERE instr({column}, ?)"  # noqa: S608 ours
                    for words in {(old, new), (json.dumps(old)[1:-1], json.dumps(new)[1:-1])}:
                        copy.execute(change, (*words, words[0]))
    return True


_COLUMNS = "SELECT m.name, c.name FROM sqlite_master m, pragma_table_info(m.name) c WHERE m.type='table'"


def _link(path: Path, target: Path) -> None:
    """Give a file, or all files of a folder, names in the folder to come."""
    if not path.is_dir() or path.is_symlink():
        durable.link_file(path, target)
        return
    for folder, _, names in os.walk(path):
        below = target / Path(folder).relative_to(path)
        durable.make_dir(below)
        for name in names:
            durable.link_file(Path(folder, name), below / name)


def _remove_moved(root: Path, folder: Path) -> None:
    """Remove from a state root what is in the engine's folder by now."""
    note = folder / MOVING
    if not note.exists():
        return
    for path in map(root.joinpath, json.loads(note.read_bytes())):
        if path.is_dir() and not path.is_symlink():
            durable.remove_tree(path)
        elif os.path.lexists(path):
            durable.remove_file(path)
    _remove_empty(root / LEDGERS / KNOWN_SCHEDULES)
    _remove_empty(root / LEDGERS)
    durable.remove_file(note)


def _remove_empty(folder: Path) -> None:
    if folder.is_dir() and not any(folder.iterdir()):
        durable.remove_empty_dir(folder)
