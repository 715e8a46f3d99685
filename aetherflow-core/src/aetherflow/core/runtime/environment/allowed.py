"""The distributions and hooks that the settings allow."""

from pathlib import Path

from aetherflow.core.host.first_party import first_party
from aetherflow.core.host.hooks import Hooks, load_hooks, name_of, select_hooks
from aetherflow.core.host.metadata import PluginEntry, installed_hooks, installed_in
from aetherflow.core.host.names import STATUS
from aetherflow.core.runtime.environment.beside import is_module_beside
from aetherflow.core.runtime.environment.settings import Settings
from aetherflow.core.runtime.environment.spec.project import PluginsSpec


def allowed_distributions(settings: Settings, plugins: PluginsSpec) -> frozenset[str] | None:
    """The distributions whose plugins enterprise mode accepts; None (all) in any other mode."""
    return first_party() | set(plugins.allow) if settings.mode == "enterprise" else None


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
