"""Keeps what flows write apart from the engine's own files."""

import os
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from aetherflow.core.base.engine_files import ENGINE, STORES, engine_folder
from aetherflow.core.base.errors import PathError
from aetherflow.core.base.location import DocPath, Location, format_path
from aetherflow.core.base.problems import Problem
from aetherflow.core.runtime.workspace.places import (
    BUNDLES,
    MOVING,
    SERVERS,
    bundle_stores,
    default_state_root,
    in_server,
    work_root,
)

if TYPE_CHECKING:
    from aetherflow.core.kernel.yaml.loader import Document
    from aetherflow.core.runtime.environment.snapshot import Snapshot


def make_engine_folder(root: Path, *work_roots: Path) -> None:
    """Make the engine's folder in a state root, and move there what 1.0 kept in the roots. StateError.

    Call it before you write to a state root; `root` is that of this host. Where nothing can be written, and
    nothing is to be moved, it does nothing.
    """
    if not _is_made(root / ENGINE) and not _make_new(root / ENGINE, is_old=engine_folder(root) == root):
        from aetherflow.core.runtime.workspace.engine_move import move_engine_files  # once in the life of a state root

        move_engine_files(root)
        EngineFiles.under.cache_clear()  # a link of 1.0 to a store is there now
    for each in work_roots if _is_made(root / ENGINE) else ():
        folder, old = bundle_stores(root, each), each / BUNDLES
        if not _is_made(folder) and not _make_new(folder, is_old=any(old.glob("*/.lock"))):
            from aetherflow.core.runtime.workspace.engine_move import move_bundles

            move_bundles(old, folder)


def _is_made(folder: Path) -> bool:
    """Whether a folder is there with all that is moved to it; a Path would raise where it may not look."""
    return os.path.exists(folder) and not os.path.exists(folder / MOVING)  # noqa: PTH110


def _make_new(folder: Path, *, is_old: bool) -> bool:
    """Make a folder, where that can be; False, and nothing, if what 1.0 made is to be moved there."""
    if is_old or os.path.exists(folder / MOVING):  # noqa: PTH110
        return False
    from aetherflow.core.base import durable  # imports SQLite, which nothing needs that opens no store

    with suppress(OSError):
        durable.make_dir(folder)
    return True


def make_engine_folder_of(snapshot: "Snapshot", *work_roots: Path) -> None:
    """Do so for a flow's environment."""
    settings, env = snapshot.settings, snapshot.env
    make_engine_folder(default_state_root(settings.state_root, env), work_root(None, settings, env), *work_roots)


def bundle_store(snapshot: "Snapshot", work: Path, bundle_id: str) -> Path:
    """Return the folder of a bundle's store; below the work root while one of 1.0 is still there."""
    folder = bundle_stores(default_state_root(snapshot.settings.state_root, snapshot.env), work)
    store, old = folder / bundle_id, work / BUNDLES / bundle_id
    return store if store.exists() or _is_made(folder) or not (old / ".lock").exists() else old


class EngineFiles(NamedTuple):
    """The engine's files and folders, without links."""

    stores: tuple[str, ...]
    """Databases; what is next to one and continues its name belongs to it: its log, copies, the folder `F.d`."""
    folders: tuple[str, ...]

    @classmethod
    def of(cls, snapshot: "Snapshot") -> "EngineFiles":
        """Return the engine's files of a flow's environment."""
        locks = snapshot.settings.lock_store
        found = cls.under(default_state_root(snapshot.settings.state_root, snapshot.env))
        if locks and not in_server(Path(locks)):
            return found._replace(stores=(*found.stores, os.path.realpath(Path(locks).expanduser())))
        return found

    @classmethod
    @lru_cache(maxsize=8)
    def under(cls, root: Path) -> "EngineFiles":
        """Return the engine's files under a state root."""
        stores, folders = (
            (root / ENGINE / name for name in STORES),
            (root / ENGINE, root / ENGINE / BUNDLES, root / SERVERS),
        )
        return cls(tuple(map(os.path.realpath, stores)), tuple(map(os.path.realpath, folders)))

    def met_by(self, path: Path, *, whole: bool = False) -> str | None:
        """Return the engine's file or folder that a path is or is in; with `whole`, also one below the path."""
        found = os.path.realpath(path)
        for place in (*self.stores, *self.folders):
            if found == place or found.startswith(f"{place}/") or (whole and place.startswith(f"{found.rstrip('/')}/")):
                return place
        try:
            is_file = Path(found).stat()
        except OSError:
            is_file = None
        for store in self.stores:
            if found.startswith((f"{store}-", f"{store}.")) or (is_file is not None and _is(store, is_file)):
                return store
        return None

    def require_apart(self, path: str | Path, *, whole: bool = False) -> None:
        """Raise PathError if a path meets the engine's files."""
        if (met := self.met_by(Path(path), whole=whole)) is not None:
            raise PathError(_text(path, met), fix="name another path")

    def of_flow(self, document: "Document", section: str, path: Path) -> list[Problem]:
        """Return the finding for the `state` or the `workspace` of a flow, at the place that decides where it is."""
        what: DocPath = ("flow", section, "path" if section == "state" else "root")
        if what not in document.source.values:
            what = ("flow", "id")
        return self.findings(path, what, document.source.value(what), whole=True)

    def findings(self, path: Path, what: DocPath, at: Location, *, whole: bool = False) -> list[Problem]:
        """Return the finding for a place that a document names and that meets the engine's files."""
        if in_server(path) or (met := self.met_by(path, whole=whole)) is None:
            return []
        message = f"{format_path(what)} leads to {_text(path, met)}"
        fix = "rename the flow" if what[-1] == "id" else "name another path"
        return [Problem("AF1222", message, at, format_path(what), "semantic:engine_files", fix)]


def _text(path: str | Path, met: str) -> str:
    return (
        f"{path}, which is the engine's own" if met == str(path) else f"{path}, which meets {met} of the engine's own"
    )


def _is(store: str, found: os.stat_result) -> bool:
    """Whether a file is the store by another name: a hard link, or a spelling where case does not count."""
    try:
        return os.path.samestat(Path(store).stat(), found)
    except OSError:
        return False
