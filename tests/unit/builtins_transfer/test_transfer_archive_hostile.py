"""Hostile archives: each is refused with its reason, nothing appears anywhere, limits hold."""

import hashlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import torture_archives
from aetherflow.core.api import ConnectorInit, ExtractRules
from aetherflow.core.testing import FlowProject
from aetherflow_builtins_transfer.archives import zip_read
from aetherflow_builtins_transfer.archives.failures import ArchiveError
from aetherflow_builtins_transfer.archives.limits import Limits
from aetherflow_builtins_transfer.archives.unpack import survey, unpack
from aetherflow_builtins_transfer.connectors.archive.pyzipper import PyzipperConnector
from aetherflow_builtins_transfer.connectors.archive.zipfile import ZipfileConnector

CASES = torture_archives.all_cases()
LIMITS: dict[str, Any] = {"max_total_bytes": 20 * torture_archives.MIB, "max_members": 100}
RULES = ExtractRules(Limits(**LIMITS))


def test_there_are_enough_of_them() -> None:
    assert len(CASES) >= 60
    assert len({name for name, _, _ in CASES}) == len(CASES)


def snapshot(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "folder"
        for path in sorted(folder.rglob("*"))
    }


@pytest.mark.parametrize(("name", "content", "reason"), CASES, ids=[name for name, _, _ in CASES])
def test_it_is_refused_and_nothing_appears(
    tmp_path: Path, name: str, content: Callable[[], bytes], reason: str
) -> None:
    archive = tmp_path / name
    archive.write_bytes(content())
    outside = tmp_path / "outside"
    into = outside / "deep/dest"
    into.mkdir(parents=True)
    (outside / "sentinel").write_text("untouched")
    before = snapshot(outside)
    started = time.process_time()
    for drop in (None, into):
        with pytest.raises(ArchiveError, match=reason) as caught:
            unpack(archive, RULES, drop)
        assert name in str(caught.value)
        assert "\n" not in str(caught.value)
        assert caught.value.message.isprintable()
    assert time.process_time() - started < 2
    written = [path for path in into.rglob("*") if path.is_file() or path.is_symlink()]
    assert not [path for path in written if path.is_symlink()]
    assert sum(path.stat().st_size for path in written) <= LIMITS["max_total_bytes"]
    for path in written:
        path.unlink()
    assert {path for path in snapshot(outside) if not path.startswith("deep/dest")} == {
        path for path in before if not path.startswith("deep/dest")
    }
    assert not Path("/tmp/aetherflow-evil").exists()


@pytest.mark.parametrize("driver", [ZipfileConnector, PyzipperConnector])
def test_the_connectors_refuse_them_too(tmp_path: Path, driver: Any) -> None:
    connector = driver(ConnectorInit("a", "archive", driver.__name__, {}, {}))
    dest = tmp_path / "dest"
    for name, content, _ in CASES:
        if "members" in name or name.startswith(("total", "ratio")):
            continue  # the limits of this test are not the connector's own
        archive = tmp_path / name
        archive.write_bytes(content())
        with pytest.raises(ArchiveError):
            connector.extract_zip(archive=archive, dest_dir=dest)
    assert list(dest.iterdir()) == []


@pytest.fixture
def project(tmp_path: Path) -> FlowProject:
    return FlowProject(tmp_path / "project")


def test_a_flow_with_a_bad_archive_among_good_ones_changes_nothing(project: FlowProject) -> None:
    project.write("old", "work/data/keep.txt")
    (project.work / "in").mkdir(parents=True)
    (project.work / "in/a.zip").write_bytes(torture_archives.zip_of(("keep.txt", b"new"), ("good.txt", b"1")))
    (project.work / "in/b.zip").write_bytes(torture_archives.zip_of(("../evil", b"2")))
    inputs = {
        "archives": str(project.work / "in"),
        "src_dir": str(project.work / "in"),
        "dest_dir": str(project.work / "data"),
    }
    ran = project.run_step("unzip", inputs)
    assert ran.error is not None
    assert ran.error.message == "archive b.zip: member '../evil' leads out of the destination"
    assert snapshot(project.work / "data") == {"keep.txt": hashlib.sha256(b"old").hexdigest()}
    assert not list(project.work.rglob("evil"))


def test_a_link_that_waits_in_the_destination_is_not_followed(project: FlowProject) -> None:
    (project.work / "dest").mkdir(parents=True)
    elsewhere = project.work / "elsewhere"
    elsewhere.mkdir()
    (project.work / "dest/d").symlink_to(elsewhere)
    (project.work / "a.zip").write_bytes(torture_archives.zip_of(("d/evil", b"x")))
    ran = project.run_step(
        "unzip",
        {"archives": str(project.work / "a.zip"), "src_dir": str(project.work), "dest_dir": str(project.work / "dest")},
    )
    assert ran.error is not None
    assert "symbolic link" in ran.error.message
    assert list(elsewhere.iterdir()) == []


@pytest.mark.parametrize(
    ("count", "size", "limits", "fits"),
    [
        (10, 10, {"max_members": 10}, True),
        (11, 10, {"max_members": 10}, False),
        (2, 500, {"max_total_bytes": 1000}, True),
        (2, 501, {"max_total_bytes": 1000}, False),
    ],
)
@pytest.mark.parametrize("form", ["zip", "tar"])
def test_limits_hold_to_the_last_one(
    tmp_path: Path, form: str, count: int, size: int, limits: dict[str, Any], fits: bool
) -> None:
    make: Any = torture_archives.zip_of if form == "zip" else torture_archives.tar_of
    archive = tmp_path / f"a.{form}"
    archive.write_bytes(make(*[(f"m{n}", b"x" * size) for n in range(count)]))
    for look in (survey, lambda path, rules: unpack(path, rules, None)):
        if fits:
            assert len(look(archive, ExtractRules(Limits(**limits)))) == count
        else:
            with pytest.raises(ArchiveError, match="more than"):
                look(archive, ExtractRules(Limits(**limits)))


def test_the_table_of_contents_is_not_read_if_it_is_huge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = tmp_path / "a.zip"
    archive.write_bytes(torture_archives.zip_of(("a" * 200, b"x")))
    monkeypatch.setattr(zip_read, "MAX_TABLE_BYTES", 245)
    with pytest.raises(ArchiveError, match="its table of contents has 246 bytes; 245 is the most"):
        survey(archive, RULES)


def test_the_ratio_holds_to_the_last_byte(tmp_path: Path) -> None:
    archive = tmp_path / "a.zip"
    archive.write_bytes(torture_archives.zip_of(("zeros", bytes(4 * torture_archives.MIB))))
    ratio = 4 * torture_archives.MIB / archive.stat().st_size
    member = 4 * torture_archives.MIB / survey(archive, ExtractRules(Limits(max_ratio=1e9)))[0].packed  # type: ignore[operator]
    assert unpack(archive, ExtractRules(Limits(max_ratio=member)), None)
    with pytest.raises(ArchiveError, match="times its size"):
        unpack(archive, ExtractRules(Limits(max_ratio=ratio * 0.99)), None)
