"""Resources of the project file that keep state, locks and ledger in a database server.

A store in a server is named `//DRIVER:RESOURCE`, the same on every host. A process can open it once it knows the
resources of a project, which costs nothing: the connector is built when a store is opened.
"""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from aetherflow.core.base import durable
from aetherflow.core.base.errors import PluginError, SpecError, StateError, UsageError
from aetherflow.core.base.location import DocPath, Location, format_path
from aetherflow.core.base.problems import Problem
from aetherflow.core.base.redact import Redactor
from aetherflow.core.base.suggest import did_you_mean
from aetherflow.core.contracts.kinds.names import DB
from aetherflow.core.contracts.state_backend import StateBackend
from aetherflow.core.host.catalog import Catalog
from aetherflow.core.host.first_party import hinted
from aetherflow.core.host.installing import driver_command, missing_drivers
from aetherflow.core.host.names import CONNECTORS, STATE_BACKENDS
from aetherflow.core.kernel.yaml.spec import ResourceSpec
from aetherflow.core.runtime.environment.policy import catalog_for
from aetherflow.core.runtime.environment.project import Project
from aetherflow.core.runtime.environment.snapshot import Snapshot
from aetherflow.core.runtime.processes.between_runs import kept_beyond_run
from aetherflow.core.runtime.workspace.places import SERVERS, default_state_root

NOTE = "database"
"""File in such a folder that says of which database it is."""


def use_state_servers(snapshot: Snapshot) -> None:
    """Let the paths of servers lead to the resources of the project file, in this process.

    Raises UsageError where two project files mean two servers by one name.
    """
    for name, spec in snapshot.project.spec.resources.items():
        if spec.kind == DB and not _knows(snapshot, _name(name, spec)):
            server = _ResourceServer(name, spec, snapshot)
            _require_same(server)
            _told[server.name] = server
            durable.servers[server.name] = server


def server_path(project: Project, resource: str, at: Location) -> Path:
    """What stands for the path of a state in the server of a resource; `at` is where it is named. SpecError."""
    if (problem := unknown_resource(project, resource, at)) is not None:
        raise SpecError([problem])
    return Path(_name(resource, project.spec.resources[resource]))


def unknown_resource(project: Project, resource: str, at: Location, loc: str = "") -> Problem | None:
    """The finding for the name of a resource that cannot be in the project file, or is of a wrong kind."""
    spec = project.spec.resources.get(resource)
    if spec is None:
        message = f"no resource {resource!r} in the project file, where a resource that keeps states stands"
        fix = did_you_mean(resource, _databases(project), what="databases of the project file")
        return Problem("AF1209", message, at, loc, "semantic:unknown_resource", fix)
    if spec.kind != DB:
        message = f"resource {resource!r} is of kind {spec.kind}, which keeps no states"
        return Problem("AF1210", message, at, loc, "semantic:resource_kind", f"name one of kind {DB}")
    return None


def state_resource_problems(project: Project, resource: str, catalog: Catalog) -> Iterator[Problem]:
    """What is against keeping states by a database of the project file."""
    spec, path = project.spec.resources[resource], ("resources", resource)
    assert project.document is not None  # noqa: S101 it has a resource
    source, driver = project.document.source, (*path, "driver")
    if spec.decode:
        where: DocPath = (*path, "decode")
        message = (
            f"{format_path(where)}: a resource that keeps states may use env only, since it is used by every command"
        )
        fix = 'give the secret in a variable: password: "{{env.OPS_PASSWORD}}"'
        yield Problem("AF1104", message, source.value(where), format_path(where), "semantic:unsupported", fix)
    try:
        catalog.find(CONNECTORS, f"{spec.kind}.{spec.driver}")
        known = sorted({*catalog.names(STATE_BACKENDS), *hinted("state_backends")})
        if spec.driver not in known:
            message = f"resource {resource!r} is {spec.kind}:{spec.driver}, which keeps no states"
            fix = f"name one whose driver is {' or '.join(known)}"
            yield Problem("AF1210", message, source.value(driver), format_path(driver), "semantic:resource_kind", fix)
            return
        catalog.find(STATE_BACKENDS, spec.driver)
        absent = missing_drivers(catalog.connector(spec.kind, spec.driver))
    except PluginError as error:
        extra = getattr(error, "extra", "")
        yield Problem(
            error.code, error.message, source.value(driver), format_path(driver), "plugin", error.fix, extra=extra
        )
        return
    if absent:
        name = f"{spec.kind}.{spec.driver}"
        message = f"resource {resource}: the driver of {spec.kind}:{spec.driver} is not installed ({', '.join(absent)})"
        fix = driver_command(name, absent, catalog.find(CONNECTORS, name).distribution)
        yield Problem("AF2105", message, source.value(driver), format_path(driver), "missing_driver", fix)


class _ResourceServer:
    """The server of a resource; its connector is built when a store is opened."""

    error: type[OSError] = OSError

    def __init__(self, resource: str, spec: ResourceSpec, snapshot: Snapshot) -> None:
        self.name = _name(resource, spec)
        self.folder = default_state_root(snapshot.settings.state_root, snapshot.env) / SERVERS / resource
        self.spec = spec
        self.project = snapshot.project.document.file if snapshot.project.document is not None else ""
        self.snapshot = snapshot
        self._resource = resource
        self._found: StateBackend | None = None
        self._is_own = False

    def database(self, store: str, *, busy_seconds: float, reading: bool = False) -> durable.Database:
        """A connection to the schema of a store. OSError; SpecError for a resource that cannot be used, StateError."""
        backend = self.backend()
        if not self._is_own:
            self._require_own(backend.address(), reading=reading)
        return backend.database(store, busy_seconds=busy_seconds, reading=reading)

    def _require_own(self, address: str, *, reading: bool) -> None:
        """The folder of this host is for one database; another project may call another one by the same name."""
        note = self.folder / NOTE
        known = note.read_text(encoding="utf-8") if note.exists() else ""
        if known not in ("", address):
            message = f"{self.name} is {address}, and {self.folder} belongs to another database: {known}"
            fix = f"give the resource another name in one of the projects; if it is the same database, remove {note}"
            raise StateError(message, fix=fix)
        if not known and not reading:
            with suppress(FileNotFoundError):  # another process of this host does the same at this moment
                durable.remove_parts_of(note)  # of one that was killed
                with durable.AtomicFile(note) as file:
                    file.write(address.encode())
        self._is_own = bool(known) or not reading

    def stores(self) -> list[str]:
        """The names of the stores that are there. Raises what `database` raises."""
        return self.backend().stores()

    def backend(self) -> StateBackend:
        """The backend over the connector of the resource. SpecError, PluginError, ConnectorError."""
        if self._found is None:
            from aetherflow.core.runtime.workspace.project_connector import ProjectConnector  # few projects have one

            project, catalog = self.snapshot.project, catalog_for(self.snapshot)
            if problems := list(state_resource_problems(project, self._resource, catalog)):
                raise SpecError(problems)
            connector = ProjectConnector(self._resource, self.snapshot, Redactor()).opened()
            cls: Any = catalog.get(STATE_BACKENDS, self.spec.driver)
            self._found = cls(connector, self.name, self.folder)
        return self._found


_told: dict[str, _ResourceServer] = {}
kept_beyond_run(_told.clear)  # another run may have another project file
kept_beyond_run(durable.servers.clear)


def backend_at(path: Path) -> StateBackend | None:
    """The backend of a server that a path names; None for a file. Raises what opening a store raises."""
    return _told[str(path)].backend() if durable.server_at(path) is not None else None


def _require_same(server: _ResourceServer) -> None:
    known = _told.get(server.name)
    if known is not None and known.project != server.project and known.spec != server.spec:
        message = f"{known.project} and {server.project} mean two databases by {server.name}"
        raise UsageError(message, fix="give the resource another name in one of them")


def _knows(snapshot: Snapshot, name: str) -> bool:
    return name in _told and _told[name].snapshot is snapshot


def _databases(project: Project) -> list[str]:
    return [name for name, spec in project.spec.resources.items() if spec.kind == DB]


def _name(resource: str, spec: ResourceSpec) -> str:
    return f"//{spec.driver}:{resource}"
