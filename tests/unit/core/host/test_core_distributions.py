"""Installed distributions are found as importlib.metadata finds them."""

import importlib.metadata
import json
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from aetherflow.core.host import distributions
from aetherflow.core.host.distributions import key_of, name_and_version, points_in, version_of
from aetherflow.core.host.importing import find_target
from aetherflow.core.host.installing import installed_version
from aetherflow.core.host.metadata import _texts, installed_in
from aetherflow.core.host.names import CONNECTORS, HOOKS, STEPS

GROUPS = (STEPS, CONNECTORS, HOOKS)
POINTS = f"""\
# a comment
[console_scripts]
acme = acme.cli:main

[{STEPS}]
acme.load = acme.load:Load
acme.store=acme.store : Store
[{CONNECTORS}]
db.acme = acme.db:Db [extra]
"""


@pytest.fixture(autouse=True)
def site(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """An empty folder, which is all of `sys.path`."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.setattr(sys, "path", [str(folder)])
    forget()
    yield folder
    forget()


def forget() -> None:
    distributions.distributions.cache_clear()
    distributions._first.cache_clear()
    _texts.cache_clear()
    installed_in.cache_clear()


def install(site: Path, folder: str, points: str = POINTS, *, name: str = "acme-plugin", version: str = "1.0") -> None:
    info = site / folder
    info.mkdir(parents=True)
    facts = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n\nName: in the README\n"
    (info / ("PKG-INFO" if "egg" in folder.lower() else "METADATA")).write_text(facts)
    (info / "entry_points.txt").write_text(points)


def found() -> list[tuple[str, str, str]]:
    return [(entry.group, entry.name, entry.target) for entry in installed_in(*GROUPS)]


def by_importlib() -> list[tuple[str, str, str]]:
    points = importlib.metadata.entry_points()
    return sorted((point.group, point.name, point.value) for group in GROUPS for point in points.select(group=group))


def test_all_that_is_installed_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    forget()
    assert found() == by_importlib() != []
    ours = {key: name_and_version(each) for key, each in reversed(distributions.distributions())}
    theirs = [(each.metadata["Name"], each.version) for each in importlib.metadata.distributions()]
    assert ours == {key_of(name): (name, version) for name, version in reversed(theirs)}


@pytest.mark.parametrize(
    "folder", ["acme_plugin-1.0.dist-info", "acme_plugin-1.0-py3.11.egg-info", "ACME.Plugin.DIST-INFO"]
)
def test_a_folder_of_metadata(site: Path, folder: str) -> None:
    install(site, folder)
    assert found() == by_importlib()
    assert len(found()) == 3
    assert installed_in(STEPS)[0].source == "acme-plugin 1.0"
    assert version_of("Acme.Plugin") == "1.0"


def test_the_first_of_a_name_counts(site: Path, tmp_path: Path) -> None:
    later, third = tmp_path / "later", tmp_path / "third"
    install(site, "acme_plugin-2.0.dist-info", f"[{STEPS}]\nacme.new = acme:New\n", version="2.0")
    install(later, "Acme.Plugin-1.0.dist-info", name="Acme.Plugin")
    install(third, "other-1.0.dist-info", f"[{STEPS}]\nother = other:Other\n", name="other")
    sys.path += [str(tmp_path / "gone"), str(later), str(third), str(third)]
    assert found() == by_importlib() == [(STEPS, "acme.new", "acme:New"), (STEPS, "other", "other:Other")]
    assert installed_version("acme-plugin") == "2.0"


def test_a_distribution_without_plugins_hides_a_later_one_with_some(site: Path, tmp_path: Path) -> None:
    install(site, "acme_plugin-2.0.dist-info", "", version="2.0")
    install(tmp_path / "later", "acme_plugin-1.0.dist-info")
    sys.path.append(str(tmp_path / "later"))
    assert found() == by_importlib() == []


def test_half_removed(site: Path) -> None:
    install(site, "acme_plugin-1.0.dist-info")
    (site / "acme_plugin-1.0.dist-info/METADATA").unlink()
    assert {entry.source for entry in installed_in(*GROUPS)} == {"(unknown) (unknown)"}
    (site / "a_file-1.0.egg-info").write_text("Name: a-file\n")
    assert len(found()) == 3


def test_a_zip_file_and_an_egg(site: Path, tmp_path: Path) -> None:
    archive, egg = tmp_path / "app.pyz", tmp_path / "Other.Plugin-1.0-py3.11.egg"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("acme_plugin-1.0.dist-info/METADATA", "Name: acme-plugin\nVersion: 1.0\n")
        file.writestr("acme_plugin-1.0.dist-info/entry_points.txt", POINTS)
    install(egg, "EGG-INFO", f"[{HOOKS}]\nother = other:Other\n", name="Other.Plugin")
    sys.path += [str(archive), str(egg)]
    assert found() == by_importlib()
    assert len(found()) == 4
    assert version_of("other-plugin") == "1.0"


def test_a_finder_with_distributions_of_its_own(site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, "acme_plugin-1.0.dist-info")
    own = importlib.metadata.Distribution.at(tmp_path / "acme_plugin-1.0.dist-info")
    finder = SimpleNamespace(find_spec=lambda *_: None, find_distributions=lambda _: [own])
    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path, finder])
    assert found() == by_importlib()
    assert len(found()) == 3


def test_what_is_not_installed() -> None:
    assert installed_version("acme-plugin") is None
    with pytest.raises(importlib.metadata.PackageNotFoundError):
        version_of("acme-plugin")


def test_the_text_of_entry_points_is_read_as_importlib_reads_it() -> None:
    theirs = importlib.metadata.EntryPoints._from_text(POINTS)  # type: ignore[attr-defined]  # undocumented
    assert list(points_in(POINTS)) == [(point.group, point.name, point.value) for point in theirs]


def test_a_target_may_have_blanks_and_extras() -> None:
    assert find_target("json : loads [fast]") is json.loads


def test_metadata_that_is_not_utf_8_is_read(site: Path) -> None:
    install(site, "acme_plugin-1.0.dist-info")
    install(site, "other-2.0.dist-info", "", name="other")
    for name in ("METADATA", "entry_points.txt"):
        with (site / "other-2.0.dist-info" / name).open("ab") as file:
            file.write(f"# Größe [{STEPS}]\n".encode("latin-1"))
    assert {each.distribution for each in installed_in(*GROUPS)} == {"acme-plugin"}
    assert version_of("other") == "1.0"


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_the_head_of_metadata_ends_at_the_first_blank_line(tmp_path: Path, ending: str) -> None:
    head = ["Metadata-Version: 2.1", *(f"Classifier: {number:0500}" for number in range(40)), "Name: far-down"]
    lines = [*head, "Version: 1.0", "", "Name: of-the-readme", *["text"] * 9000]
    (tmp_path / "METADATA").write_bytes(ending.join(lines).encode() + b"\xff")
    found = distributions.MetadataFolder(str(tmp_path))
    assert distributions.name_and_version(found) == ("far-down", "1.0")
    assert distributions.header_of(found).splitlines() == lines[: lines.index("")]
    assert (found.read_text("METADATA") or "").splitlines()[-1].startswith("text\N{REPLACEMENT CHARACTER}")
    assert distributions.MetadataFolder(str(tmp_path / "none")).head("METADATA") == ""
