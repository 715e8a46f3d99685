"""What each archive driver cannot do, said before anything is written, and programs that do not do what they say."""

import stat
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import pytest

from aetherflow.core.api import ConnectorError
from aetherflow.core.testing import FlowProject
from services import need
from transfer_archive_drivers import connector, files_of

LISTING = {"zip_cmd": ["7z", "a", "{archive}", "@{list}"]}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    base = tmp_path / "tree"
    (base / "none").mkdir(parents=True)
    (base / "a").write_text("one")
    return base


def program(folder: Path, text: str) -> str:
    """A program of a few lines of shell."""
    path = folder / "program"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def pack(found: Any, tree: Path, *names: str, **more: Any) -> Path:
    """Pack these names; nothing but the archive is left."""
    output = tree.parent / "out"
    try:
        found.create_zip(output=output, files=[tree / name for name in names], base_dir=tree, **more)
    finally:
        assert not list(tree.parent.glob(".aetherflow*"))
    return output


def refused(found: Any, tree: Path, *names: str, **more: Any) -> str:
    """Why these names are not packed; no archive is there."""
    with pytest.raises(ConnectorError) as caught:
        pack(found, tree, *names, **more)
    assert not (tree.parent / "out").exists()
    assert caught.value.fix
    return str(caught.value)


@pytest.mark.parametrize("driver", ["os", "zipfile"])
def test_empty_folders_and_nothing_at_all(tree: Path, driver: str) -> None:
    need("zip")
    with zipfile.ZipFile(pack(connector(driver), tree, "a", "none")) as archive:
        assert sorted(archive.namelist()) == ["a", "none/"]
    with zipfile.ZipFile(pack(connector(driver), tree)) as archive:
        assert archive.namelist() == []


@pytest.mark.parametrize(
    ("driver", "name"), [("os", "two\nlines"), ("os", "carriage\rreturn"), ("external", "two\nlines")]
)
def test_a_name_that_a_list_of_names_cannot_hold(tree: Path, driver: str, name: str) -> None:
    need("zip", "7z")
    (tree / name).write_text("x")
    assert "holds a line break" in refused(connector(driver, LISTING if driver == "external" else {}), tree, "a", name)


def test_pyminizip_stores_files_only(tree: Path) -> None:
    found = connector("pyminizip")
    assert "neither empty folders nor nothing" in refused(found, tree, "a", "none", password="p")
    assert "neither empty folders nor nothing" in refused(found, tree, password="p")
    (tree / "a").unlink()
    with pytest.raises(ConnectorError, match="pyminizip failed: "):
        pack(found, tree, "a", password="p")


def test_an_unzip_that_unpacks_something_else(tree: Path, tmp_path: Path) -> None:
    need("zip")
    archive = pack(connector("os"), tree, "a")
    other = connector("os", {"unzip_cmd": program(tmp_path, 'while [ "$1" != -d ]; do shift; done; echo x > "$2/b"')})
    with pytest.raises(ConnectorError, match="unzip did not unpack what out lists") as caught:
        other.extract_zip(archive=archive, dest_dir=tmp_path / "dest")
    assert "pyzipper" in caught.value.fix
    assert files_of(tmp_path / "dest") == {}


def test_what_unzip_unpacks_is_private(tree: Path, tmp_path: Path) -> None:
    need("zip")
    (tree / "a").chmod(0o666)
    (tree / "folder").mkdir(exist_ok=True)
    (tree / "folder/program").write_text("x")
    (tree / "folder/program").chmod(0o777)
    (tree / "folder").chmod(0o777)
    archive = tmp_path / "given.zip"
    subprocess.run(["zip", "-q", "-r", str(archive), "a", "folder"], cwd=tree, check=True)
    connector("os").extract_zip(archive=archive, dest_dir=tmp_path / "dest")
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "dest").rglob("*")}
    assert modes.pop("folder") & 0o022 == 0
    assert modes == {"a": 0o600, "program": 0o700}


def test_an_external_program_that_only_packs_or_only_unpacks(tree: Path, tmp_path: Path) -> None:
    archive = tmp_path / "given"
    archive.write_bytes(b"x")
    assert "it has no zip_cmd" in refused(connector("external", {"unzip_cmd": ["true"]}), tree, "a")
    with pytest.raises(ConnectorError, match="it has no unzip_cmd"):
        connector("external", {"zip_cmd": ["true"]}).extract_zip(archive=archive, dest_dir=tmp_path / "dest")
    with pytest.raises(ConnectorError, match="it unpacks whole archives only"):
        connector("external", {"unzip_cmd": ["true"]}).extract_zip(
            archive=archive, dest_dir=tmp_path / "dest", members=["a"]
        )
    assert files_of(tmp_path / "dest") == {}


def test_an_external_program_that_writes_nothing(tree: Path) -> None:
    said = refused(connector("external", {"zip_cmd": ["true", "{archive}"]}), tree, "a")
    assert "the program ended well but wrote no {archive}" in said


def test_more_names_than_a_command_line_holds(tree: Path) -> None:
    need("7z")
    names = [f"{number:03}-{'n' * 200}" for number in range(600)]
    for name in names:
        (tree / name).write_text("x")
    said = refused(connector("external", {"zip_cmd": ["7z", "a", "{archive}", "{files}"]}), tree, *names)
    assert "too many files for one command line" in said
    pack(connector("external", LISTING), tree, *names)


def test_a_program_that_cannot_be_started_is_named(tmp_path: Path) -> None:
    project = FlowProject(tmp_path / "project")
    path = Path(program(tmp_path, ""))
    path.write_text("#!/nowhere/sh\n")
    archives = {"kind": "archive", "driver": "external", "config": {"zip_cmd": [str(path), "{archive}", "{list}"]}}
    ran = project.run_step(
        "zip",
        {"items": "a.txt", "dest_path": "a.7z", "resource": "packing"},
        resources={"packing": archives},
        before=[{"id": "w", "type": "file_write", "inputs": {"path": "a.txt", "content": "x"}}],
    )
    assert ran.error is not None
    assert "program cannot be started: No such file or directory" in ran.error.message
    assert not (project.artifacts(ran) / "a.7z").exists()
