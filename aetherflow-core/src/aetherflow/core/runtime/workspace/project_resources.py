"""The resources of the project file, resolved as those of a flow are; their templates may read `env`."""

from pathlib import Path
from typing import Any, NamedTuple

from aetherflow.core.base import durable
from aetherflow.core.base.errors import ConnectorError
from aetherflow.core.base.redact import Redactor
from aetherflow.core.host.secret_settings import secret_settings
from aetherflow.core.runtime.connectors.connections import RunConnectors
from aetherflow.core.runtime.connectors.context import ConnectorsRun
from aetherflow.core.runtime.environment.policy import catalog_for
from aetherflow.core.runtime.environment.profiles import load_profiles
from aetherflow.core.runtime.environment.protecting import require_protected
from aetherflow.core.runtime.environment.resources import merge_resources, refuse_short, resolve_resources
from aetherflow.core.runtime.environment.snapshot import Snapshot
from aetherflow.core.runtime.workspace.assets import Assets
from aetherflow.core.runtime.workspace.places import work_root


class ProjectFolders:
    """Where the paths of the project's resources lead: files that are named stand beside the project file."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.base = work_root(None, snapshot.settings, snapshot.env)
        self.folder = snapshot.project.folder or Path.cwd()
        self._assets = Assets.of(snapshot, self.folder)

    def __str__(self) -> str:
        return str(self.base)

    def database_path(self, path: str) -> str:
        """Absolute path of a file of the connector's own; the folder is created on access."""
        found = self.base / Path(path).expanduser()
        durable.make_dir(self.base)
        return str(found)

    def asset_path(self, path: str) -> str:
        """Absolute path of a key, certificate or CA file."""
        from aetherflow.core.runtime.environment.trust import require  # few resources name one

        found = self._assets.locate(path)
        if found.exists():
            require(found, "whom connections trust")
        return str(found)


class ProjectResource(NamedTuple):
    """A resource of the project file whose connector can be built."""

    connectors: RunConnectors
    folders: ProjectFolders


def project_resource(name: str, snapshot: Snapshot, redactor: Redactor) -> ProjectResource:
    """A resource of the project file, under the same rules as those of a flow.

    Secrets that become known are added to `redactor`. Raises ConnectorError for an unknown name, and what
    `resolve_resources` raises.
    """
    project, catalog = snapshot.project, catalog_for(snapshot)
    if project.document is None or name not in project.spec.resources:
        raise ConnectorError(f"the project file has no resource {name!r}", fix="add it to `resources`")
    profiles = load_profiles(snapshot.settings, snapshot.setting_sources, project.document.file)
    only = project.spec.model_copy(update={"resources": {name: project.spec.resources[name]}})
    merged = merge_resources(project.document, only, profiles)
    found: dict[str, Any] = resolve_resources(merged, {"env": snapshot.env}, snapshot.hook, redactor)
    require_protected(merged, found, catalog)
    secrets = list(secret_settings(found, catalog))
    refuse_short(merged, ("resources", name), secrets)
    redactor.add(secrets)
    if profiles.document is not None:
        from aetherflow.core.runtime.workspace.profile_files import with_files_of_profiles

        assets = Assets.of(snapshot, project.folder or Path.cwd())
        found = with_files_of_profiles(found, merged.source, catalog, assets)
    folders = ProjectFolders(snapshot)
    connectors = RunConnectors(found, ConnectorsRun(folders, snapshot.settings), catalog, disabled=True)
    return ProjectResource(connectors, folders)
