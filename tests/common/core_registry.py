"""Helpers shared by the unit and the system tests of test_core_registry.py."""

import contextlib
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aetherflow.core.records import registry

if TYPE_CHECKING:
    from core_project import Project

from typing import TYPE_CHECKING

JOBS = "jobs: [{id: a, steps: [{id: s, type: check_items, inputs: {items: [1]}}]}]\n"


def flow(project: "Project", flow_id: str, state: str = "") -> Path:
    more = f", state: {{path: '{state}'}}" if state else ""
    return project.write(f"version: 1\nflow: {{id: {flow_id}{more}}}\n{JOBS}", f"{flow_id}.yaml")


def rows(project: "Project", sql: str) -> list[tuple[Any, ...]]:
    with contextlib.closing(sqlite3.connect(project.states / "engine/registry.sqlite")) as connection:
        return connection.execute(sql).fetchall()


def known(project: "Project") -> list[tuple[str, str]]:
    return [(each.flow_id, each.state_path) for each in registry.known_flows(project.states)]
