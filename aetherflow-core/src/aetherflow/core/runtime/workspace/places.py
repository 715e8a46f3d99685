"""Paths of work root, state root, state file and lock store, from the flow, the settings or the platform's defaults."""

import sys
from collections.abc import Container, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from aetherflow.core.base.errors import UsageError

if TYPE_CHECKING:
    from aetherflow.core.runtime.environment.settings import Settings


def work_root(given: str | None, settings: "Settings", env: Mapping[str, str]) -> Path:
    """`flow.workspace.root`, else the setting `work_root`, else the platform's data folder; absolute."""
    return _absolute(given or settings.work_root or _platform(env, "XDG_DATA_HOME", ".local/share") / "work")


def state_root(settings: "Settings", env: Mapping[str, str]) -> Path:
    """The setting `state_root`, else the platform's state folder; absolute."""
    return default_state_root(settings.state_root, env)


def default_state_root(given: str | None, env: Mapping[str, str]) -> Path:
    """`given`, else the platform's state folder; absolute."""
    return _absolute(given or _platform(env, "XDG_STATE_HOME", ".local/state") / "state")


def lock_store(settings: "Settings", env: Mapping[str, str], resources: Container[str] = ()) -> Path:
    """The setting `lock_store`, else `locks.sqlite` under the state root; absolute.

    Raises UsageError for the name of a resource: a lock store in a database server is not available yet.
    """
    given = settings.lock_store
    if given and "/" not in given and given in resources:
        message = f"AETHERFLOW_LOCK_STORE: {given!r} is a resource; lock stores in a database are not available yet"
        raise UsageError(message, fix=f"name a file on a local disk; one called {given} is ./{given}")
    return _absolute(given) if given else state_root(settings, env) / "locks.sqlite"


def state_path(given: str | None, flow_id: str, settings: "Settings", env: Mapping[str, str]) -> Path:
    """`flow.state.path`, else `<flow id>.sqlite` under the state root; absolute."""
    return _absolute(given) if given else state_root(settings, env) / f"{flow_id}.sqlite"


def _absolute(path: str | Path) -> Path:
    return Path(path).expanduser().absolute()


def _platform(env: Mapping[str, str], variable: str, folder: str) -> Path:
    if sys.platform == "darwin":
        return Path.home() / "Library/Application Support/aetherflow"
    return Path(env.get(variable) or Path.home() / folder) / "aetherflow"
