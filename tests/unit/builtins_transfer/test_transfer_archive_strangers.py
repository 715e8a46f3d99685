"""`zip` and `unzip` over connectors with the documented minimum: `create_zip` and `extract_zip`."""

import zipfile
from pathlib import Path
from typing import Any

import pytest

from aetherflow.core.api import SpecError, register_connector
from aetherflow.core.host import catalog
from aetherflow.core.testing import FlowProject, Ran
from packet_strangers import MinimalZip, PackingOnly


@pytest.fixture(autouse=True)
def _registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalog, "_registered", {group: dict(known) for group, known in catalog._registered.items()})
    register_connector("archive", "minimal")(MinimalZip)
    register_connector("archive", "packing")(PackingOnly)


def given(folder: Path) -> FlowProject:
    project = FlowProject(folder)
    there = project.work / "flow" / "given"
    (there / "deep").mkdir(parents=True)
    (there / "a.csv").write_bytes(b"1\n")
    (there / "deep" / "b ü.bin").write_bytes(bytes(range(256)) * 9)
    return project


def run(project: FlowProject, *steps: dict[str, Any], driver: str = "minimal") -> Ran:
    project.flow(*steps, resources={"packer": {"kind": "archive", "driver": driver}})
    return project.run()


def pack(project: FlowProject, **inputs: Any) -> dict[str, Any]:
    source = {
        "items": [str(project.work / "flow/given")],
        "src_dir": str(project.work / "flow/given"),
        "dest_path": "made.zip",
    }
    return {"id": "pack", "type": "zip", "inputs": {"resource": "packer"} | source | inputs}


def unpack(**inputs: Any) -> dict[str, Any]:
    return {"id": "unpack", "type": "unzip", "inputs": {"resource": "packer", "archives": "made.zip"} | inputs}


def test_files_are_packed_and_unpacked(tmp_path: Path) -> None:
    project = given(tmp_path)
    ran = run(project, pack(project), unpack(dest_dir="all"), unpack(dest_dir="some", members=["deep/*"]) | {"id": "u"})
    assert ran.error is None
    assert ran["pack"].outputs["count"] == 2
    for step, names in (("unpack", ["a.csv", "deep/b ü.bin"]), ("u", ["deep/b ü.bin"])):
        (found,) = ran[step].outputs["unzipped"]
        folder = Path(found["dest_dir"])
        assert sorted(path.relative_to(folder).as_posix() for path in map(Path, found["files"])) == names
        assert (folder / "deep/b ü.bin").read_bytes() == bytes(range(256)) * 9
    assert (project.work / "flow/given/a.csv").stat().st_nlink == 1, "nothing is left of what was lent"


def test_an_archive_that_leads_out_is_refused(tmp_path: Path) -> None:
    project = given(tmp_path)
    path = project.work / "flow" / "evil.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("../evil.txt", "x")
    ran = run(project, unpack(archives=str(path), dest_dir="out"))
    assert ran.error is not None
    assert "evil.txt" in ran.error.message
    assert not list(tmp_path.rglob("evil.txt"))


def test_errors_name_the_resource(tmp_path: Path) -> None:
    project = given(tmp_path)
    error = run(project, pack(project, password="x")).error
    assert error is not None
    assert error.message == "resource packer (archive:minimal): ValueError: it cannot encrypt"
    assert not list(project.work.rglob("*.zip"))


@pytest.mark.parametrize(
    ("driver", "step", "said"),
    [
        ("minimal", "tar", "lacks create(): it writes zip archives only, no tar.gz"),
        ("packing", "unzip", "lacks extract_zip(): nothing can be unpacked"),
    ],
)
def test_what_the_minimum_cannot_do_is_refused_before_the_run(
    tmp_path: Path, driver: str, step: str, said: str
) -> None:
    project = given(tmp_path)
    wanted = pack(project, dest_path="made.tar.gz") if step == "tar" else unpack(dest_dir="out")
    with pytest.raises(SpecError, match="AF2106") as caught:
        run(project, wanted, driver=driver)
    assert said in str(caught.value)
    assert "packet_strangers.py:" in str(caught.value)
