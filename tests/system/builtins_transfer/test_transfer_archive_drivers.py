"""Every archive driver, read back by others: 7-Zip, Info-ZIP, tar; nothing injected, no password shown."""

import os
import shutil
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest

from aetherflow.core.api import ConnectorError
from aetherflow.core.testing import FlowProject
from services import need
from transfer_archive_drivers import PASSWORD, connector, files_of

SEVEN = {
    "zip_cmd": ["7z", "a", "-t7z", "-p", "-mhe=on", "{archive}", "@{list}"],
    "unzip_cmd": ["7z", "x", "-o{dest}", "{archive}"],
    "password_by": "stdin",
}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Files with odd names and contents of every size."""
    base = tmp_path / "tree"
    (base / "x/y").mkdir(parents=True)
    (base / "a.csv").write_text("id;name\n" * 1000)
    (base / "empty").write_bytes(b"")
    (base / "x/blöcke.bin").write_bytes(os.urandom(3_000_000))
    (base / "x/y/-T").write_text("an option of zip")
    (base / "x/y/-TT touch hacked").write_text("another one")
    (base / "x/y/@list").write_text("a name that begins as lists do")
    (base / "x/y/[ab]*?.txt").write_text("a pattern")
    (base / "x/y/$(touch hacked) `touch hacked`; touch hacked").write_text("a shell")
    return base


def make(found: Any, tree: Path, output: Path, password: str | None = None, **more: Any) -> dict[str, Any]:
    files = sorted(path for path in tree.rglob("*") if path.is_file())
    return dict(found.create_zip(output=output, files=files, base_dir=tree, password=password, **more))


@pytest.mark.parametrize(
    ("driver", "password", "config"),
    [
        ("zipfile", None, {}),
        ("pyzipper", None, {}),
        ("pyzipper", PASSWORD, {}),
        ("pyzipper", "päß", {"aes_strength": 128}),
        ("os", None, {}),
        ("os", PASSWORD, {}),
        ("external", None, SEVEN | {"zip_cmd": ["7z", "a", "-t7z", "{archive}", "@{list}"]}),
        ("external", PASSWORD, SEVEN),
    ],
)
def test_there_and_back(tmp_path: Path, tree: Path, driver: str, password: str | None, config: dict[str, Any]) -> None:
    need("zip", "unzip", "7z")
    if driver == "external":
        (tree / "x/y/$(touch hacked) `touch hacked`; touch hacked").unlink()  # 7z takes a back quote amiss
    found, output, dest = connector(driver, config), tmp_path / "out.zip", tmp_path / "dest"
    made = make(found, tree, output, password)
    count = len(files_of(tree))
    assert made == {"output": str(output), "count": count, "password": password is not None, "driver": driver}
    back = found.extract_zip(archive=output, dest_dir=dest, password=password)
    assert files_of(dest) == files_of(tree)
    assert (back["dest_dir"], back["driver"], len(back["files"])) == (str(dest), driver, count)
    assert not list(tmp_path.rglob("hacked"))
    assert not list(tmp_path.rglob("*.part"))
    assert stat.S_IMODE(output.stat().st_mode) == 0o600


@pytest.mark.parametrize("optimize", ["speed", "size"])
@pytest.mark.parametrize("form", ["zip", "tar", "tar.gz", "tar.zst"])
def test_other_programs_read_it(tmp_path: Path, tree: Path, form: str, optimize: str) -> None:
    seven, unzip, tar = need("7z", "unzip", "tar")
    project = FlowProject(tmp_path / "project")
    project.work.mkdir()
    shutil.copytree(tree, project.work / "tree")
    (project.work / "tree/hollow").mkdir()
    inputs = {
        "items": str(project.work / "tree"),
        "src_dir": str(project.work / "tree"),
        "format": form,
        "optimize": optimize,
    }
    ran = project.run_step("zip", {**inputs, "dest_path": f"out.{form}"})
    assert ran.error is None, ran.error
    output, dest = Path(ran["step"].outputs["output"]), tmp_path / "dest"
    dest.mkdir()
    if form == "zip":
        subprocess.run([seven, "t", output], check=True, capture_output=True)
        subprocess.run([unzip, "-q", output, "-d", dest], check=True)
    elif form == "tar.zst":
        need("zstd")
        subprocess.run([tar, "--zstd", "-xf", output, "-C", dest], check=True)
    else:
        subprocess.run([tar, "-xf", output, "-C", dest], check=True)
    assert files_of(dest) == files_of(tree)
    assert (dest / "hollow").is_dir()


def test_seven_zip_reads_our_encryption_and_we_read_its(tmp_path: Path, tree: Path) -> None:
    (seven,) = need("7z")
    output = tmp_path / "ours.zip"
    make(connector("pyzipper"), tree, output, "secret")
    subprocess.run([seven, "t", "-psecret", output], check=True, capture_output=True)
    assert subprocess.run([seven, "t", "-pwrong", output], check=False, capture_output=True).returncode == 2
    theirs = tmp_path / "theirs.zip"
    command: list[Any] = [seven, "a", "-tzip", "-mem=AES256", "-psecret", theirs, "."]
    subprocess.run(command, cwd=tree, check=True, capture_output=True)
    connector("pyzipper").extract_zip(archive=theirs, dest_dir=tmp_path / "dest", password="secret")
    assert files_of(tmp_path / "dest") == files_of(tree)


@pytest.mark.parametrize("driver", ["zipfile", "pyzipper", "os"])
def test_some_members_only(tmp_path: Path, tree: Path, driver: str) -> None:
    need("zip", "unzip")
    make(connector("zipfile"), tree, tmp_path / "out.zip")
    found = connector(driver)
    found.extract_zip(archive=tmp_path / "out.zip", dest_dir=tmp_path / "dest", members=["*.csv", "x/y/-T"])
    assert sorted(files_of(tmp_path / "dest")) == ["a.csv", "x/y/-T"]
    with pytest.raises(ConnectorError, match="no member is called none"):
        found.extract_zip(archive=tmp_path / "out.zip", dest_dir=tmp_path / "other", members=["none"])
    assert files_of(tmp_path / "other") == {}


# What must not happen


@pytest.mark.parametrize("driver", ["os", "external"])
def test_no_password_shows_in_a_process_list_or_an_error(tmp_path: Path, tree: Path, driver: str) -> None:
    """Stand-ins for the programs note their arguments, show the password on stderr, and fail."""
    seen = tmp_path / "seen"
    program = tmp_path / "program"
    program.write_text(
        f'#!/bin/sh\nps -eo args >> {seen}\necho "$@" >> {seen}\ncat > /dev/null\n'
        'echo "wrong: $ZIPOPT $AETHERFLOW_ARCHIVE_PASSWORD" >&2\nexit 9\n'
    )
    program.chmod(0o700)
    secret = "hunter2-and-more"
    configs: dict[str, dict[str, Any]] = {
        "os": {"zip_cmd": str(program), "unzip_cmd": str(program)},
        "external": {"zip_cmd": [str(program), "{archive}", "{files}"], "password_by": "stdin"},
    }
    with pytest.raises(ConnectorError, match="ended with exit code 9") as caught:
        make(connector(driver, configs[driver]), tree, tmp_path / "out.zip", secret)
    assert secret not in str(caught.value)
    assert secret not in seen.read_text()
    assert not (tmp_path / "out.zip").exists()


@pytest.mark.parametrize("driver", ["zipfile", "os", "external"])
def test_a_failure_leaves_the_old_archive(tmp_path: Path, tree: Path, driver: str) -> None:
    need("zip", "unzip")
    output = tmp_path / "out.zip"
    output.write_text("old")
    configs: dict[str, dict[str, Any]] = {
        "os": {"zip_cmd": "false"},
        "external": {"zip_cmd": ["false", "{archive}"]},
        "zipfile": {},
    }
    config = configs[driver]
    files: list[Path] = [tree / "a.csv", tree / "missing.csv"]
    with pytest.raises((ConnectorError, OSError)):
        connector(driver, config).create_zip(output=output, files=files, base_dir=tree)
    assert output.read_text() == "old"
    assert not list(tmp_path.glob("*.part"))
    with pytest.raises(ConnectorError, match="exists"):
        make(connector(driver, config), tree, output, overwrite=False)
    assert output.read_text() == "old"


def test_a_program_that_takes_too_long_is_ended(tmp_path: Path, tree: Path) -> None:
    found = connector("external", {"zip_cmd": ["sleep", "30"]}, {"timeout": 0.3})
    with pytest.raises(ConnectorError, match=r"sleep still ran after 0\.3 s"):
        make(found, tree, tmp_path / "out.zip")


def test_what_a_program_unpacked_is_looked_at(tmp_path: Path) -> None:
    archive, dest = tmp_path / "a.bin", tmp_path / "dest"
    archive.write_bytes(b"x" * 1000)
    for script, reason in {
        "ln -s /etc/passwd {dest}/x": "member 'x' is a symbolic link",
        "mkfifo {dest}/x": "member 'x' is a pipe",
        "echo a > {dest}/x; ln {dest}/x {dest}/y": "is a hard link",
        "echo a > {dest}/x; echo a > {dest}/X": "where case does not count",
        "head -c 3000000 /dev/zero > {dest}/x": "200 times its size",
    }.items():
        found = connector("external", {"unzip_cmd": ["/bin/sh", "-c", script]})
        with pytest.raises(ConnectorError, match=reason):
            found.extract_zip(archive=archive, dest_dir=dest)
        assert list(dest.iterdir()) == []


def test_a_program_that_fills_the_disk_is_ended(tmp_path: Path) -> None:
    project = FlowProject(tmp_path / "project")
    project.work.mkdir()
    (project.work / "a.bin").write_bytes(b"x" * 100)
    endless = "while :; do head -c 1000000 /dev/zero >> {dest}/x; done"
    config = {"unzip_cmd": ["/bin/sh", "-c", endless]}
    resources = {"r": {"kind": "archive", "driver": "external", "config": config}}
    inputs = {"archives": str(project.work / "a.bin"), "dest_dir": "d", "resource": "r", "max_total_bytes": 5_000_000}
    ran = project.run_step("unzip", inputs, resources=resources)
    assert ran.error is not None
    assert "a.bin: it unpacks to more than 5,000,000 bytes" in ran.error.message
