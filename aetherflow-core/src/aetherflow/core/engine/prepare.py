"""A flow document, checked and rendered, ready to run."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from aetherflow.core.checks.report import check_flow
from aetherflow.core.documents.loader import Document
from aetherflow.core.errors import ResolverError, SpecError
from aetherflow.core.location import DocPath, format_path
from aetherflow.core.problems import Problem
from aetherflow.core.resolve.environment import build_environment
from aetherflow.core.resolve.paths import is_folder_name
from aetherflow.core.resolve.places import state_path, work_root
from aetherflow.core.resolve.template import render
from aetherflow.core.spec.flow import DEFAULT_LAYOUT, FlowMetaSpec, FlowSpec

ID = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,127}\Z")


@dataclass(frozen=True, slots=True)
class PreparedFlow:
    """Everything that is known before the run."""

    document: Document
    spec: FlowSpec
    env: Mapping[str, str]
    flow_id: str
    folder: Path
    """Folder of the flow file."""
    work_root: Path
    layout: Mapping[str, str]
    state_path: Path
    fingerprint: str
    """sha256 of the flow's text."""


def prepare(path: str | Path, ambient: Mapping[str, str] | None = None) -> PreparedFlow:
    """Check a flow file and render its metadata; SpecError carries every problem."""
    folder = Path(path).absolute().parent
    env = build_environment(folder, ambient)
    checked = check_flow(path, env)
    checked.problems.raise_if_errors()
    document, spec = checked.document, checked.spec
    if document is None or spec is None:
        raise SpecError(list(checked.problems))
    meta = _render_meta(spec.flow, document, env)
    return PreparedFlow(
        document=document,
        spec=spec,
        env=env,
        flow_id=meta.id,
        folder=folder,
        work_root=work_root(meta.workspace.root, env),
        layout={**DEFAULT_LAYOUT, **meta.workspace.layout},
        state_path=state_path(meta.state.path, meta.id, env),
        fingerprint=hashlib.sha256(document.text.encode()).hexdigest(),
    )


def _render_meta(meta: FlowMetaSpec, document: Document, env: Mapping[str, str]) -> FlowMetaSpec:
    try:
        rendered = FlowMetaSpec.model_validate(render(meta.model_dump(), {"env": env}, ("flow",)))
    except ResolverError as error:
        raise SpecError([_problem(document, error.at, error.code, str(error))]) from error
    if not ID.match(rendered.id):
        raise SpecError([_problem(document, ("flow", "id"), "AF1206", f"{rendered.id!r} is not an id once rendered")])
    for key, name in rendered.workspace.layout.items():
        if not is_folder_name(name):
            path = ("flow", "workspace", "layout", key)
            raise SpecError([_problem(document, path, "AF1206", f"{name!r} is not a folder name once rendered")])
    return rendered


def _problem(document: Document, path: DocPath, af: str, message: str) -> Problem:
    return Problem(af, message, document.source.value(path), format_path(path), code="template:syntax")
