"""Paths of work root and state root, from the flow, the settings or the platform's defaults."""

import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aetherflow.core.runtime.environment.settings import Settings

FLOW_ID = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,127}\Z")
"""Ids of flows, which are the names of their folders and state files."""
SERVERS = "servers"
"""Folder under a state root for what processes of this host tell each other: one for each resource with stores."""


def work_root(given: str | None, settings: "Settings", env: Mapping[str, str]) -> Path:
    """`flow.workspace.root`, else the setting `work_root`, else the platform's data folder; absolute."""
    return absolute_path(given or settings.work_root or _platform(env, "XDG_DATA_HOME", "~/.local/share") + "/work")


def default_state_root(given: str | None, env: Mapping[str, str]) -> Path:
    """`given`, else the platform's state folder; absolute."""
    return absolute_path(given or _platform(env, "XDG_STATE_HOME", "~/.local/state") + "/state")


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
