"""Where the files of a flow stand, as far as its environment tells, and what stands in the working directory."""

import shlex
from pathlib import Path
from typing import Any, NamedTuple

from aetherflow.core.base.errors import PluginError, ResolverError, SpecError
from aetherflow.core.base.location import Location, format_path
from aetherflow.core.base.problems import Problem, Problems
from aetherflow.core.checks.view import resources
from aetherflow.core.host.catalog import Catalog
from aetherflow.core.kernel.resolver.template import render
from aetherflow.core.kernel.yaml.loader import Document
from aetherflow.core.runtime.environment.snapshot import Snapshot
from aetherflow.core.runtime.workspace.places import work_root
from aetherflow.core.runtime.workspace.store_places import state_in, state_path


class FlowPlaces(NamedTuple):
    """Id of a flow, work root, and state (a file, or in a server); None where they need more than the environment."""

    flow_id: str | None
    work_root: Path | None
    state_path: Path | None


def places_of(document: Document | None, snapshot: Snapshot) -> FlowPlaces:
    """The places of a flow that may be invalid elsewhere."""
    data = document.data.get("flow") if document is not None and isinstance(document.data, dict) else None
    flow = data if isinstance(data, dict) else {}
    work = _part(flow, "workspace", "root")
    flow_id = rendered(flow.get("id"), snapshot)
    root = rendered(work, snapshot)
    settings, env = snapshot.settings, snapshot.env
    return FlowPlaces(
        flow_id,
        work_root(root, settings, env) if root is not None or work is None else None,
        _state(flow, flow_id or "flow", snapshot),
    )


def _state(flow: dict[str, Any], flow_id: str, snapshot: Snapshot) -> Path | None:
    state, resource = _part(flow, "state", "path"), _part(flow, "state", "resource")
    file = rendered(state, snapshot)
    try:
        if resource is not None:
            return state_in(snapshot, str(resource), Location(""))
        return state_path(file, flow_id, snapshot) if file is not None or state is None else None
    except SpecError:  # reported where the resource is named
        return None


def _part(flow: dict[str, Any], section: str, key: str) -> Any:
    found = flow.get(section)
    return found.get(key) if isinstance(found, dict) else None


def rendered(value: Any, snapshot: Snapshot) -> str | None:
    """A text that is rendered with the environment; None for what is no text, or needs more than that."""
    try:
        found = render(value, {"env": snapshot.env})
    except ResolverError:
        return None
    return found if isinstance(found, str) else None


class Misplaced(NamedTuple):
    """A database file of a resource that exists in the working directory, and not where the run looks for it."""

    resource: str
    there: Path
    here: Path


def misplaced_databases(document: Document, catalog: Catalog, snapshot: Snapshot) -> list[Misplaced]:
    """Those of all resources of a flow, merged with their profiles."""
    flow_id, root, _ = places_of(document, snapshot)
    if flow_id is None or root is None:
        return []
    found = []
    for part in resources(document.data):
        try:
            cls = catalog.connector(str(part.data.get("kind")), str(part.data.get("driver")))
            # the method is the plugin's own code, and the config may be invalid
            name = rendered(cls.database_file(part.get("config", dict) or {}), snapshot)
        except (PluginError, AttributeError, TypeError, ValueError):
            continue
        try:
            if name is None or Path(name).expanduser().is_absolute():
                continue
            there, here = root / flow_id / name, Path.cwd() / name
            if here.is_file() and not there.exists() and snapshot.redactor().mask(name) == name:
                found.append(Misplaced(part.name or "", there, here))
        except (OSError, ValueError):  # no path, or the working directory was removed
            continue
    return found


def check_databases(document: Document, catalog: Catalog, snapshot: Snapshot, problems: Problems) -> None:
    """Warn of database files that exist in the working directory, where nobody looks for them."""
    for each in misplaced_databases(document, catalog, snapshot):
        path = ("resources", each.resource, "config")
        message = f"resource {each.resource}: the database is {each.there}, which does not exist, and not {each.here}"
        at = document.source.value(path)
        problems.add(Problem("AF1217", message, at, format_path(path), "semantic:working_dir", move(each), "warning"))


def move(found: Misplaced) -> str:
    """What to do about it, with a command."""
    folder, here, there = (shlex.quote(str(path)) for path in (found.there.parent, found.here, found.there))
    return f"move it: mkdir -p {folder} && mv {here} {there}; or write its absolute path"
