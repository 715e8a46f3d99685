"""A launcher of a distribution that enterprise mode does not allow is not imported."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from aetherflow.core.base.errors import PluginNotAllowedError
from aetherflow.core.host.distributions import _first, distributions
from aetherflow.core.host.metadata import _texts, installed_in
from aetherflow.scheduler import launchers
from aetherflow.scheduler.cli import main
from aetherflow.scheduler.launchers import load_launcher
from aetherflow.scheduler.launchers.base import Launcher

MODULE = """\
from pathlib import Path
from aetherflow.scheduler.launchers import Launcher

(Path(__file__).parent / "ran").touch()


class Foreign(Launcher):
    def start(self, request, ended):
        raise NotImplementedError
"""


def forget() -> None:
    for each in (distributions, _first, _texts, installed_in, launchers.load_launcher):
        each.cache_clear()


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where a distribution with a launcher is installed; the working directory is a project beside it."""
    info = tmp_path / "site" / "acme_launcher-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-launcher\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[aetherflow.launchers]\nforeign = acme_foreign_launcher:Foreign\n")
    (info.parent / "acme_foreign_launcher.py").write_text(MODULE)
    monkeypatch.syspath_prepend(info.parent)
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path / "project")
    forget()
    yield info.parent
    forget()


def test_it_is_refused_before_it_is_imported(site: Path) -> None:
    project = Path("aetherflow.yaml")
    project.write_text("policy: {mode: enterprise}\n")
    with pytest.raises(PluginNotAllowedError, match=r"launcher 'foreign' of acme-launcher 1\.0 is not allowed"):
        load_launcher("foreign")
    assert not (site / "ran").exists()
    project.write_text("policy: {mode: enterprise}\nplugins: {allow: [acme-launcher]}\n")
    assert isinstance(load_launcher("foreign"), Launcher)
    assert (site / "ran").exists()


@pytest.mark.parametrize("place", ["item", "defaults"])
def test_validate_says_that_it_is_refused(site: Path, place: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Before a slot comes, at each place that names it; nothing of a refused one is imported for that either."""
    project, launcher = Path("aetherflow.yaml"), "launcher: foreign"
    project.write_text("policy: {mode: enterprise}\n")
    own, of_all = (f", {launcher}", "") if place == "item" else ("", f", {launcher}")
    items = "".join(f'  - {{id: {name}, cron: "0 2 * * *", command: make{own}}}\n' for name in ("a", "b"))
    Path("scheduler.yaml").write_text(f"timezone: UTC\ndefaults: {{enabled: true{of_all}}}\nitems:\n{items}")
    assert main(["validate", "scheduler.yaml"]) == 2
    out = capsys.readouterr().out
    assert out.count("launcher 'foreign' of acme-launcher 1.0 is not allowed") == (2 if place == "item" else 1)
    assert "AF2104" in out
    assert "plugins" in out
    assert not (site / "ran").exists()
    project.write_text("policy: {mode: enterprise}\nplugins: {allow: [acme-launcher]}\n")
    assert main(["validate", "scheduler.yaml"]) == 0, capsys.readouterr().out


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("class Foreign: pass\n", "acme_foreign_launcher:Foreign is not a subclass of Launcher"),
        ("def Foreign(): pass\n", "acme_foreign_launcher:Foreign is not a subclass of Launcher"),
        (MODULE.replace("def start", "def begin"), "acme_foreign_launcher:Foreign does not define start"),
    ],
)
def test_validate_refuses_one_that_is_no_launcher(
    site: Path, code: str, said: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (site / "acme_foreign_launcher.py").write_text(code)
    monkeypatch.delitem(sys.modules, "acme_foreign_launcher", raising=False)
    items = '  - {id: a, cron: "0 2 * * *", command: make, launcher: foreign}\n'
    Path("scheduler.yaml").write_text(f"timezone: UTC\ndefaults: {{enabled: true}}\nitems:\n{items}")
    assert main(["validate", "scheduler.yaml"]) == 2
    assert f"AF2102 launcher 'foreign' of acme-launcher 1.0: {said}" in capsys.readouterr().out


def test_our_own_needs_no_project_file(site: Path) -> None:
    Path("aetherflow.yaml").write_text("not: valid\n")
    assert isinstance(load_launcher("subprocess"), Launcher)
    assert not (site / "ran").exists()
