"""zip, unzip, archive_list and archive_test in flows."""

import zipfile
from pathlib import Path
from typing import Any

import pytest

from aetherflow.core.testing import FlowProject, Ran

FILES = {"e/a.csv": "a", "e/x/b.csv": "b", "e/x/c.tmp": "c", "top.txt": "t"}


@pytest.fixture
def project(tmp_path: Path) -> FlowProject:
    """A project with files in `work/in`, for which steps give absolute paths."""
    project = FlowProject(tmp_path / "project")
    for name, text in FILES.items():
        project.write(text, f"work/in/{name}")
    (project.work / "in/e/hollow").mkdir()
    return project


# unzip


def archive(project: FlowProject, name: str, members: dict[str, str]) -> str:
    path = project.work / name
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as made:
        for member, text in members.items():
            made.writestr(member, text)
    return str(path)


def unzip(project: FlowProject, archives: Any, **more: Any) -> Ran:
    return project.run_step("unzip", {"archives": archives, "dest_dir": "out", "src_dir": str(project.work), **more})


def test_plan_tells_and_changes_nothing(project: FlowProject) -> None:
    path = archive(project, "b.zip", {"f.txt": "1", "g.txt": "22"})
    project.write("old", "work/there/f.txt")
    inside = str(project.work / "in")
    project.flow(
        {"id": "z", "type": "zip", "inputs": {"items": inside, "src_dir": inside, "dest_path": "o.zip"}},
        {"id": "u", "type": "unzip", "inputs": {"archives": path, "src_dir": str(project.work),
                                                "dest_dir": str(project.work / "there")}},
        {"id": "l", "type": "archive_list", "inputs": {"archive": path}},
        {"id": "t", "type": "archive_test", "inputs": {"archives": path}},
    )  # fmt: skip
    told = project.command("plan", "flow.yaml", "--effects")
    assert told.code == 0, told.err
    assert "pack 5 members (4 bytes) into " in told.out
    assert f"unpack 2 files (3 bytes) of b.zip to {project.work}/there, replacing 1 that exist" in told.out
    assert f"list the members of {path}" in told.out
    assert f"read {path} to its end" in told.out
    assert (project.work / "there/f.txt").read_text() == "old"
    assert not (project.work / "flow").exists()


def test_a_password_leaves_no_trace(project: FlowProject) -> None:
    """Also one that comes by a variable whose name says nothing."""
    project.env["PACKING"] = "c4nary-of-a-password"
    base = project.work / "in"
    inputs = {"items": str(base / "top.txt"), "src_dir": str(base), "dest_path": "o.zip", "password": "{{env.PACKING}}"}
    resources = {"r": {"kind": "archive", "driver": "external", "config": {"zip_cmd": ["false", "{archive}"]}}}
    assert project.run_step("zip", inputs).error is None
    assert project.run_step("zip", inputs | {"resource": "r"}, resources=resources).error is not None
    for path in project.folder.rglob("*"):
        if path.is_file():
            assert b"c4nary" not in path.read_bytes(), path


def test_enterprise_mode_wants_a_resource(project: FlowProject) -> None:
    project.env["AETHERFLOW_MODE"] = "enterprise"
    made = {"id": "make", "type": "external.process", "inputs": {"command": ["touch", "a.txt"]}}
    inputs = {"items": "a.txt", "dest_path": "o.zip"}
    ran = project.run_step("zip", inputs, before=[made])
    assert "Zip/Unzip requires declared archive resource in enterprise mode" in str(ran.error)
    resources = {"archive_default": {"kind": "archive", "driver": "zipfile"}}
    assert project.run_step("zip", inputs, before=[made], resources=resources).error is None
