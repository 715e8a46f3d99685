"""Helpers shared by the unit and the system tests of test_core_history.py."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from core_project import Project

from typing import TYPE_CHECKING

OK = "jobs: [{id: a, steps: [{id: s, type: check_items, inputs: {items: [1]}}]}]\n"


def flow(project: "Project", flow_id: str, jobs: str, head: str = "") -> Path:
    return project.write(f"version: 1\nflow: {{id: {flow_id}{head}}}\n{jobs}", f"{flow_id}.yaml")


def status(project: "Project", *arguments: str) -> dict[str, Any]:
    result = project.cli("status", "--json", *arguments)
    document: dict[str, Any] = json.loads(result.out)
    assert document["schema"] == 1
    unreadable = any(need["status"] == "UNREADABLE" for need in document["needs_person"])
    assert result.code == (4 if unreadable else 0 if document["ok"] else 1)
    return document


def by_flow(document: dict[str, Any]) -> dict[str, str]:
    return {each["flow_id"]: each["status"] for each in document["flows"]}


def runs(project: "Project", *arguments: str) -> list[dict[str, Any]]:
    result = project.cli("runs", "list", "--json", *arguments)
    assert result.code == 0, result
    found: list[dict[str, Any]] = json.loads(result.out)["runs"]
    return found
