"""The check of what keeps states in a database server: `flow.state` of a flow, `state` of a project file."""

from typing import Any

from aetherflow.core.base.location import DocPath, format_path
from aetherflow.core.base.problems import Problem, Problems
from aetherflow.core.base.suggest import did_you_mean
from aetherflow.core.host.catalog import Catalog
from aetherflow.core.host.names import STATE_BACKENDS
from aetherflow.core.kernel.yaml.loader import Document
from aetherflow.core.runtime.environment.snapshot import Snapshot
from aetherflow.core.runtime.workspace.state_server import state_resource_problems, unknown_resource
from aetherflow.core.runtime.workspace.store_places import STATE_RESOURCE

FILE = "sqlite"
"""The backend that needs no resource."""


def check_flow_state(document: Document, catalog: Catalog, snapshot: Snapshot, problems: Problems) -> None:
    """Check `flow.state`; without `resource` what the project file says, unless that file is in use without it."""
    data = document.data.get("flow") if isinstance(document.data, dict) else None
    given = data.get("state") if isinstance(data, dict) else None
    state: dict[str, Any] = given if isinstance(given, dict) else {}
    backend, resource = state.get("backend"), state.get("resource")
    if isinstance(resource, str):
        _check_resource(document, state, catalog, snapshot, problems)
    elif isinstance(backend, str) and backend != FILE:
        known = [FILE, *catalog.names(STATE_BACKENDS)]
        if backend in known:
            fix = f"name a database of the project file: state: {{backend: {backend}, resource: NAME}}"
            _add(document, problems, "AF1102", "flow.state lacks the key 'resource'", ("flow", "state"), fix)
        else:
            at: DocPath = ("flow", "state", "backend")
            fix = did_you_mean(backend, known, what="backends")
            _add(document, problems, "AF1104", f"{format_path(at)}: {backend!r} is not supported", at, fix)
    elif "path" not in state:
        check_project_state(snapshot, catalog, problems)


def check_project_state(snapshot: Snapshot, catalog: Catalog, problems: Problems) -> None:
    """Check the section `state` of the project file."""
    project = snapshot.project
    if project.spec.state is None or project.document is None:
        return
    name, at = project.spec.state.resource, project.document.source.value(STATE_RESOURCE)
    unknown = unknown_resource(project, name, at, format_path(STATE_RESOURCE))
    problems.extend([unknown] if unknown is not None else state_resource_problems(project, name, catalog))


def _check_resource(
    document: Document, state: dict[str, Any], catalog: Catalog, snapshot: Snapshot, problems: Problems
) -> None:
    at: DocPath = ("flow", "state", "resource")
    name, project = state["resource"], snapshot.project
    if state.get("path") is not None:
        message = "flow.state.path: a state in a server has no file"
        _add(document, problems, "AF1104", message, ("flow", "state", "path"), "remove it, or `resource`")
    unknown = unknown_resource(project, name, document.source.value(at), format_path(at))
    if unknown is not None:
        problems.add(unknown)
        return
    driver, backend = project.spec.resources[name].driver, state.get("backend", FILE)
    if backend != driver:
        where: DocPath = ("flow", "state", "backend") if "backend" in state else ("flow", "state")
        message = f"flow.state.backend: resource {name!r} is {driver}, and not {backend}"
        _add(document, problems, "AF1104", message, where, f"write: state: {{backend: {driver}, resource: {name}}}")
    problems.extend(state_resource_problems(project, name, catalog))


def _add(document: Document, problems: Problems, af: str, message: str, path: DocPath, fix: str) -> None:
    code = "schema:missing" if af == "AF1102" else "semantic:unsupported"
    problems.add(Problem(af, message, document.source.value(path), format_path(path), code, fix))
