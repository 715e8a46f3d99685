"""The command that a failure prints is typed as it stands, where it was printed and elsewhere: the run goes on."""

import contextlib
import re
import sqlite3
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import warm
from core_project import AMBIENT

if TYPE_CHECKING:
    from core_project import Project

FLOW = """\
version: 1
flow: {id: f, params: {name: {type: string, default: nobody}}, workspace: {root: work}}
jobs:
  - id: a
    steps:
      - {id: one, type: file_write, inputs: {path: one.txt, content: "{{params.name}} {{env.SITE:nowhere}}\\n"}}
      - id: two
        type: external.process
        inputs:
          env: {HERE: '{{env.GO:.}}', ONE: '{{steps.one.path}}'}
          shell: true
          command: 'cat "$ONE" >> "$HERE/seen"; test -e "$HERE/go"'
"""
MANIFEST = """\
version: 1
bundle:
  id: b
  source: {type: filesystem, base_path: release}
  entry_flow: flow.yaml
  layout: {profiles_file: profiles.yaml}
"""


class Place:
    """A home with flows and a project file that is in nobody's way: only `--config` names it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("home", "flows", "ops", "release", "elsewhere"):
            (folder / name).mkdir()
        self.write("flows/flow.yaml", FLOW)
        self.write("release/flow.yaml", FLOW)
        self.write("release/profiles.yaml", "{}\n")
        self.write("bundle.yaml", MANIFEST)
        self.write("ops/site.env", "SITE=bergen\n")
        roots = "roots: {work: data/work, state: data/state}"
        self.write("ops/project.yaml", f"version: 1\n{roots}\nenv_files: [site.env]\n")
        # where no project file is named, that of this folder is found; it has another state root
        self.write("elsewhere/aetherflow.yaml", "version: 1\nroots: {state: other}\n")

    def write(self, name: str, text: str) -> None:
        """Write a file of the place."""
        (self.folder / name).write_text(text)

    def typed(self, command: str, folder: str = ".", **env: str) -> tuple[int, str]:
        """Exit code and output of a command line that is typed in a folder."""
        base = {name: value for name, value in AMBIENT.items() if not name.startswith("XDG_")}
        base |= {"HOME": str(self.folder / "home"), "GO": str(self.folder), "PATH": f"{warm.shims()}:{base['PATH']}"}
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=self.folder / folder,
            env={**base, **env},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=120,
        )
        return done.returncode, done.stdout

    @property
    def seen(self) -> list[str]:
        """What the second step has read of the first one, once for each attempt."""
        return (self.folder / "seen").read_text().splitlines()


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def following(text: str) -> list[str]:
    return re.findall(r"^ *next(?:, if it was \w+)?: +(.*)$", text, re.MULTILINE)


STARTS: Mapping[str, tuple[str, str, str]] = {
    "in its folder": ("flows", "aetherflow run flow.yaml", "nobody nowhere"),
    "by its path": (".", "aetherflow run flows/flow.yaml", "nobody nowhere"),
    "with parameters": ("flows", "aetherflow run flow.yaml --param 'name=Ada B'", "Ada B nowhere"),
    "with a project file": (".", "aetherflow run flows/flow.yaml --config ops/project.yaml", "nobody bergen"),
    "with one of another folder": ("flows", "aetherflow run flow.yaml --config ../ops/project.yaml", "nobody bergen"),
    "by a variable": (".", "AETHERFLOW_CONFIG=ops/project.yaml aetherflow run flows/flow.yaml", "nobody bergen"),
    "of a bundle": (".", "aetherflow run --bundle-manifest bundle.yaml", "nobody nowhere"),
    "of a bundle with a project file": (
        ".",
        "aetherflow run flow.yaml -m bundle.yaml --config ops/project.yaml --param name=Ada",
        "Ada bergen",
    ),
    "with a run id that another flow has": (".", "aetherflow run flows/flow.yaml --run-id known", "nobody nowhere"),
}


@pytest.mark.parametrize(
    ("start", "where"),
    [
        *((start, None) for start in STARTS),
        *((start, "elsewhere") for start in ("by its path", "with a project file", "of a bundle with a project file")),
    ],
)
def test_the_next_command_goes_on(place: Place, start: str, where: str | None) -> None:
    folder, command, expected = STARTS[start]
    if "--run-id known" in command:
        place.write("other.yaml", "version: 1\nflow: {id: other}\njobs: []\n")
        assert place.typed("aetherflow run other.yaml --run-id known -q") == (0, "")
    code, told = place.typed(command, folder)
    assert code == 1, told
    (command,) = following(told)
    assert command.startswith("aetherflow resume ")
    if where is not None:  # as `status` prints it there, where another state root is in force
        config = "../ops/project.yaml" if "bergen" in expected else None
        option = f" --config {config}" if config else ""
        env = {} if config else {"AETHERFLOW_STATE_ROOT": str(place.folder / "home/.local/state/aetherflow/state")}
        code, told = place.typed(f"aetherflow status{option}", where, **env)
        assert code == 1, told
        (command,) = following(told)
    place.write("go", "")
    code, told = place.typed(command, where or folder, **(env if where is not None else {}))
    assert code == 0, (command, told)
    assert place.seen == [expected] * 2
    roots = [path for path in place.folder.rglob("work/f") if path.is_dir()]
    assert len(roots) == 1, "a resume has the folders of the start"


@pytest.mark.parametrize("start", ["in its folder", "by its path", "with parameters", "of a bundle"])
def test_the_id_is_enough_in_any_folder(place: Place, start: str) -> None:
    folder, command, expected = STARTS[start]
    code, told = place.typed(command, folder)
    assert code == 1, told
    place.write("go", "")
    (command,) = following(told)
    code, told = place.typed(command, "home")
    assert code == 0, (command, told)
    assert place.seen == [expected] * 2


def test_a_relative_path_of_the_state_is_that_of_the_start(place: Place) -> None:
    place.write("flows/flow.yaml", FLOW.replace("workspace:", "state: {path: here/f.sqlite}, workspace:"))
    code, told = place.typed("aetherflow run flow.yaml", "flows")
    assert code == 1, told
    place.write("go", "")
    (command,) = following(told)
    code, told = place.typed(command, "home")
    assert code == 0, (command, told)
    assert [path.name for path in place.folder.rglob("f.sqlite")] == ["f.sqlite"]


def test_a_failed_resume_prints_what_works_where_it_was_typed(place: Place) -> None:
    code, told = place.typed("aetherflow run flows/flow.yaml --config ops/project.yaml")
    assert code == 1, told
    (command,) = following(told)
    code, told = place.typed(command.replace("ops/", "../ops/"), "elsewhere")
    assert code == 1, told
    assert f" at {place.folder}/flows/flow.yaml:" in told, "its path is that of another folder"
    (again,) = following(told)
    assert again == command.replace("ops/", "../ops/")
    place.write("go", "")
    assert place.typed(again, "elsewhere")[0] == 0


@pytest.mark.parametrize("config", [None, "../ops/project.yaml"])
def test_a_wrapped_command_is_done_again(place: Place, config: str | None) -> None:
    option = f" --config {config}" if config else ""
    code, told = place.typed(f"aetherflow wrap --id w --timeout 60{option} -- sh -c 'test -e ../go'", "flows")
    assert code == 1, told
    (command,) = following(told)
    code, told = place.typed(f"aetherflow status{option}", "elsewhere", **_root(place, config))
    assert code == 1, told
    assert following(told) == [f"cd {place.folder}/flows && {command}"]
    place.write("go", "")
    code, told = place.typed(following(told)[0], "elsewhere", **_root(place, config))
    assert code == 0, told
    assert place.typed(f"aetherflow status{option}", "flows")[0] == 0


def _root(place: Place, config: str | None) -> dict[str, str]:
    return {} if config else {"AETHERFLOW_STATE_ROOT": str(place.folder / "home/.local/state/aetherflow/state")}


def test_a_run_of_the_api_goes_on_by_its_id(place: Place) -> None:
    code = "from aetherflow.core.runner import run_flow; run_flow('flow.yaml', run_id='r', params={'name': 'Ada'})"
    python = f'{Path(sys.executable)} -c "{code}"'
    code_of_python, told = place.typed(python, "flows")
    assert (code_of_python, "RunFailedError" in told) == (1, True), told
    place.write("go", "")
    code_of_resume, told = place.typed("aetherflow resume r", "home")
    assert code_of_resume == 0, told
    assert place.seen == ["Ada nowhere"] * 2


def test_a_step_that_has_to_be_decided_is_asked_for_with_the_project_file(place: Place) -> None:
    place.write(
        "flows/flow.yaml",
        FLOW.replace("id: two", "id: two\n        effect: once").replace("test -e", "kill -9 $PPID; test -e"),
    )
    place.typed("aetherflow run flows/flow.yaml --run-id r --config ops/project.yaml")
    code, told = place.typed("aetherflow resume r --config ops/project.yaml")
    assert code == 1, told
    done, again = following(told)
    assert done == "aetherflow resume r --decide a.two=done --config ops/project.yaml"
    assert again == done.replace("=done", "=again")
    assert place.typed(done)[0] == 0


def test_a_run_of_1_0_says_what_is_missing(project: "Project") -> None:
    project.write(FLOW)
    assert project.cli("run", "flow.yaml", "--run-id", "r").code == 1
    start = f"aetherflow run {project.folder}/flow.yaml --config ops.yaml"
    with contextlib.closing(sqlite3.connect(project.state)) as db, db:
        db.execute("UPDATE runs SET command=?, config=NULL, working_dir=NULL", [start])
    refused = project.cli("resume", "r")
    assert refused.code == 2
    assert "was started with --config ops.yaml, in a folder that 1.0 did not record" in refused.err
    assert "fix: name that file: aetherflow resume r --config FILE" in refused.err
