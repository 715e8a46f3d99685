"""Building the environment for a check: its errors become findings."""

import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from aetherflow.core.base.errors import AetherflowError, PluginError, SpecError
from aetherflow.core.base.location import Location
from aetherflow.core.base.problems import Problem
from aetherflow.core.checks.values import known_text
from aetherflow.core.host.rules import Rules
from aetherflow.core.runtime.environment.bundle_layer import BundleLayer
from aetherflow.core.runtime.environment.project import Project
from aetherflow.core.runtime.environment.settings import Settings
from aetherflow.core.runtime.environment.snapshot import Snapshot, build_snapshot
from aetherflow.core.runtime.environment.spec.project import ProjectSpec
from aetherflow.core.runtime.workspace.places import work_root

DEPENDENT = frozenset({"AF1102", "AF1211", "AF1304", "AF1702", "AF2104"})
"""Findings that are meaningless if the environment could not be built."""


def try_snapshot(
    folder: Path,
    *,
    config: Path | None = None,
    run_hooks: bool = False,
    ambient: Mapping[str, str] | None = None,
    bundle: BundleLayer | None = None,
) -> tuple[Snapshot, list[Problem]]:
    """The snapshot for flows in a folder; if it cannot be built, one without hooks, or else one with default settings
    under which no plugins but ours are loaded; and the problems.
    """
    build = partial(build_snapshot, folder, ambient=ambient, config=config, run_hooks=run_hooks, bundle=bundle)
    try:
        return build(), []
    except PluginError as error:
        found = problems_of(error, Location(str(config or folder)))
    except AetherflowError as error:
        return _bare(ambient), problems_of(error, Location(str(config or folder)))
    try:
        return build(use_plugins=False), found
    except AetherflowError:  # what the hooks were to set is missing
        return _bare(ambient), found


def _bare(ambient: Mapping[str, str] | None) -> Snapshot:
    env = dict(os.environ if ambient is None else ambient)
    sources = dict.fromkeys(Settings.model_fields, "default")
    bare = Snapshot(env, {}, Settings(), sources, Project(ProjectSpec()), None)  # type: ignore[arg-type]  # plain text where literals are meant
    return bare._replace(rules=Rules(allow=()))


def static_work_root(data: Any, snapshot: Snapshot) -> Path:
    """The work root of a flow's data; where only a run knows `flow.workspace.root`, that of the settings."""
    for key in ("flow", "workspace", "root"):
        data = data.get(key) if isinstance(data, dict) else None
    return work_root(known_text(data, snapshot.env), snapshot.settings, snapshot.env)


def problems_of(error: AetherflowError, at: Location) -> list[Problem]:
    """The findings of an error; `at` is used for an error without a location."""
    if isinstance(error, SpecError) and error.problems:
        return list(error.problems)
    at = getattr(error, "location", None) or at
    return [Problem(error.code, error.message, at, code="environment", fix=error.fix)]
