"""The distributions and hooks that the settings allow."""

from collections.abc import Mapping
from pathlib import Path

from aetherflow.core.base.errors import PluginNotAllowedError
from aetherflow.core.host.first_party import first_party
from aetherflow.core.host.hooks import Hooks, load_hooks, name_of, select_hooks
from aetherflow.core.host.metadata import PluginEntry, installed_hooks, installed_in
from aetherflow.core.host.names import STATUS
from aetherflow.core.runtime.environment.administrator import administrator
from aetherflow.core.runtime.environment.beside import is_module_beside
from aetherflow.core.runtime.environment.layers import Layers
from aetherflow.core.runtime.environment.policing import police, under_policy
from aetherflow.core.runtime.environment.project import load_project
from aetherflow.core.runtime.environment.settings import Settings, load_with_sources
from aetherflow.core.runtime.environment.spec.project import PluginsSpec


def allowed_distributions(settings: Settings, plugins: PluginsSpec) -> frozenset[str] | None:
    """The distributions whose plugins enterprise mode accepts; None (all) in any other mode."""
    return first_party() | set(plugins.allow) if settings.mode == "enterprise" else None


def rules_in(folder: Path, env: Mapping[str, str]) -> tuple[Settings, PluginsSpec]:
    """Settings and rules for plugins in a folder, for what needs no whole environment: no code and no env file is read.

    Raises SpecError, SettingsError.
    """
    policy, project, overrides = administrator(), load_project(folder, env), None
    if policy is not None:
        police(policy, project, Layers(env), None)
        project = under_policy(policy, project)
        overrides = {"mode": "enterprise"} if policy.enterprise else None
    settings, _ = load_with_sources(overrides, env=env, project=project, run_module=False)
    return settings, project.spec.plugins


def require_allowed(distribution: str, what: str, folder: Path, env: Mapping[str, str]) -> None:
    """PluginNotAllowedError if the rules in a folder do not allow a distribution; ours always are."""
    if distribution in first_party():
        return
    allowed = allowed_distributions(*rules_in(folder, env))
    if allowed is not None and distribution not in allowed:
        message = f"{what} of {distribution} is not allowed in enterprise mode"
        raise PluginNotAllowedError(message, fix=f"add {distribution} to plugins.allow in the project file")


def hooks_for(
    settings: Settings, plugins: PluginsSpec, flow_folder: Path | None = None
) -> tuple[Hooks | None, tuple[str, ...]]:
    """Load the installed hooks that are not blocked; returns them (None if there are none) and the skipped ones.

    Hooks whose module is in `flow_folder` or below are skipped and named. Raises PluginNotAllowedError,
    PluginLoadError, HookError.
    """
    if not (installed := installed_hooks()):
        return None, ()
    found = select_hooks(plugins.block, allowed_distributions(settings, plugins), installed)
    skipped = [entry for entry in found if flow_folder is not None and is_module_beside(_module(entry), flow_folder)]
    hooks = load_hooks(entry for entry in found if entry not in skipped)
    return hooks, tuple(f"hook {name_of(entry)}" for entry in skipped)


def status_hooks(settings: Settings, plugins: PluginsSpec) -> Hooks | None:
    """Likewise the hooks that only `status` asks."""
    if not (installed := installed_in(STATUS)):
        return None
    return load_hooks(select_hooks(plugins.block, allowed_distributions(settings, plugins), installed))


def _module(entry: PluginEntry) -> str:
    return entry.target.partition(":")[0].strip()
