"""Where runs and their history stand when the flow does not say."""

import sys
from collections.abc import Mapping
from pathlib import Path

WORK_ROOT, STATE_ROOT = "AETHERFLOW_WORK_ROOT", "AETHERFLOW_STATE_ROOT"


def work_root(given: str | None, env: Mapping[str, str]) -> Path:
    """`flow.workspace.root`, else AETHERFLOW_WORK_ROOT, else the platform's data folder; absolute."""
    return _absolute(given or env.get(WORK_ROOT) or _platform(env, "XDG_DATA_HOME", ".local/share") / "work")


def state_path(given: str | None, flow_id: str, env: Mapping[str, str]) -> Path:
    """`flow.state.path`, else `<flow id>.sqlite` in AETHERFLOW_STATE_ROOT, else in the platform's state folder."""
    if given:
        return _absolute(given)
    root = env.get(STATE_ROOT) or _platform(env, "XDG_STATE_HOME", ".local/state") / "state"
    return _absolute(root) / f"{flow_id}.sqlite"


def _absolute(path: str | Path) -> Path:
    return Path(path).expanduser().absolute()


def _platform(env: Mapping[str, str], variable: str, folder: str) -> Path:
    if sys.platform == "darwin":
        return Path.home() / "Library/Application Support/aetherflow"
    return Path(env.get(variable) or Path.home() / folder) / "aetherflow"
