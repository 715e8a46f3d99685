"""Finding and reading the project file `aetherflow.yaml`: the nearest one above the flow that is safe to trust."""

import os
import shlex
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from aetherflow.core.base.errors import SpecError
from aetherflow.core.base.location import Location
from aetherflow.core.base.problems import Problem
from aetherflow.core.base.typed import CONFIG_VARIABLE
from aetherflow.core.kernel.yaml.binder import bind
from aetherflow.core.kernel.yaml.loader import Document
from aetherflow.core.runtime.environment.documents import load_document
from aetherflow.core.runtime.environment.project_file import PROJECT_FILE, find_project
from aetherflow.core.runtime.environment.spec.project import ProjectSpec

__all__ = ["CONFIG_VARIABLE", "PROJECT_FILE", "Project", "find_project", "load_project"]


class Project(NamedTuple):
    """A project file as read; without one, `document` is None and every setting has its default."""

    spec: ProjectSpec
    document: Document | None = None

    @property
    def folder(self) -> Path | None:
        """The file's folder, against which its relative paths are resolved; None without a file."""
        return Path(self.document.file).absolute().parent if self.document else None


def load_project(flow_folder: Path, env: Mapping[str, str], explicit: Path | None = None) -> Project:
    """The project file named by `--config` or AETHERFLOW_CONFIG, else the nearest one at or above the flow's folder.

    Raises SpecError for a file that is invalid, named but missing, owned by another user, or writable by others.
    """
    named = explicit or (Path(env[CONFIG_VARIABLE]) if env.get(CONFIG_VARIABLE) else None)
    path = named or find_project(flow_folder)
    if path is None:
        return Project(ProjectSpec.model_construct())
    document = load_document(path)
    if (problem := _untrusted(path)) is not None:
        raise SpecError([problem])
    spec, problems = bind(ProjectSpec, document.data, document.source)
    if spec is None:
        raise SpecError(problems)
    return Project(spec, document)


def _untrusted(path: Path) -> Problem | None:
    # whoever can write this file decides which code and which secrets a run uses
    found = path.stat()
    at = Location(str(path))
    if found.st_uid not in (0, os.getuid()):
        message = f"belongs to user {found.st_uid}, neither to root nor to the user who runs"
        return Problem(
            "AF1601",
            message,
            at,
            code="project:untrusted",
            fix=f"chown it: chown {os.getuid()} {shlex.quote(str(path))}",
        )
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        message = f"is writable by others (mode {stat.S_IMODE(found.st_mode):04o})"
        return Problem("AF1601", message, at, code="project:untrusted", fix=f"chmod go-w {shlex.quote(str(path))}")
    return None
