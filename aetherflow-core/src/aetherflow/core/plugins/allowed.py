"""What the settings say about the plugins of an environment."""

from aetherflow.core.plugins.hooks import Hooks, load_hooks, select_hooks
from aetherflow.core.plugins.metadata import installed_hooks
from aetherflow.core.resolve.settings import DEFAULT_ALLOW, Settings
from aetherflow.core.spec.project import PluginsSpec


def allowed_distributions(settings: Settings, plugins: PluginsSpec) -> frozenset[str] | None:
    """The distributions that may be used in enterprise mode; None for all, in the other mode."""
    return frozenset((*DEFAULT_ALLOW, *plugins.allow)) if settings.mode == "enterprise" else None


def hooks_for(settings: Settings, plugins: PluginsSpec) -> Hooks | None:
    """The hooks that are installed and neither blocked nor forbidden, loaded; None if there are none.

    Raises PluginNotAllowedError, PluginLoadError, HookError.
    """
    if not installed_hooks():
        return None
    return load_hooks(select_hooks(plugins.block, allowed_distributions(settings, plugins)))
