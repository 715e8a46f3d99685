"""The environment of a run: env files, settings, the project file, the secrets hook, profiles and decode."""

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from core_environment import HOOK, snapshot

from aetherflow.core.validation import validate_flow_yaml

if TYPE_CHECKING:
    from core_project import Project

SAY = '[/bin/sh, -c, \'printf "%s\\n" "$0" >> "$EFFECTS"\', '


# The secrets hook


def say(project: "Project", value: str) -> None:
    steps = f"    steps:\n    - {{id: s, type: external.process, inputs: {{command: {SAY}{value}]}}}}\n"
    project.flow(f"jobs:\n  - id: a\n{steps}")


def test_the_hook_expands_once_for_the_whole_flow(
    project: "Project", monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "own_hook.py").write_text(HOOK)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("AETHERFLOW_SECRETS_MODULE", "own_hook")
    say(project, '"{{env.ADDED}}"')
    assert validate_flow_yaml(project.folder / "flow.yaml")["warnings"] == []
    project.effects.unlink()
    assert project.cli("run", "flow.yaml").code == 0
    assert project.lines() == ["expanded", "by hook"]
    found = snapshot(project, AETHERFLOW_SECRETS_MODULE="own_hook")
    assert str(found.origins["ADDED"]).startswith("secrets hook own_hook")


def test_a_hook_beside_the_flow_runs_only_in_run(project: "Project", monkeypatch: pytest.MonkeyPatch) -> None:
    project.write(HOOK, "hook.py")
    monkeypatch.setenv("AETHERFLOW_SECRETS_PATH", "hook.py")
    say(project, '"{{env.ADDED:none}}"')
    assert project.cli("validate", "flow.yaml").code == 0
    assert project.lines() == []
    assert project.cli("validate", "--run-hooks", "flow.yaml").code == 0
    assert project.lines() == ["expanded"]
    assert project.cli("run", "flow.yaml").code == 0
    assert project.lines() == ["expanded", "expanded", "by hook"]
