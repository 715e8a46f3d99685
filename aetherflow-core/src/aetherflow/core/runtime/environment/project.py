"""Finding and reading the project file `aetherflow.yaml`: the nearest one above the flow that is safe to trust."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple

from aetherflow.core.base.errors import SpecError
from aetherflow.core.base.typed import CONFIG_VARIABLE
from aetherflow.core.kernel.yaml.binder import bind
from aetherflow.core.kernel.yaml.loader import Document
from aetherflow.core.runtime.environment.documents import load_document
from aetherflow.core.runtime.environment.project_file import PROJECT_FILE, find_project
from aetherflow.core.runtime.environment.spec.project import ProjectSpec
from aetherflow.core.runtime.environment.trust import require

__all__ = ["CONFIG_VARIABLE", "PROJECT_FILE", "Project", "find_project", "load_project", "no_project"]


class Project(NamedTuple):
    """A project file as read; without one, `document` is None and every setting has its default."""

    spec: ProjectSpec
    document: Document | None = None
    folder: Path | None = None
    """Where the file stands, without links: its relative paths count from there, not from a link that leads to it."""


def load_project(flow_folder: Path, env: Mapping[str, str], explicit: Path | None = None) -> Project:
    """The project file named by `--config` or AETHERFLOW_CONFIG, else the nearest one at or above the flow's folder.

    Raises SpecError for a file that is invalid, named but missing, or that another user may write.
    """
    named = explicit or (Path(env[CONFIG_VARIABLE]) if env.get(CONFIG_VARIABLE) else None)
    path = named or find_project(flow_folder)
    if path is None:
        return no_project()
    real = require(path, "which code runs and which secrets are read")
    document = load_document(path)
    spec, problems = bind(_model_of(document.data), document.data, document.source)
    if spec is None:
        raise SpecError(problems)
    return Project(spec, document, real.parent)


@cache
def no_project() -> Project:
    """What holds where no project file is; its model is made once."""
    return Project(ProjectSpec.model_construct())


def _model_of(data: object) -> type[ProjectSpec]:
    if not isinstance(data, dict) or not {"artifacts", "notify", "retention"} & data.keys():
        return ProjectSpec
    from aetherflow.core.runtime.environment.spec.project_file import ProjectFileSpec  # few files have these keys

    return ProjectFileSpec
