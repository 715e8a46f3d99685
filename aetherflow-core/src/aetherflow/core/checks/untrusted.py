"""Everything that a flow relies on and that another user could have written, for `doctor`."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from aetherflow.core.base.errors import SpecError, UntrustedError
from aetherflow.core.base.location import Location
from aetherflow.core.base.owners import judge
from aetherflow.core.base.problems import Problem
from aetherflow.core.kernel.yaml.binder import bind
from aetherflow.core.runtime.environment.documents import load_document
from aetherflow.core.runtime.environment.layers import listed_env_files
from aetherflow.core.runtime.environment.project import CONFIG_VARIABLE, Project, find_project, no_project
from aetherflow.core.runtime.environment.snapshot import CODE
from aetherflow.core.runtime.environment.spec.project_file import ProjectFileSpec
from aetherflow.core.runtime.environment.trust import tree_findings


def untrusted_files(folder: Path, config: Path | None, env: Mapping[str, str] = os.environ) -> Iterator[Problem]:
    """Findings for the files that the environment of flows in `folder` is made of, where building it ends at the first.

    What an untrusted project file names is looked at, too; nothing of it is run.
    """
    named = config or (Path(env[CONFIG_VARIABLE]) if env.get(CONFIG_VARIABLE) else None)
    path = named or find_project(folder)
    project = no_project()
    if path is not None:
        yield from tree_findings(path, "which code runs and which secrets are read")
        project = _read(path)
    try:
        env_files = listed_env_files(env, project)
    except SpecError:
        env_files = []  # reported where the environment is built
    for each, base, _ in env_files:
        yield from tree_findings(base / Path(each.path).expanduser(), "what the environment of runs holds")
    spec, base = project.spec, project.folder or Path.cwd()
    plugins = env.get("AETHERFLOW_PLUGIN_PATHS")
    for name in plugins.split(",") if plugins else spec.plugins.paths:
        yield from tree_findings(base / Path(name.strip()).expanduser(), CODE)
    if hook := env.get("AETHERFLOW_SECRETS_PATH") or spec.secrets.path:
        yield from tree_findings(base / Path(hook).expanduser(), CODE)


def untrusted_place(path: Path, what: str, at: Location, *, shared: bool = False) -> Iterator[Problem]:
    """Findings for a folder or file in which runs keep what they rely on."""
    for fault in judge(path, shared=shared).faults:
        why = fault.why if fault.why.startswith("the ") else f"it {fault.why}"
        message = f"{what} {path} will not be used: {why}"
        yield Problem(UntrustedError.code, message, at, code="host:untrusted", fix=fault.fix)


def _read(path: Path) -> Project:
    try:
        document = load_document(path)
        spec, _ = bind(ProjectFileSpec, document.data, document.source)
    except SpecError:
        spec = None  # reported by the check of the file itself
    if spec is None:
        return no_project()
    return Project(spec, document, judge(path).path.parent)
