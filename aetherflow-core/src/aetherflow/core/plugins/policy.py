"""Which of the installed steps and connectors a run may use: preferences, and the allowlist of enterprise mode."""

from aetherflow.core.plugins.allowed import allowed_distributions
from aetherflow.core.plugins.catalog import Catalog
from aetherflow.core.plugins.metadata import installed_plugins
from aetherflow.core.resolve.snapshot import Snapshot


def catalog_for(snapshot: Snapshot) -> Catalog:
    """The catalogue under the policy of a snapshot."""
    plugins = snapshot.project.spec.plugins
    allow = allowed_distributions(snapshot.settings, plugins)
    return Catalog(installed_plugins(), prefer=plugins.prefer, allow=allow)
