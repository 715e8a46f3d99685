"""Keeps what flows write apart from the engine's own files."""

import os
from pathlib import Path
from typing import NamedTuple

from aetherflow.core.base.engine_files import STORES
from aetherflow.core.base.errors import PathError
from aetherflow.core.base.location import DocPath, Location, format_path
from aetherflow.core.base.problems import Problem
from aetherflow.core.kernel.yaml.loader import Document
from aetherflow.core.runtime.environment.snapshot import Snapshot
from aetherflow.core.runtime.workspace.places import SERVERS, default_state_root, in_server, work_root

LEDGERS, KNOWN_SCHEDULES = "scheduler", "schedules"
"""Folder of ledgers under a state root; its folder of files that say where each ledger is."""
BUNDLES = "bundles"
"""Folder of bundle stores under a work root."""


class EngineFiles(NamedTuple):
    """The engine's files and folders, without links."""

    stores: tuple[str, ...]
    """Databases; what is next to one and continues its name belongs to it: its log, copies, the folder `F.d`."""
    folders: tuple[str, ...]

    @classmethod
    def of(cls, snapshot: Snapshot) -> "EngineFiles":
        """Return the engine's files of a flow's environment."""
        settings, env = snapshot.settings, snapshot.env
        root = default_state_root(settings.state_root, env)
        stores = [root / name for name in STORES]
        if settings.lock_store and not in_server(Path(settings.lock_store)):
            stores.append(Path(settings.lock_store).expanduser())
        folders = [root / LEDGERS, root / SERVERS, work_root(None, settings, env) / BUNDLES]
        if snapshot.bundle is not None:
            folders.append(snapshot.bundle.cache.parents[1])  # a command may name another work root
        return cls(tuple(map(os.path.realpath, stores)), tuple(map(os.path.realpath, folders)))

    @classmethod
    def beside_ledgers(cls, root: Path) -> "EngineFiles":
        """Return the engine's files under a state root that no ledger may be."""
        folders = [root / SERVERS, root / LEDGERS / KNOWN_SCHEDULES]
        stores = [root / name for name in STORES]
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

    def of_flow(self, document: Document, section: str, path: Path) -> list[Problem]:
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
