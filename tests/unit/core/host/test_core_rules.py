"""The rules for plugins: names and versions as pip compares them, preferences that fail closed, the core's version."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import wheels
from packaging.specifiers import SpecifierSet

from aetherflow.core import api
from aetherflow.core.base.errors import (
    PluginConflictError,
    PluginNotAllowedError,
    PluginNotFoundError,
    SpecError,
)
from aetherflow.core.host import compatible
from aetherflow.core.host.catalog import Catalog
from aetherflow.core.host.compatible import PluginVersionError
from aetherflow.core.host.distributions import version_of
from aetherflow.core.host.hooks import select_hooks
from aetherflow.core.host.metadata import PluginEntry, installed_hooks, installed_in
from aetherflow.core.host.names import CONNECTORS, HOOKS, LAUNCHERS, MANY, STEPS, WORDS
from aetherflow.core.host.requirements import accepts, both
from aetherflow.core.host.rules import Rules
from aetherflow.core.runtime.environment.allowed import usable_in
from aetherflow.core.runtime.environment.snapshot import build_snapshot

A = PluginEntry(STEPS, "dup", "acme-a", "1.0", "acme_a:X")
B = PluginEntry(STEPS, "dup", "acme-b", "2.1", "acme_b:X")
CODE = "from pathlib import Path\nPath(__file__).with_suffix('.ran').touch()\n"


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder on the path."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    wheels.forget()
    yield folder
    for name in [name for name in sys.modules if name.startswith("acme_")]:
        del sys.modules[name]
    wheels.forget()


@pytest.mark.parametrize(
    ("requirement", "distribution", "version", "expected"),
    [
        ("acme-b", "Acme_B", "1.0", True),
        ("Acme.B", "acme-b", "1.0", True),
        ("acme-b", "acme-bc", "1.0", False),
        ("acme-b==2.0", "acme-b", "2.0.0", True),
        ("acme-b == 2.0", "acme-b", "2.0.1", False),
        ("acme-b==2.*", "acme-b", "2.7", True),
        ("acme-b>=2,<3", "acme-b", "3.0", False),
        ("acme-b~=2.1", "acme-b", "2.9", True),
        ("acme-b>=2", "acme-b", "3.0rc1", True),
        ("acme-b>=2", "acme-b", "(unknown)", False),
        ("acme-b", "acme-b", "(unknown)", True),
    ],
)
def test_names_and_versions(requirement: str, distribution: str, version: str, expected: bool) -> None:
    assert accepts(requirement, distribution, version) is expected


@pytest.mark.parametrize("group", sorted(WORDS))
def test_the_list_of_allowed_ones_holds_in_every_group(group: str) -> None:
    entry = A._replace(group=group)
    for allow, fine in {
        ("Acme_A",): True, ("acme-a==1.0",): True, ("acme-a>=2",): False, ("acme-b",): False, (): False,
    }.items():  # fmt: skip
        rules = Rules(allow=allow)
        assert Catalog([entry], rules=rules).status(entry) == ("ok" if fine else "refused")
        if not fine:
            with pytest.raises(PluginNotAllowedError, match=r"'dup' of acme-a 1\.0 is not allowed"):
                rules.require(entry)


def test_the_fix_names_the_versions_that_are_allowed() -> None:
    with pytest.raises(PluginNotAllowedError) as caught:
        Rules(allow=["acme_a>=2"]).require(A)
    assert caught.value.fix == "plugins.allow accepts acme_a>=2"


def test_a_preference_for_what_is_not_there_fails() -> None:
    catalog = Catalog([A], rules=Rules(prefer={"steps.dup": "acme-b"}))
    with pytest.raises(PluginNotFoundError, match=r"chooses acme-b for step 'dup'; it is of acme-a 1\.0"):
        catalog.find(STEPS, "dup")
    assert catalog.status(A) == "not preferred"


def test_a_preference_chooses_by_name_and_version() -> None:
    assert Catalog([A, B], rules=Rules(prefer={"steps.dup": "Acme.B>=2"})).find(STEPS, "dup") == B
    with pytest.raises(PluginNotFoundError):
        Catalog([A, B], rules=Rules(prefer={"steps.dup": "acme-b>=3"})).find(STEPS, "dup")


@pytest.mark.parametrize("group", sorted(set(WORDS) - MANY))
def test_preference_and_conflict_are_the_same_in_every_group(group: str) -> None:
    a, b = A._replace(group=group, name="k.dup"), B._replace(group=group, name="k.dup")
    with pytest.raises(PluginConflictError) as caught:
        Catalog([a, b]).find(group, "k.dup")
    key = f"{group.removeprefix('aetherflow.')}.k.dup"
    assert f"prefer: {{{key}: acme-a}}" in caught.value.fix
    assert Catalog([a, b], rules=Rules(prefer={key: "acme-b"})).find(group, "k.dup") == b
    assert Catalog([a, b], rules=Rules(allow=["acme-b"])).find(group, "k.dup") == b


def test_hooks_are_blocked_by_name_and_version() -> None:
    hook = PluginEntry(HOOKS, "notes", "acme-a", "1.0", "acme_a")
    for block, left in {"Acme_A": 0, "acme-a:notes": 0, "acme-a:other": 1, "acme-a>=2": 1, "acme-a<2": 0}.items():
        assert len(select_hooks(Rules(block=[block]), [hook])) == left, block


def test_only_hooks_are_blocked() -> None:
    rules = Rules(block=["acme-a"])
    assert Catalog([A], rules=rules).status(A) == "ok"
    hook = A._replace(group=HOOKS)
    assert Catalog([hook], rules=rules).status(hook) == "blocked"


def test_two_lists_of_allowed_ones_are_both_kept() -> None:
    assert both(["acme-a>=2", "Acme_B"], ["acme.a<3", "acme-b==1.0", "acme-c"]) == ["acme.a>=2,<3", "acme-b==1.0"]


def test_what_is_no_requirement_is_told_at_its_place(tmp_path: Path) -> None:
    (tmp_path / "aetherflow.yaml").write_text(
        "plugins:\n  allow: [fine, acme=2]\n  prefer: {steps.x: '>1'}\n  block: [acme:notes, '~acme']\n"
    )
    with pytest.raises(SpecError) as caught:
        build_snapshot(tmp_path, ambient={})
    assert {(problem.af, problem.location.line) for problem in caught.value.problems} == {
        ("AF1103", 2), ("AF1103", 3), ("AF1103", 4),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("requires", "fine"),
    [
        ("aetherflow-core>=1.0,<2", True),
        ("aetherflow-core", True),
        ("Aetherflow.Core (<99)", True),
        ("aetherflow-core[db]>=1.0", True),
        ("aetherflow-core>=99; extra == 'new'", True),
        ("aetherflow-core>=99; python_version < '3'", True),
        ("aetherflow-core-extras>=99", True),
        ("aetherflow-core>=2.0", False),
        ("aetherflow-core<1.0", False),
        ("aetherflow_core (==0.9)", False),
    ],
)
def test_what_requires_another_core_is_told_before_it_is_imported(site: Path, requires: str, fine: bool) -> None:
    points = f"[{STEPS}]\nacme = acme_old:X\n[{HOOKS}]\nacme = acme_old\n[{LAUNCHERS}]\nacme = acme_old:X\n"
    wheels.install(site, "acme-old", points, {"acme_old.py": CODE}, requires=[requires, "aetherflow-corex>9"])
    wheels.forget()
    uses = (
        lambda: Catalog(installed_in()).find(STEPS, "acme"),
        lambda: select_hooks(Rules(), installed_hooks()),
        lambda: usable_in(LAUNCHERS, "acme", site, {}),
    )
    for use in uses:
        if fine:
            use()
            continue
        with pytest.raises(PluginVersionError, match=r"of acme-old 1\.0 is for aetherflow-core .*, and 1\."):
            use()
    assert not (site / "acme_old.ran").exists()


def test_the_version_of_the_api_is_that_of_the_release() -> None:
    assert version_of("aetherflow-core").split(".")[:2] == api.API_VERSION.split(".")


def test_everything_that_is_installed_is_in_one_catalogue() -> None:
    found = {entry.group for entry in installed_in()}
    assert {STEPS, CONNECTORS, LAUNCHERS, "aetherflow.commands", "aetherflow.documents", "aetherflow.hooks.status"} <= (
        found
    )


@pytest.mark.parametrize(
    "here", ["1.0", "1.1.0", "1.1", "2.0.0", "2", "1.10", "0.9.9", "1.1.0rc1", "1.2.dev3", "1.1+local"]
)
@pytest.mark.parametrize(
    "versions",
    [
        "",
        ">=1.1,<2",
        "<2.0,>=1.0.0",
        ">= 1.1, < 1.10",
        ">=1",
        "<2",
        "<=1.1",
        "~=1.1",
        "!=1.1",
        ">1",
        ">=1.1rc1",
        ">=1.1,",
    ],
)
def test_a_range_is_compared_as_pip_does(versions: str, here: str) -> None:
    expected = SpecifierSet(versions).contains(here, prereleases=True)
    assert (compatible._unmet_by(f"aetherflow-core{versions}", here) is None) is expected


def test_the_usual_range_needs_no_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "packaging.requirements", None)
    assert compatible._unmet_by("Aetherflow_Core <2,>=1.1", "1.1.3") is None
    assert compatible._unmet_by("aetherflow-core<2,>=1.1", "2.0.0") == "<2,>=1.1"


def test_a_status_is_the_same_with_and_without_the_short_way(site: Path) -> None:
    """Where no rule chooses among plugins, the catalogue asks for the version of the core alone."""
    older = ["aetherflow-core<1.0"]
    wheels.install(site, "acme-old", "[aetherflow.steps]\nold = acme_old:X\ndup = acme_old:X\n", {}, requires=older)
    wheels.install(site, "acme-new", "[aetherflow.steps]\nnew = acme_new:X\ndup = acme_new:X\n", {})
    wheels.forget()
    entries, rule = installed_in(), Rules(block=["nobody"])
    short, long = Catalog(entries), Catalog(entries, rules=rule)
    found = {(entry.shown_name, entry.distribution): short.status(entry) for entry in entries}
    assert found == {(entry.shown_name, entry.distribution): long.status(entry) for entry in entries}
    assert (found["old", "acme-old"], found["new", "acme-new"]) == ("refused", "ok")
    assert {found["dup", "acme-old"], found["dup", "acme-new"]} <= {"refused", "conflict"}
