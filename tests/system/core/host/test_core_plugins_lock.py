"""`aetherflow plugins lock`, and the commands under a lock: what was edited is refused by name, and not imported."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import wheels

if TYPE_CHECKING:
    from core_project import Project

POINTS = """\
[aetherflow.steps]
acme = acme_it.step:It
[aetherflow.hooks]
acme = acme_it.hook
[aetherflow.commands]
acme = acme_it.command:app
[aetherflow.documents]
acme = acme_it.kind:It
"""
RAN = "import os\nwith open(os.environ['EFFECTS'], 'a') as file:\n    print(__name__, file=file)\n"
FILES = {
    "acme_it/__init__.py": RAN,
    "acme_it/step.py": "from aetherflow.core.api import Step\n\nclass It(Step):\n    def run(self): return {}\n",
    "acme_it/hook.py": "from aetherflow.core.api import hookimpl\n\n@hookimpl\ndef aetherflow_run_started(run): pass\n",
    "acme_it/command.py": "import typer\napp = typer.Typer()\n\n@app.command()\ndef go(): typer.echo('gone')\n",
    "acme_it/kind.py": "class It: pass\n",
}
FLOW = "jobs: [{id: a, steps: [{id: s, type: acme}]}]\n"
OTHER = "version: 1\nflow: {id: g}\njobs: [{id: a, steps: [{id: s, type: check_items, inputs: {items: [1]}}]}]\n"


@pytest.fixture
def locked(project: "Project") -> "Project":
    """A project with a lock, in which all is as it says."""
    wheels.install(project.site, "acme-it", POINTS, FILES)
    project.flow(FLOW)
    project.write(OTHER, "other.yaml")
    done = project.command("plugins", "lock")
    assert (done.code, done.err) == (0, "")
    assert "write into aetherflow.yaml: plugins: {locked: plugins.lock}" in done.out
    project.write("plugins: {locked: plugins.lock}\n", "aetherflow.yaml")
    assert project.lines() == []
    return project


def edit(project: "Project", name: str = "__init__.py") -> None:
    path = project.site / "acme_it" / name
    path.write_text(path.read_text() + "#\n")


def test_what_is_as_the_lock_says_runs(locked: "Project") -> None:
    assert locked.command("run", "flow.yaml").code == 0
    assert locked.command("acme").out == "gone\n"
    said = locked.command("plugins", "lock")
    assert said.out.splitlines()[-1].endswith(f"distributions locked in {locked.folder / 'plugins.lock'}")


@pytest.mark.parametrize(
    "arguments", [("run", "flow.yaml"), ("run", "other.yaml"), ("validate", "--run-hooks", "flow.yaml"), ("acme",)]
)
def test_what_was_edited_is_refused(locked: "Project", arguments: tuple[str, ...]) -> None:
    edit(locked)
    done = locked.command(*arguments)
    assert done.code == 2
    assert "AF2108" in done.out + done.err
    assert "of acme-it 1.0 is not as " in done.out + done.err
    assert "acme_it/__init__.py was changed" in done.out + done.err
    assert locked.lines() == []


def test_a_flow_is_told_at_its_line(locked: "Project") -> None:
    wheels.install(locked.site, "acme-step", "[aetherflow.steps]\nacme.late = acme_late:X\n", {"acme_late.py": RAN})
    locked.flow(FLOW.replace("type: acme", "type: acme.late"))
    done = locked.command("validate", "flow.yaml")
    assert done.code == 2
    assert "flow.yaml:3:38: AF2108 step 'acme.late' of acme-step 1.0 is not as " in done.out
    assert "plugins.lock says: it is not in it" in done.out
    assert locked.lines() == []


def test_it_is_told_by_list_check_and_doctor(locked: "Project") -> None:
    def rows() -> dict[str, tuple[str, bool]]:
        report = json.loads(locked.command("plugins", "list", "--json").out)
        assert [Path(each["path"]).name for each in report["locks"]] == ["plugins.lock"]
        mine = [row for row in report["plugins"] if row["distribution"] == "acme-it"]
        return {row["kind"]: (row["status"], row["locked"]) for row in mine}

    assert set(rows().values()) == {("ok", True)}
    edit(locked, "kind.py")
    assert rows() == dict.fromkeys(("step", "hook", "command", "kind of document"), ("refused", False))
    report = json.loads(locked.command("plugins", "check", "--json").out)
    found = [each for each in report["findings"] if each["code"] == "AF2108"]
    assert [each["source"] for each in found] == ["acme-it 1.0"], "once for each distribution"
    locked.write("plugins: {locked: plugins.lock, block: [acme-it]}\n", "aetherflow.yaml")
    doctor = locked.command("doctor", "other.yaml")
    assert (doctor.code, "AF2108 warning: " in doctor.out) == (0, True), doctor.out + doctor.err
    assert locked.lines() == []
    help_text = locked.command("--help")
    assert help_text.code == 0
    assert "acme" not in help_text.out


def test_a_new_lock_accepts_what_was_edited(locked: "Project") -> None:
    edit(locked)
    done = locked.command("plugins", "lock")
    assert "acme-it 1.0: not as pip installed it, locked by its files" in done.out
    assert locked.command("run", "flow.yaml").code == 0
    edit(locked)
    assert "a file was changed, added or removed" in locked.command("run", "flow.yaml").err
