"""The part of the environment that comes from a bundle; a manifest may tighten the policy, never loosen it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from aetherflow.core.base.location import Location
from aetherflow.core.host.requirements import both
from aetherflow.core.runtime.environment.project import Project
from aetherflow.core.runtime.environment.spec.environment import EnvFileSpec
from aetherflow.core.runtime.environment.spec.project import ManifestPluginsSpec, Mode

PROFILES_FILE, PROFILES_JSON = "AETHERFLOW_PROFILES_FILE", "AETHERFLOW_PROFILES_JSON"
PLUGIN_PATHS = "AETHERFLOW_PLUGIN_PATHS"
ACTIVE_DIR, CACHE_DIR = "AETHERFLOW_ACTIVE_DIR", "AETHERFLOW_CACHE_DIR"


class BundleLayer(NamedTuple):
    """The facts about one version of a bundle that its environment needs."""

    bundle_id: str
    content: str
    """Content fingerprint of the version."""
    fingerprint: str
    """Listing fingerprint of its source."""
    folder: Path
    """Folder of the version's files."""
    cache: Path
    manifest: Path
    """Absolute path of the manifest file."""
    mode: Mode
    profiles_file: str
    """Path of the profiles, relative to `folder`."""
    env_files: tuple[tuple[EnvFileSpec, Location], ...]
    plugins_dir: str | None
    """Folder with plugins in the bundle, used in mode internal_fast."""
    plugin_paths: tuple[str, ...]
    """Plugin paths outside of the bundle, used in enterprise mode."""
    zip_drivers: Sequence[str]
    plugins: ManifestPluginsSpec
    signed: Mapping[str, Any] | None = None
    """Version counter and key of the signature, where the policy asks for one; of several also `signers`."""


def under_manifest(project: Project, bundle: BundleLayer) -> Project:
    """The project with the manifest's rules applied: allowlists are intersected, preferences are added."""
    spec = project.spec
    drivers = spec.policy.zip_drivers
    policy = spec.policy.model_copy(
        update={"zip_drivers": [d for d in bundle.zip_drivers if drivers is None or d in drivers]}
    )
    given = spec.plugins.allow
    allow = both(given, bundle.plugins.allow) if given else bundle.plugins.allow
    prefer = {**bundle.plugins.prefer, **spec.plugins.prefer}
    update = {"allow": allow if bundle.plugins.allow else given, "prefer": prefer}
    plugins = spec.plugins.model_copy(update=update)
    return project._replace(spec=spec.model_copy(update={"policy": policy, "plugins": plugins}))
