"""Reads the files of a state root for a sender; one that cannot be read now is read another time."""

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from aetherflow.core.base import durable
from aetherflow.core.base.errors import AetherflowError
from aetherflow.core.records.reading import read
from aetherflow.core.records.registry import known_flows
from aetherflow.core.records.registry_file import read_registry
from aetherflow.core.runtime.environment.project_file import find_project

T = TypeVar("T")


def states(root: Path) -> list[Path]:
    """The states that the registry knows."""
    try:
        return sorted({Path(flow.state_path) for flow in known_flows(root)})
    except AetherflowError:  # of a server
        return []


def in_state(path: Path, query: Callable[[durable.Database], T]) -> T | None:
    """None for a state file that cannot be read, or is of an older version."""
    try:
        return read(path, query)
    except AetherflowError:
        return None


def in_registry(root: Path, query: Callable[[durable.Database], T]) -> T | None:
    """None for a registry that cannot be read, or is of 1.0, or is none."""
    try:
        return read_registry(root, query)
    except (sqlite3.Error, OSError):
        return None


def real_path(path: Path | str | None) -> str | None:
    return str(Path(path).resolve()) if path is not None else None


def project_above(folder: Path) -> Path | None:
    """The project file of a folder, without links."""
    found = find_project(folder)
    return found.resolve() if found is not None else None
