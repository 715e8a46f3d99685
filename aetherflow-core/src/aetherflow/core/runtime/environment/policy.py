"""The catalogue of a run: preferences, folder plugins, and the allowlist of enterprise mode."""

from functools import partial

from aetherflow.core.host.catalog import Catalog
from aetherflow.core.host.metadata import installed_plugins, legacy_plugins
from aetherflow.core.host.names import CONNECTORS, STEPS, shown
from aetherflow.core.runtime.environment.administrator import Administrator
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
        refused=partial(_refused, snapshot.policy) if snapshot.policy is not None else None,
    )


def _refused(policy: Administrator, group: str, name: str) -> str | None:
    section = {STEPS: "steps", CONNECTORS: "connectors"}.get(group)
    return policy.why_refused(section, shown(group, name)) if section is not None else None
