"""Folder plugins, written as the documented Python API says, run unchanged; and what a plugin path may hold."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from core_folder_plugins import STEP, one_step, said

if TYPE_CHECKING:
    from core_project import Project, Result


@pytest.fixture
def plugins(project: "Project", monkeypatch: pytest.MonkeyPatch) -> Path:
    """A plugin folder apart from the flow, and the flow in a folder of its own."""
    folder = project.folder / "plugins"
    folder.mkdir()
    (project.folder / "flows").mkdir()
    monkeypatch.setenv("AETHERFLOW_PLUGIN_PATHS", str(folder))
    monkeypatch.chdir(project.folder / "flows")
    monkeypatch.setattr(project, "folder", project.folder / "flows")
    return folder


@pytest.mark.parametrize("form", ["function", "module"])
def test_the_old_group_loads_with_a_warning(project: "Project", form: str) -> None:
    text = STEP.format(name="old_step", said="old")
    if form == "function":
        text = "def load():\n" + "\n".join(f"    {line}" for line in text.splitlines()) + "\n"
    else:
        text = "def register():\n" + "\n".join(f"    {line}" for line in text.splitlines()) + "\n"
    project.module("acme_old", text)
    target = "acme_old:load" if form == "function" else "acme_old"
    project.plugin("acme-old", f"[aetherflow.plugins]\nold = {target}\nbroken = acme_missing:load\n")
    path = one_step(project, "old_step")
    report = project.command("validate", str(path), env={"AETHERFLOW_PLUGIN_STRICT": "false"})
    assert report.code == 0, report.out
    assert "Failed loading entry point plugin broken: ModuleNotFoundError" in report.out
    assert "AF2123 warning: acme-old 1.0 registers its plugins in the old group aetherflow.plugins" in report.out
    assert project.command("run", str(path), env={"AETHERFLOW_PLUGIN_STRICT": "false"}).code == 0
    assert said(project) == "old"
    shown = project.command("plugins", "list")
    assert "legacy" in shown.out
    code = (
        "import sys; from aetherflow.core.cli import main; main(['plugins', 'list']); print('acme_old' in sys.modules)"
    )
    assert project.python(code).splitlines()[-1] == "False"
    refused = project.command("validate", str(path), env={"AETHERFLOW_MODE": "enterprise"})
    assert "AF2101" in refused.out


EDITED = """\
from aetherflow.core.api import Step, register_step
from . import helper

@register_step('{0}')
class S(Step):
    def run(self):
        {1}
"""


def test_an_edited_plugin_is_another_one_to_a_resumed_run(project: "Project", plugins: Path) -> None:
    """A finished step is not reused if its code, or a helper's, has changed since; other plugins of the folder may."""
    project.env["AETHERFLOW_PLUGIN_PATHS"] = str(plugins)
    step = EDITED
    (plugins / "helper.py").write_text("VALUE = 1\n")
    (plugins / "one.py").write_text(step.format("one", "return {'n': helper.VALUE}"))
    (plugins / "two.py").write_text(step.format("two", "raise RuntimeError('on purpose')"))
    project.flow("jobs:\n  - id: main\n    steps:\n      - {id: a, type: one}\n      - {id: b, type: two}\n")

    def resume(*more: str) -> "Result":
        return project.command("run", "flow.yaml", "--run-id", "r1", *more)

    assert resume().code == 1
    (plugins / "two.py").write_text(step.format("two", "raise RuntimeError('another')"))
    assert "another" in resume().err, "the step that failed was edited, which is what a repair is"
    (plugins / "helper.py").write_text("VALUE = 2\n")
    refused = resume()
    assert refused.code == 2
    assert "main.a" in refused.err
    assert "(folder)" in refused.err
    (plugins / "helper.py").write_text("VALUE = 1\n")
    (plugins / "one.py").write_text(step.format("one", "return {'n': 3}"))
    assert resume().code == 2
    (plugins / "two.py").write_text(step.format("two", "return {}"))
    assert resume("--accept-changes").code == 0
    listed = project.command("plugins", "list", "--json").out
    assert {len(each["version"]) for each in json.loads(listed)["plugins"] if each["name"] in ("one", "two")} == {12}
