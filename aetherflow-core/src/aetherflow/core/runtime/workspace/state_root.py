"""The state root for commands without a flow: from the environment and the project file of a folder."""

from collections.abc import Mapping
from pathlib import Path

from aetherflow.core.base import durable
from aetherflow.core.base.engine_files import LOCKS, engine_folder
from aetherflow.core.base.typed import CONFIG_VARIABLE
from aetherflow.core.runtime.environment.administrator import administrator
from aetherflow.core.runtime.environment.project_file import find_project
from aetherflow.core.runtime.workspace.places import absolute_path, default_state_root

_LEAD_ON = (
    CONFIG_VARIABLE,
    "AETHERFLOW_ENV_FILES_JSON",
    "AETHERFLOW_SETTINGS_MODULE",
    "AETHERFLOW_SECRETS_MODULE",
    "AETHERFLOW_SECRETS_PATH",
)
"""Variables that name a source which may set the state root."""


def find_state_root(folder: Path, env: Mapping[str, str], config: Path | None = None, *, bare: bool = False) -> Path:
    """The state root of flows in `folder`; `bare` as of `build_snapshot`. Raises what that raises."""
    if _is_plain(folder, env, config):
        return default_state_root(env.get("AETHERFLOW_STATE_ROOT"), env)
    from aetherflow.core.runtime.environment.snapshot import build_snapshot
    from aetherflow.core.runtime.workspace.store_places import state_root

    return state_root(build_snapshot(folder, ambient=env, config=config, bare=bare))


def find_places(folder: Path, env: Mapping[str, str], config: Path | None = None) -> tuple[Path, Path]:
    """Return the state root and the lock store of flows in `folder`. Raises what `build_snapshot` raises."""
    if _is_plain(folder, env, config):
        root, locks = default_state_root(env.get("AETHERFLOW_STATE_ROOT"), env), env.get("AETHERFLOW_LOCK_STORE")
        return root, absolute_path(locks) if locks else engine_folder(root) / LOCKS
    from aetherflow.core.runtime.environment.snapshot import build_snapshot
    from aetherflow.core.runtime.workspace.store_places import lock_store, state_root

    snapshot = build_snapshot(folder, ambient=env, config=config)
    return state_root(snapshot), lock_store(snapshot)


def _is_plain(folder: Path, env: Mapping[str, str], config: Path | None) -> bool:
    """Whether variables alone decide: the settings need pydantic, whose import takes as long as a whole command."""
    plain = config is None and not any(env.get(name) for name in _LEAD_ON)
    return plain and find_project(folder) is None and administrator() is None


def host_root(root: Path) -> Path:
    """The state root of this host, of files only; `root` may name a server that this process knows."""
    local = durable.local_root(root)
    return local if durable.server_at(root) is None else local.parents[1]  # <state root>/servers/RESOURCE
