"""The state root for commands without a flow: from the environment and the project file of a folder."""

from collections.abc import Mapping
from pathlib import Path

from aetherflow.core.base import durable
from aetherflow.core.base.typed import CONFIG_VARIABLE
from aetherflow.core.runtime.environment.administrator import administrator
from aetherflow.core.runtime.environment.project_file import find_project
from aetherflow.core.runtime.workspace.places import default_state_root

_LEAD_ON = (
    CONFIG_VARIABLE,
    "AETHERFLOW_ENV_FILES_JSON",
    "AETHERFLOW_SETTINGS_MODULE",
    "AETHERFLOW_SECRETS_MODULE",
    "AETHERFLOW_SECRETS_PATH",
)
"""Variables that name a source which may set the state root."""


def find_state_root(folder: Path, env: Mapping[str, str], config: Path | None = None, *, bare: bool = False) -> Path:
    """The state root of flows in `folder`; `bare` as of `build_snapshot`.

    Raises what `build_snapshot` raises. Without a project file and such variables the settings are not loaded: they
    need pydantic, whose import takes as long as all the rest of a command.
    """
    plain = config is None and not any(env.get(name) for name in _LEAD_ON)
    if plain and find_project(folder) is None and administrator() is None:
        return default_state_root(env.get("AETHERFLOW_STATE_ROOT"), env)
    from aetherflow.core.runtime.environment.snapshot import build_snapshot
    from aetherflow.core.runtime.workspace.store_places import state_root

    return state_root(build_snapshot(folder, ambient=env, config=config, bare=bare))


def host_root(root: Path) -> Path:
    """The state root of this host, of files only; `root` may name a server, which this process was told of."""
    local = durable.local_root(root)
    return local if durable.server_at(root) is None else local.parents[1]  # <state root>/servers/RESOURCE
