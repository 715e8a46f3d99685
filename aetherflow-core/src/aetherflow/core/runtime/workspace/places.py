"""Paths of work root and state root, from the flow, the settings or the platform's defaults."""

import hashlib
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from aetherflow.core.base.engine_files import ENGINE, LEDGERS

if TYPE_CHECKING:
    from aetherflow.core.runtime.environment.settings import Settings

FLOW_ID = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,127}\Z")
"""Ids of flows, which are the names of their folders and state files."""
SERVERS = "servers"
"""Folder under a state root for what processes of this host tell each other: one for each resource with stores."""
KNOWN_SCHEDULES = "schedules"
"""Folder among the ledgers, of files that say where each ledger is."""
BUNDLES = "bundles"
"""Folder of bundle stores; in 1.0 under a work root."""
MOVING = "moving.json"
"""File in a folder while what 1.0 kept elsewhere is moved there."""
SENDER = "sender"
"""Key of the lease of the process that sends notifications, in the lock store beside their store."""


def work_root(given: str | None, settings: "Settings", env: Mapping[str, str]) -> Path:
    """`flow.workspace.root`, else the setting `work_root`, else the platform's data folder; absolute."""
    return absolute_path(given or settings.work_root or _platform(env, "XDG_DATA_HOME", "~/.local/share") + "/work")


def default_state_root(given: str | None, env: Mapping[str, str]) -> Path:
    """`given`, else the platform's state folder; absolute."""
    return absolute_path(given or _platform(env, "XDG_STATE_HOME", "~/.local/state") + "/state")


def bundle_stores(root: Path, work_root: Path) -> Path:
    """Return the folder of the bundle stores of a work root, which has a state root of files."""
    digest = hashlib.sha256(os.fsencode(work_root)).hexdigest()[:8]
    return root / ENGINE / BUNDLES / f"{work_root.name}-{digest}"


def schedule_note(folder: Path, ledger: Path) -> Path:
    """Return the file that says of which document a ledger is; `folder` is the engine's."""
    return folder / LEDGERS / KNOWN_SCHEDULES / f"{hashlib.sha256(os.fsencode(ledger)).hexdigest()[:16]}.json"


def absolute_path(path: str | Path) -> Path:
    """A path as a user writes it, `~` and all, counted from the working directory."""
    return Path(path).expanduser().absolute()


def _platform(env: Mapping[str, str], variable: str, folder: str) -> str:
    if sys.platform == "darwin":
        return "~/Library/Application Support/aetherflow"
    return f"{env.get(variable) or folder}/aetherflow"


def in_server(path: Path) -> bool:
    """Whether a path names stores in a server, as `//postgres:ops_db` does; `durable.in_server` imports SQLite."""
    name = str(path)
    return name.startswith("//") and ":" in name and "/" not in name[2:]
