"""zip, unzip, archive_list and archive_test in flows."""

import os
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


def zip_in(project: FlowProject, items: Any, **more: Any) -> Ran:
    listed = [items] if isinstance(items, str | dict) else items
    there = [str(project.work / "in" / item) if isinstance(item, str) else item for item in listed]
    return project.run_step(
        "zip", {"items": there, "src_dir": str(project.work / "in"), "dest_path": "out.zip", **more}
    )


def names_in(ran: Ran) -> list[str]:
    assert ran.error is None, ran.error
    with zipfile.ZipFile(ran["step"].outputs["output"]) as archive:
        return archive.namelist()


@pytest.mark.parametrize(
    ("items", "more", "expected"),
    [
        ("e", {}, ["e/a.csv", "e/hollow/", "e/x/b.csv", "e/x/c.tmp"]),
        (["e/*.csv"], {}, ["e/a.csv"]),
        (["**/*.csv"], {}, ["e/a.csv", "e/x/b.csv"]),
        (["e/**"], {}, ["e/a.csv", "e/hollow/", "e/x/b.csv", "e/x/c.tmp"]),
        (["e/[ab].csv", "top.txt", "e/a.csv"], {}, ["e/a.csv", "top.txt"]),
        ("", {}, ["e/a.csv", "e/hollow/", "e/x/b.csv", "e/x/c.tmp", "top.txt"]),
        ("e", {"recursive": "false"}, ["e/a.csv"]),
        ("e", {"exclude": ["*.tmp", "hollow"]}, ["e/a.csv", "e/x/b.csv"]),
        ("e", {"exclude": "e/x"}, ["e/a.csv", "e/hollow/"]),
    ],
)
def test_what_goes_in(project: FlowProject, items: Any, more: dict[str, Any], expected: list[str]) -> None:
    assert names_in(zip_in(project, items, **more)) == expected


def test_maps_and_json_text_are_items_too(project: FlowProject) -> None:
    base = project.work / "in"
    items = [{"path": str(base / "top.txt")}, {"glob": str(base / "e/*.csv")}]
    assert names_in(project.run_step("zip", {"items": items, "src_dir": str(base), "dest_path": "o.zip"})) == [
        "e/a.csv", "top.txt",
    ]  # fmt: skip
    text = f'["{base}/top.txt"]'
    assert names_in(project.run_step("zip", {"src": text, "src_dir": str(base), "dst": "o.zip"})) == ["top.txt"]


def test_the_outputs(project: FlowProject) -> None:
    ran = zip_in(project, "e")
    output = project.artifacts(ran) / "out.zip"
    assert ran["step"].outputs == {
        "output": str(output),
        "count": 4,
        "bytes": 3,
        "size": output.stat().st_size,
        "format": "zip",
        "password": False,
        "driver": "zipfile",
        "src_dir": str(project.work / "in"),
    }
    assert ran["step"].artifacts == [output]


def test_a_missing_item_is_an_error_unless_said_otherwise(project: FlowProject) -> None:
    ran = zip_in(project, ["top.txt", "none.txt"])
    assert ran.error is not None
    assert "nothing matches" in ran.error.message
    assert names_in(zip_in(project, ["top.txt", "none.txt"], missing="ignore")) == ["top.txt"]


def test_no_file_at_all(project: FlowProject) -> None:
    ran = zip_in(project, "*.none")
    assert (ran["step"].status, ran["step"].reason) == ("SKIPPED", "no_files")
    assert ran["step"].outputs["count"] == 0
    ran = zip_in(project, "*.none", on_empty="fail")
    assert ran.error is not None
    assert names_in(zip_in(project, "*.none", on_empty="ok")) == []


def test_the_archive_itself_stays_out_and_is_kept_on_failure(project: FlowProject) -> None:
    inputs = {"items": str(project.work / "in"), "src_dir": str(project.work / "in")}
    dest = str(project.work / "in/out.zip")
    for _ in range(2):
        assert "out.zip" not in names_in(project.run_step("zip", {**inputs, "dest_path": dest}))
    old = Path(dest).read_bytes()
    (project.work / "in/pipe").unlink(missing_ok=True)
    os.mkfifo(project.work / "in/pipe")
    ran = project.run_step("zip", {**inputs, "dest_path": dest})
    assert ran.error is not None
    assert "neither a file nor a folder" in ran.error.message
    ran = project.run_step("zip", {**inputs, "dest_path": dest, "overwrite": "no"})
    assert ran.error is not None
    assert "overwrite is false" in ran.error.message
    assert Path(dest).read_bytes() == old


def test_links_and_foreign_files_are_refused(project: FlowProject) -> None:
    (project.work / "in/e/link").symlink_to("/etc/passwd")
    assert "outside the allowed folders" in str(zip_in(project, "e").error)
    ran = project.run_step("zip", {"items": "/etc/passwd", "dest_path": "o.zip"})
    assert "outside the allowed folders" in str(ran.error)
    ran = project.run_step(
        "zip", {"items": str(project.work / "in/top.txt"), "src_dir": str(project.work / "in/e"), "dest_path": "o.zip"}
    )
    assert "does not lie under src_dir" in str(ran.error)
    ran = project.run_step("zip", {"items": str(project.work / "in/top.txt"), "dest_path": "/tmp/o.zip"})
    assert "outside the allowed folders" in str(ran.error)


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


def tree(project: FlowProject, ran: Ran) -> dict[str, str]:
    base = project.artifacts(ran) / "out"
    return {path.relative_to(base).as_posix(): path.read_text() for path in base.rglob("*") if path.is_file()}


def test_the_layout(project: FlowProject) -> None:
    path = archive(project, "a/b.zip", {"f.txt": "1"})
    assert tree(project, unzip(project, path)) == {"a/f.txt": "1"}
    assert tree(project, unzip(project, path, private_zip_folder=True)) == {"a/b/f.txt": "1"}
    assert tree(project, unzip(project, path, src_dir=str(project.work / "in"))) == {"b.zip/f.txt": "1"}
    assert tree(project, unzip(project, str(project.work / "a"), src_dir=str(project.work / "a"))) == {"f.txt": "1"}


def test_the_outputs_of_unzip(project: FlowProject) -> None:
    path = archive(project, "b.zip", {"f.txt": "1", "d/": "", "e/g.txt": "22"})
    ran = unzip(project, path)
    out = project.artifacts(ran) / "out"
    assert ran["step"].outputs == {
        "unzipped": [
            {
                "archive": path,
                "dest_dir": str(out),
                "files": [str(out / "f.txt"), str(out / "e/g.txt")],
                "skipped": [],
                "count": 2,
                "bytes": 3,
                "password": False,
                "driver": "zipfile",
            }
        ],
        "dest_dir": str(out),
        "count": 2,
    }
    assert (out / "d").is_dir()
    assert sorted(ran["step"].artifacts) == [out / "e/g.txt", out / "f.txt"]
    assert not list((project.work / "flow").rglob("unzip-*"))


def test_existing_files(project: FlowProject) -> None:
    path = archive(project, "b.zip", {"f.txt": "new", "g.txt": "new"})
    there = project.work / "there"
    project.write("old", "work/there/f.txt")
    ran = unzip(project, path, dest_dir=str(there), overwrite="false")
    assert ran["step"].outputs["unzipped"][0]["skipped"] == [str(there / "f.txt")]
    assert ((there / "f.txt").read_text(), (there / "g.txt").read_text()) == ("old", "new")
    unzip(project, path, dest_dir=str(there))
    assert (there / "f.txt").read_text() == "new"
    folder = archive(project, "c.zip", {"f.txt/x": "1"})
    ran = unzip(project, folder, dest_dir=str(there))
    assert ran.error is not None
    assert (there / "f.txt").read_text() == "new"


def test_two_archives_with_the_same_member(project: FlowProject) -> None:
    paths = [archive(project, f"{name}.zip", {"f.txt": name}) for name in "ab"]
    ran = unzip(project, paths)
    assert ran.error is not None
    assert ran.error.message == "a.zip and b.zip both hold f.txt"
    assert not list((project.work / "flow").rglob("f.txt"))
    assert tree(project, unzip(project, paths, private_zip_folder=True)) == {"a/f.txt": "a", "b/f.txt": "b"}


def test_archives_by_a_pattern(project: FlowProject) -> None:
    for name in "abc":
        archive(project, f"in/{name}.zip", {f"{name}.txt": name})
    found = unzip(project, str(project.work / "in/[ab].zip"), src_dir=str(project.work / "in"))
    assert tree(project, found) == {"a.txt": "a", "b.txt": "b"}
    assert "there is no archive [ab].zip" in str(unzip(project, "[ab].zip").error)


def test_members(project: FlowProject) -> None:
    path = archive(project, "b.zip", {"f.txt": "1", "d/g.csv": "2", "d/h.txt": "3"})
    assert tree(project, unzip(project, path, members=["*.csv", "f.txt"])) == {"f.txt": "1", "d/g.csv": "2"}
    assert tree(project, unzip(project, path, members="d")) == {"d/g.csv": "2", "d/h.txt": "3"}
    ran = unzip(project, path, members=["none.txt"])
    assert "no member is called none.txt" in str(ran.error)


def test_missing_and_no_archives(project: FlowProject) -> None:
    ran = unzip(project, str(project.work / "none.zip"))
    assert "there is no archive" in str(ran.error)
    ran = unzip(project, str(project.work / "none.zip"), missing="skip")
    assert (ran["step"].status, ran["step"].reason) == ("SKIPPED", "no_archives")
    assert ran["step"].outputs["unzipped"] == []
    ran = unzip(project, [], on_empty="ok")
    assert (ran["step"].status, ran["step"].outputs["count"]) == ("SUCCESS", 0)
    assert "no archive to unpack" in str(unzip(project, [], on_empty="fail").error)


def test_programs_stay_programs(project: FlowProject) -> None:
    project.write("#!/bin/sh\n", "work/in/run.sh")
    (project.work / "in/run.sh").chmod(0o755)
    for form in ("zip", "tar.gz"):
        made = zip_in(project, ["run.sh", "top.txt"], format=form)["step"].outputs["output"]
        out = project.artifacts(unzip(project, made)) / "out"
        modes = {path.name: path.stat().st_mode & 0o777 for path in out.rglob("*") if path.is_file()}
        assert modes == {"run.sh": 0o700, "top.txt": 0o600}


# Looking without unpacking


def test_listing(project: FlowProject) -> None:
    path = archive(project, "b.zip", {"f.txt": "1", "d/": "", "d/g.csv": "22"})
    outputs = project.run_step("archive_list", {"archive": path})["step"].outputs
    assert (outputs["format"], outputs["count"], outputs["bytes"], outputs["names"]) == (
        "zip", 3, 3, ["f.txt", "d/g.csv"],
    )  # fmt: skip
    assert outputs["members"][2] == {"name": "d/g.csv", "size": 2, "packed": 2, "is_dir": False, "encrypted": False}
    assert project.run_step("archive_list", {"archive": path, "pattern": "*.csv"})["step"].outputs["names"] == [
        "d/g.csv"
    ]
    assert "there is no archive" in str(project.run_step("archive_list", {"archive": "none.zip"}).error)


def test_testing(project: FlowProject) -> None:
    good = archive(project, "good.zip", {"f.txt": "1" * 100})
    bad = project.work / "bad.zip"
    content = Path(good).read_bytes()
    bad.write_bytes(content.replace(b"1" * 100, b"1" * 99 + b"2"))
    ran = project.run_step("archive_test", {"archives": [good, str(bad)], "on_failure": "report"})
    outputs = ran["step"].outputs
    assert (outputs["ok"], outputs["failed"]) == (False, [str(bad)])
    assert [each["ok"] for each in outputs["tested"]] == [True, False]
    assert "Bad CRC-32" in outputs["tested"][1]["reason"]
    assert "Bad CRC-32" in str(project.run_step("archive_test", {"archives": str(bad)}).error)
    assert project.run_step("archive_test", {"archives": []})["step"].status == "SKIPPED"


# Resources


def test_an_encrypted_archive_needs_no_resource(project: FlowProject) -> None:
    ran = zip_in(project, "top.txt", password="s3cret-word")
    outputs = ran["step"].outputs
    assert (outputs["driver"], outputs["password"]) == ("pyzipper", True)
    ran = unzip(project, outputs["output"], password="s3cret-word")
    assert list(tree(project, ran).values()) == ["t"]
    ran = unzip(project, outputs["output"])
    assert "is encrypted" in str(ran.error)


def test_archive_default_is_taken(project: FlowProject) -> None:
    resources = {"archive_default": {"kind": "archive", "driver": "pyzipper"}}
    inputs = {"items": str(project.work / "in/top.txt"), "src_dir": str(project.work / "in"), "dest_path": "o.zip"}
    assert project.run_step("zip", inputs, resources=resources)["step"].outputs["driver"] == "pyzipper"
    named = {"mine": {"kind": "archive", "driver": "zipfile"}, **resources}
    assert (
        project.run_step("zip", {**inputs, "connector": "mine"}, resources=named)["step"].outputs["driver"] == "zipfile"
    )
