"""The connector of a resource of the project file, under the same rules as those of a flow."""

from pathlib import Path
from typing import Any

from aetherflow.core.base import durable
from aetherflow.core.base.errors import ConnectorError
from aetherflow.core.base.redact import Redactor
from aetherflow.core.contracts.kinds.local import WritesLocally
from aetherflow.core.host.secret_settings import secret_settings
from aetherflow.core.runtime.connectors.connections import RunConnectors
from aetherflow.core.runtime.connectors.context import ConnectorsRun
from aetherflow.core.runtime.environment.policy import catalog_for
from aetherflow.core.runtime.environment.profiles import load_profiles
from aetherflow.core.runtime.environment.protecting import NamedFolders, require_protected
from aetherflow.core.runtime.environment.resources import Resources, merge_resources, refuse_short, resolve_resources
from aetherflow.core.runtime.environment.snapshot import Snapshot
from aetherflow.core.runtime.workspace.assets import Assets
from aetherflow.core.runtime.workspace.engine_files import EngineFiles
from aetherflow.core.runtime.workspace.places import work_root
from aetherflow.core.runtime.workspace.sandbox import Sandbox


class ProjectConnector:
    """The connector of one resource of the project file: opened at the first use, and again after `close`."""

    def __init__(self, name: str, snapshot: Snapshot, redactor: Redactor) -> None:
        """Secrets that become known are added to `redactor`. Raises SpecError, ConnectorError without that resource."""
        self.name = name
        self._snapshot = snapshot
        self._folders = _Folders(snapshot)
        project, catalog = snapshot.project, catalog_for(snapshot)
        if project.document is None or name not in project.spec.resources:
            raise ConnectorError(f"the project file has no resource {name!r}", fix="add it to `resources`")
        profiles = load_profiles(snapshot.settings, snapshot.setting_sources, project.document.file)
        only = project.spec.model_copy(update={"resources": {name: project.spec.resources[name]}})
        merged = merge_resources(project.document, only, profiles)
        found = resolve_resources(merged, {"env": snapshot.env}, snapshot.hook, redactor)
        secrets = list(secret_settings(found, catalog))
        refuse_short(merged, ("resources", name), secrets)
        redactor.add(secrets)
        if profiles.document is not None:
            found = _located(found, merged, snapshot, catalog)
        require_protected(merged, found, catalog, snapshot, NamedFolders(self._folders.folder, self._folders.base))
        self._connectors = RunConnectors(found, ConnectorsRun(self._folders, snapshot.settings, redactor), catalog)

    def opened(self) -> Any:
        """The connector. Raises what its class raises; PathError if it would write outside of the roots."""
        connector = self._connectors.get(
            kind=self._connectors.resources[self.name]["kind"], name=self.name, cache="run"
        )
        if self._snapshot.settings.mode == "enterprise" and isinstance(connector, WritesLocally):
            sandbox = Sandbox.of(self._snapshot, self._folders.base, self._folders.folder, ())
            for place in connector.local_places():
                sandbox.to_write(str(place.resolve()), self._folders.base, self._folders.base)
        return connector

    def interrupt(self) -> None:
        """Make a call in another thread return with an error."""
        self._connectors.interrupt()

    def close(self) -> None:
        """Close the connector; failures are logged."""
        self._connectors.close()


class _Folders:
    """Where the paths of the project's resources lead: files that are named stand beside the project file."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.base = work_root(None, snapshot.settings, snapshot.env)
        self.folder = snapshot.project.folder or Path.cwd()
        self._assets = Assets.of(snapshot, self.folder)
        self._engine = EngineFiles.of(snapshot)

    def __str__(self) -> str:
        return str(self.base)

    def database_path(self, path: str) -> str:
        """Absolute path of a file of the connector's own; the folder is created on access."""
        found = self.base / Path(path).expanduser()
        durable.make_dir(self.base)
        return str(found)

    def require_apart(self, place: Path) -> None:
        """PathError if a folder or file meets, or a folder holds, the engine's own files."""
        self._engine.require_apart(place, whole=True)

    def asset_path(self, path: str) -> str:
        """Absolute path of a key, certificate or CA file."""
        from aetherflow.core.runtime.environment.trust import require  # few resources name one

        found = self._assets.locate(path)
        if found.exists():
            require(found, "whom connections trust")
        return str(found)


def _located(found: dict[str, dict[str, Any]], merged: Resources, snapshot: Snapshot, catalog: Any) -> dict[str, Any]:
    from aetherflow.core.runtime.workspace.profile_files import with_files_of_profiles

    assets = Assets.of(snapshot, snapshot.project.folder or Path.cwd())
    return with_files_of_profiles(found, merged.source, catalog, assets)
