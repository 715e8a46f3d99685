"""The catalogue of a run: preferences, folder plugins, and the allowlist of enterprise mode."""

from aetherflow.core.host.catalog import Catalog
from aetherflow.core.host.metadata import installed_plugins, legacy_plugins
from aetherflow.core.runtime.environment.allowed import allowed_distributions
from aetherflow.core.runtime.environment.snapshot import Snapshot


def catalog_for(snapshot: Snapshot) -> Catalog:
    """The catalogue under the policy of a snapshot; its folder plugins are loaded."""
    plugins = snapshot.project.spec.plugins
    allow = allowed_distributions(snapshot.settings, plugins)
    folder = None
    if snapshot.plugin_paths:
        from aetherflow.core.host.folder import load_folder_plugins  # most runs have none

        folder = load_folder_plugins(snapshot.plugin_paths)
    return Catalog(
        installed_plugins(),
        prefer=plugins.prefer,
        allow=allow,
        folder=folder,
        legacy=legacy_plugins(),
        strict=snapshot.settings.plugin_strict,
        skipped=snapshot.skipped_plugins,
    )
