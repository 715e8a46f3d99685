"""What an update of a plugin means for a run that failed: nothing, unless the step's class says that it does."""

import json
import shutil
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from core_project import Project

ENTRIES = """
[aetherflow.steps]
acme.first = acme_steps:First
acme.last = acme_steps:Last
"""
STEPS = """\
import os
from typing import Any
from aetherflow.core.api import Step

class First(Step[Any]):
    {0}
    def run(self) -> dict[str, Any]:
        with open(os.environ["EFFECTS"], "a") as file:
            file.write("first\\n")
        return {{"n": 1}}

class Last(Step[Any]):
    def run(self) -> dict[str, Any]:
        if not os.environ.get("MENDED"):
            raise RuntimeError("on purpose")
        return {{}}
"""
FLOW = """
jobs:
  - id: main
    steps:
      - {id: first, type: acme.first}
      - {id: last, type: acme.last, inputs: {n: "{{steps.first.n}}"}}
"""
MENDED = {"MENDED": "yes"}


def install(project: "Project", version: str, declared: str = "pass", distribution: str = "acme-steps") -> None:
    shutil.rmtree(project.site, ignore_errors=True)
    project.plugin(distribution, ENTRIES, version=version)
    project.module("acme_steps", STEPS.format(declared))


@pytest.fixture
def failed(project: "Project") -> "Project":
    """A run that failed after a step of acme-steps 1.0."""
    install(project, "1.0", "result_version = 1")
    project.flow(FLOW)
    assert project.command("run", "flow.yaml", "--run-id", "r").code == 1
    return project


@pytest.mark.parametrize(
    ("version", "distribution", "shown"),
    [
        ("2.0", "acme-steps", ["acme-steps 1.0 -> 2.0"]),
        ("0.1", "other-steps", [f"acme.{step} acme-steps 1.0 -> other-steps 0.1" for step in ("first", "last")]),
    ],
)
def test_another_version_is_told_and_no_change(
    failed: "Project", version: str, distribution: str, shown: list[str]
) -> None:
    install(failed, version, "result_version = 1", distribution)
    planned = failed.command("plan", "flow.yaml", "--run-id", "r")
    assert [line for line in planned.out.splitlines() if line.startswith("plugin")] == [f"plugin {it}" for it in shown]
    assert "changed" not in planned.out
    found = json.loads(failed.command("plan", "flow.yaml", "--run-id", "r", "--json").out)
    assert [f"{each['name']} {each['before']} -> {each['now']}" for each in found["plugins"]] == shown
    assert found["changes"] == []
    resumed = failed.command("resume", "r", env=MENDED)
    assert resumed.code == 0
    assert resumed.err.count("plugin_changed") == len(shown)
    assert failed.lines() == ["first"]


def test_the_same_version_is_not_told(failed: "Project") -> None:
    assert json.loads(failed.command("plan", "flow.yaml", "--run-id", "r", "--json").out)["plugins"] == []
    assert "plugin_changed" not in failed.command("resume", "r", env=MENDED).err


def test_the_version_is_that_of_the_latest_process(failed: "Project") -> None:
    install(failed, "1.1", "result_version = 1")
    assert failed.command("resume", "r").code == 1
    install(failed, "1.2", "result_version = 1")
    assert "plugin acme-steps 1.1 -> 1.2" in failed.command("plan", "flow.yaml", "--run-id", "r").out


@pytest.mark.parametrize(("declared", "line"), [("result_version = 2", '+ "result_version": 2'), ("pass", "")])
def test_another_result_version_is_a_change(failed: "Project", declared: str, line: str) -> None:
    install(failed, "1.0", declared)
    refused = failed.command("resume", "r", env=MENDED)
    assert refused.code == 2
    assert "AF3003" in refused.err
    assert '- "result_version": 1' in refused.err
    assert line in refused.err
    assert "main.first" in refused.err
    assert failed.command("run", "flow.yaml", "--run-id", "r", "--accept-changes", env=MENDED).code == 0
    assert failed.lines() == ["first"]


def test_another_result_version_is_done_again_if_asked_for(failed: "Project") -> None:
    install(failed, "2.0", "result_version = 2")
    assert failed.command("run", "flow.yaml", "--run-id", "r", "--from-step", "main.first", env=MENDED).code == 0
    assert failed.lines() == ["first", "first"]
