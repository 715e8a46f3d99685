"""What a container mounts is trusted: a checkout of another user, a folder for everybody, a read-only file system.

And the policy of a machine, where it really stands. The container is a PID and a mount namespace; the mounts are real.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from services import need

if TYPE_CHECKING:
    from core_project import Project

STRANGER, THIRD = 54321, 54322
HEAD = """\
import contextlib, io, json, os, subprocess, sys
from aetherflow.core.cli import main

told = {}


def mount(*arguments):
    subprocess.run(["mount", *arguments], check=True)


def attempt(name, *arguments):
    text = io.StringIO()
    with contextlib.redirect_stdout(text), contextlib.redirect_stderr(text):
        told[name] = main(list(arguments)), text.getvalue()


"""
MOUNTS = """\
checkout, mounted, empty, shared = sys.argv[1:]
attempt("unmounted", "validate", f"{checkout}/flow.yaml")
mount("--bind", checkout, mounted)
attempt("mounted", "run", f"{mounted}/flow.yaml")
attempt("third", "validate", f"{mounted}/third/flow.yaml")
attempt("writable", "validate", f"{shared}/flow.yaml")
mount("--bind", shared, shared)
mount("-o", "remount,bind,ro", shared)
attempt("read_only", "validate", f"{shared}/flow.yaml")
mount("-t", "tmpfs", "-o", "mode=0777", "tmpfs", empty)
os.environ |= {"AETHERFLOW_WORK_ROOT": empty, "AETHERFLOW_STATE_ROOT": f"{empty}/state"}
attempt("empty_dir", "run", f"{mounted}/flow.yaml", "--run-id", "second")
print(json.dumps(told))
"""
POLICY = """\
flow, = sys.argv[1:]
mount("-t", "tmpfs", "-o", "mode=0755", "tmpfs", "/etc")
os.mkdir("/etc/aetherflow")
with open("/etc/aetherflow/policy.yaml", "w") as file:
    file.write("version: 1\\nmode: enterprise\\nsteps: {deny: ['external.*']}\\n")
attempt("kept", "validate", flow)
os.environ["AETHERFLOW_MODE"] = "internal_fast"
attempt("loosened", "validate", flow)
del os.environ["AETHERFLOW_MODE"]
os.chmod("/etc/aetherflow", 0o777)
os.utime("/etc/aetherflow/policy.yaml", (1, 1))  # else it is known already, from when nobody could exchange it
attempt("open", "validate", flow)
print(json.dumps(told))
"""
EXAMPLES = """\
from pathlib import Path

checkout, mounted, roots = sys.argv[1:]
os.environ |= {"AETHERFLOW_WORK_ROOT": f"{roots}/work", "AETHERFLOW_STATE_ROOT": f"{roots}/state"}
mount("--bind", checkout, mounted)
for name in "chores", "hello", "tour":
    attempt(name, "run", f"{mounted}/{name}/flow.yaml", "-q")
mount("-o", "remount,bind,ro", mounted)
attempt("flights", "run", f"{mounted}/flights/flow.yaml", "-q")
for document in sorted([*Path(mounted).glob("*/flow.yaml"), *Path(mounted).glob("*/scheduler.yaml")]):
    attempt(str(document), "validate", str(document))
print(json.dumps(told))
"""
FLOW = """\
version: 1
flow: {id: one}
jobs: [{id: a, steps: [{id: b, type: file_write, inputs: {path: x, content: hi}}]}]
"""


def checkout(folder: Path, owner: int) -> Path:
    """A folder with a project file and a flow, all of it one owner's."""
    folder.mkdir()
    (folder / "aetherflow.yaml").write_text("roots: {work: .demo/work, state: .demo/state}\n")
    (folder / "flow.yaml").write_text(FLOW)
    for path in (folder, *folder.iterdir()):
        os.chown(path, owner, owner)
    return folder


def test_what_a_container_mounts(project: "Project") -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can mount")
    unshare, _ = need("unshare", "mount")
    folders = {name: project.folder / name for name in ("checkout", "mounted", "empty", "shared")}
    for name in ("mounted", "empty"):
        folders[name].mkdir()
    checkout(checkout(folders["checkout"], STRANGER) / "third", THIRD)
    for path in (checkout(folders["shared"], 0), *folders["shared"].iterdir()):
        path.chmod(0o777)
    told = inside(unshare, project, MOUNTS, *folders.values())
    codes = {name: code for name, (code, _) in told.items()}
    expected = {"unmounted": 2, "mounted": 0, "third": 2, "writable": 2, "read_only": 0, "empty_dir": 0}
    assert codes == expected, told
    for name in ("unmounted", "third", "writable"):
        assert "AF1601" in told[name][1]


def test_the_examples_of_a_foreign_checkout(project: "Project", root: Path) -> None:
    """As a CI system mounts it: it belongs to another user, writable or not. `make demo` is `flights`."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount")
    unshare, _ = need("unshare", "mount")
    places = {name: project.folder / name for name in ("checkout", "mounted", "roots")}
    shutil.copytree(
        root / "docs" / "examples", places["checkout"], ignore=shutil.ignore_patterns("dbt", "*-plugin", "word-count")
    )
    for path in (places["checkout"], *places["checkout"].rglob("*")):
        os.chown(path, STRANGER, STRANGER)
    places["mounted"].mkdir()
    places["roots"].mkdir()
    told = inside(unshare, project, EXAMPLES, *places.values())
    assert {name: text for name, (code, text) in told.items() if code} == {}
    assert len(told) > 15


def test_the_policy_of_a_machine(project: "Project") -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can mount")
    unshare, _ = need("unshare", "mount")
    told = inside(unshare, project, POLICY, project.write(FLOW))
    assert told["kept"][0] == 0, told
    code, text = told["loosened"]
    assert (code, "AETHERFLOW_MODE:1:1: AF1610" in text, "/etc/aetherflow/policy.yaml:2:7" in text) == (2, True, True)
    code, text = told["open"]
    assert (code, "AF1601 the folder /etc/aetherflow is writable by others" in text) == (2, True), text


def inside(unshare: str, project: "Project", program: str, *arguments: Path) -> dict[str, tuple[int, str]]:
    """Run a program in a container; returns exit code and output of each attempt."""
    roots = ("AETHERFLOW_WORK_ROOT", "AETHERFLOW_STATE_ROOT")
    done = subprocess.run(
        [
            *(unshare, "--pid", "--fork", "--mount", "--mount-proc"),
            *(sys.executable, "-c", HEAD + program, *map(str, arguments)),
        ],
        env={key: value for key, value in project.env.items() if key not in roots},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, tuple[int, str]] = json.loads(done.stdout)
    return found
