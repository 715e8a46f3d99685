"""A checked flow document with what locates its runs: the flow's id and the file of its state."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from aetherflow.core.base import durable
from aetherflow.core.base.errors import ResolverError, SpecError
from aetherflow.core.base.location import DocPath, format_path
from aetherflow.core.base.problems import Problem
from aetherflow.core.host.catalog import Catalog
from aetherflow.core.kernel.resolver.template import render
from aetherflow.core.kernel.yaml.flow import DEFAULT_LAYOUT, FlowMetaSpec, FlowSpec
from aetherflow.core.kernel.yaml.loader import Document
from aetherflow.core.runtime.environment.policing import place_findings
from aetherflow.core.runtime.environment.profiles import Profiles
from aetherflow.core.runtime.environment.snapshot import Snapshot
from aetherflow.core.runtime.workspace.assets import Assets
from aetherflow.core.runtime.workspace.engine_files import EngineFiles
from aetherflow.core.runtime.workspace.paths import is_folder_name
from aetherflow.core.runtime.workspace.places import FLOW_ID, work_root
from aetherflow.core.runtime.workspace.store_places import state_in, state_path


class PreparedFlow(NamedTuple):
    """A checked flow and everything about it that does not depend on a run."""

    document: Document
    spec: FlowSpec
    snapshot: Snapshot
    catalog: Catalog
    profiles: Profiles
    flow_id: str
    file: Path
    """Absolute path of the flow file."""
    folder: Path
    """Folder of the flow file, or in a bundle that of its version; steps may read it."""
    assets: Assets
    """Resolves the files that belong to the flow."""
    state_path: Path
    fingerprint: str
    """sha256 of the flow's text."""

    @property
    def env(self) -> Mapping[str, str]:
        """The environment of the run."""
        return self.snapshot.env


class Places(NamedTuple):
    """Where the folders of a run stand, and whom to ask about it."""

    work_root: Path
    layout: Mapping[str, str]
    owner: str | None
    runbook_url: str | None


def prepare(
    document: Document, spec: FlowSpec, profiles: Profiles, snapshot: Snapshot, catalog: Catalog
) -> PreparedFlow:
    """Render the id and the state path of a checked flow; SpecError if a template in them fails."""
    path = document.file
    env = snapshot.env
    found = _render(document, {"id": spec.flow.id, "state": {"path": spec.flow.state.path}}, {"env": env})
    flow_id, given = found["id"], found["state"]["path"]
    if not FLOW_ID.match(flow_id):
        raise SpecError([_problem(document, ("flow", "id"), "AF1206", f"{flow_id!r} is not an id once rendered")])
    if (resource := spec.flow.state.resource) is not None:
        state = state_in(snapshot, resource, document.source.value(("flow", "state", "resource")))
    else:
        state = state_path(given, flow_id, snapshot)
    if durable.server_at(state) is None:
        _require_place(document, snapshot, ("state", "path"), ("roots", "state"), state)
        _require_apart(document, EngineFiles.of(snapshot), "state", state)
    return PreparedFlow(
        document=document,
        spec=spec,
        snapshot=snapshot,
        catalog=catalog,
        profiles=profiles,
        flow_id=flow_id,
        file=Path(path).absolute(),
        folder=snapshot.bundle.folder if snapshot.bundle else Path(path).absolute().parent,
        assets=Assets.of(snapshot, Path(path).absolute().parent),
        state_path=state,
        fingerprint=hashlib.sha256(document.text.encode()).hexdigest(),
    )


def render_places(flow: PreparedFlow, constants: Mapping[str, Any]) -> Places:
    """Render the rest of the section `flow` with `env`, `params` and `run`; SpecError if a template fails."""
    document = flow.document
    # dumped as a part of the whole, whose schema is there; that of the part is built only if a template needs it
    raw = flow.spec.model_dump(include={"flow"}, exclude={"flow": {"params"}})["flow"]
    rendered = _render(document, raw, constants)
    meta = flow.spec.flow if rendered == raw else FlowMetaSpec.model_validate(rendered)
    for key, name in meta.workspace.layout.items():
        if not is_folder_name(name):
            path = ("flow", "workspace", "layout", key)
            raise SpecError([_problem(document, path, "AF1206", f"{name!r} is not a folder name once rendered")])
    root = work_root(meta.workspace.root, flow.snapshot.settings, flow.env)
    _require_place(document, flow.snapshot, ("workspace", "root"), ("roots", "work"), root)
    _require_apart(document, EngineFiles.of(flow.snapshot), "workspace", root / flow.flow_id)
    return Places(root, {**DEFAULT_LAYOUT, **meta.workspace.layout}, meta.owner, meta.runbook_url)


def _require_place(document: Document, snapshot: Snapshot, at: DocPath, key: DocPath, path: Path) -> None:
    where = document.source.value(("flow", *at))
    if found := place_findings(snapshot.policy, key, path, f"flow.{'.'.join(map(str, at))}", where):
        raise SpecError(found)


def _require_apart(document: Document, engine: EngineFiles, section: str, path: Path) -> None:
    if found := engine.of_flow(document, section, path):
        raise SpecError(found)


def _render(document: Document, value: Any, scope: Mapping[str, Any]) -> Any:
    try:
        return render(value, scope, ("flow",))
    except ResolverError as error:
        raise SpecError([_problem(document, error.at, error.code, str(error))]) from error


def _problem(document: Document, path: DocPath, af: str, message: str) -> Problem:
    return Problem(af, message, document.source.value(path), format_path(path), code="template:syntax")
