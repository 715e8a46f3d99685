"""The catalogue of a run: what is installed, and its folder plugins, under its rules."""

from aetherflow.core.host.catalog import Catalog
from aetherflow.core.host.metadata import group_errors, installed_in, legacy_plugins
from aetherflow.core.runtime.environment.snapshot import Snapshot


def catalog_for(snapshot: Snapshot) -> Catalog:
    """The catalogue under the rules of a snapshot; its folder plugins are loaded."""
    folder = None
    if snapshot.plugin_paths:
        from aetherflow.core.host.folder import load_folder_plugins  # most runs have none

        folder = load_folder_plugins(snapshot.plugin_paths)
    return Catalog(
        installed_in(),
        rules=snapshot.rules,
        folder=folder,
        legacy=legacy_plugins(),
        unread=group_errors(),
        strict=snapshot.settings.plugin_strict,
        skipped=snapshot.skipped_plugins,
    )
