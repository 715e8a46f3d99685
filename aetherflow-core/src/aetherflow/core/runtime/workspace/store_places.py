"""Where the stores of a project are: the state root, a flow's state, the lock store.

The caller may open them: paths in a server lead there from then on.
"""

from collections.abc import Container
from pathlib import Path

from aetherflow.core.base.engine_files import LOCKS, engine_folder
from aetherflow.core.base.errors import UsageError
from aetherflow.core.base.location import DocPath, Location
from aetherflow.core.runtime.environment.project import Project
from aetherflow.core.runtime.environment.snapshot import Snapshot
from aetherflow.core.runtime.workspace.places import absolute_path, default_state_root, in_server

STATE_RESOURCE: DocPath = ("state", "resource")


def state_root(snapshot: Snapshot) -> Path:
    """The server of the project, else the setting `state_root`, else the platform's state folder; absolute."""
    _tell(snapshot)
    return state_server(snapshot) or default_state_root(snapshot.settings.state_root, snapshot.env)


def state_server(snapshot: Snapshot) -> Path | None:
    """What stands for the stores of a project with `state: {resource: NAME}`; None for one without. SpecError."""
    project = snapshot.project
    if project.spec.state is None:
        return None
    return state_in(snapshot, project.spec.state.resource, _place(project, STATE_RESOURCE))


def state_in(snapshot: Snapshot, resource: str, at: Location) -> Path:
    """What stands for the path of a state in the server of a resource, which is named `at`. SpecError."""
    from aetherflow.core.runtime.workspace.state_server import server_path

    _tell(snapshot)
    return server_path(snapshot.project, resource, at)


def state_path(given: str | None, flow_id: str, snapshot: Snapshot) -> Path:
    """`flow.state.path`, else the server of the project, else `<flow id>.sqlite` under the state root; absolute."""
    if given:
        return absolute_path(given)
    root = state_root(snapshot)
    return root if in_server(root) else root / f"{flow_id}.sqlite"


def lock_store(snapshot: Snapshot, resources: Container[str] = ()) -> Path:
    """The setting `lock_store`, else the server of the project, else `locks.sqlite` of the engine's files; absolute.

    The setting may name a resource of the project file. UsageError for one of the flow's own `resources`.
    """
    given = snapshot.settings.lock_store
    if not given:
        root = state_root(snapshot)
        return root if in_server(root) else engine_folder(root) / LOCKS
    if "/" not in given and given in snapshot.project.spec.resources:
        return state_in(snapshot, given, Location("AETHERFLOW_LOCK_STORE"))
    if "/" not in given and given in resources:
        message = f"AETHERFLOW_LOCK_STORE: {given!r} is a resource of the flow, and all flows share the locks"
        raise UsageError(message, fix=f"move it into the project file; a file called {given} is ./{given}")
    return absolute_path(given)


def _tell(snapshot: Snapshot) -> None:
    if snapshot.project.spec.resources:
        from aetherflow.core.runtime.workspace.state_server import use_state_servers  # most projects have none

        use_state_servers(snapshot)


def _place(project: Project, path: DocPath) -> Location:
    return project.document.source.value(path) if project.document is not None else Location("")
