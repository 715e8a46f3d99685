"""Helpers shared by the unit and the system tests of test_core_doctor.py."""

import json
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from core_project import Project, Result

from typing import TYPE_CHECKING

CANARY = "canary-0b9d-31cc"


def run_doctor(project: "Project", *arguments: str, **env: str) -> "Result":
    if project.site.exists():  # entry points are cached per process, so plugins need a new one
        return project.command("doctor", "flow.yaml", *arguments, env=env)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in env.items():
            patch.setenv(name, value)
        return project.cli("doctor", "flow.yaml", *arguments)


def doctor(project: "Project", *arguments: str, code: int, **env: str) -> dict[str, Any]:
    result = run_doctor(project, "--json", *arguments, **env)
    assert result.code == code, result.out + result.err
    report: dict[str, Any] = json.loads(result.out)
    return report


def codes(report: dict[str, Any], key: str = "errors") -> list[str]:
    return [item["af"] for item in report[key]]


def resource(project: "Project", text: str) -> None:
    project.flow(f"resources: {{r: {text}}}\njobs: []\n")
