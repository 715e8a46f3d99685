"""Which paths a step may use, and what enterprise mode takes away."""

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from aetherflow.core.base.errors import PathError
from aetherflow.core.runtime.environment.snapshot import build_snapshot
from aetherflow.core.runtime.workspace.sandbox import Sandbox, child_env

if TYPE_CHECKING:
    from core_project import Project


@pytest.fixture
def place(tmp_path: Path) -> Path:
    for name in ("work/f/a/r/artifacts", "work/f/b/r", "work/f/a/other", "flow/sql", "extra", "outside"):
        (tmp_path / name).mkdir(parents=True)
    return tmp_path.resolve()


def sandbox(place: Path, project_file: str = "", **env: str) -> Sandbox:
    (place / "flow" / "aetherflow.yaml").write_text(project_file or "version: 1\n")
    snapshot = build_snapshot(place / "flow", ambient=env)
    jobs = (place / "work/f/a/r", place / "work/f/b/r")
    return Sandbox.of(snapshot, place / "work", place / "flow", jobs)


def allowed(found: Sandbox, place: Path, path: str) -> str:
    own = place / "work/f/a/r"
    text = ""
    with contextlib.suppress(PathError):
        found.to_read(place / path, own / "artifacts")
        text += "r"
    with contextlib.suppress(PathError):
        found.to_write(place / path, own / "artifacts", own)
        text += "w"
    return text


PATHS = ("work/f/a/r/artifacts/x", "work/f/b/r/x", "work/f/a/other/x", "work/x", "flow/sql/x", "extra/x", "outside/x")


@pytest.mark.parametrize(
    ("project_file", "env", "rights"),
    [
        ("", {}, ["rw", "rw", "rw", "rw", "r", "", ""]),
        ("paths: {read: [../extra]}", {}, ["rw", "rw", "rw", "rw", "r", "r", ""]),
        ("paths: {write: [../extra]}", {}, ["rw", "rw", "rw", "rw", "r", "rw", ""]),
        ("", {"AETHERFLOW_STRICT_SANDBOX": "off"}, ["rw"] * 7),
        ("", {"AETHERFLOW_MODE": "enterprise"}, ["rw", "r", "", "", "r", "", ""]),
        ("paths: {read: [../extra]}", {"AETHERFLOW_MODE": "enterprise"}, ["rw", "r", "", "", "r", "r", ""]),
        ("policy: {mode: enterprise}", {"AETHERFLOW_STRICT_SANDBOX": "off"}, ["rw", "r", "", "", "r", "", ""]),
    ],
)
def test_roots(place: Path, project_file: str, env: dict[str, str], rights: list[str]) -> None:
    found = sandbox(place, project_file, **env)
    assert [allowed(found, place, path) for path in PATHS] == rights


def test_ways_out_are_closed(place: Path) -> None:
    found, own = sandbox(place), place / "work/f/a/r"
    base = own / "artifacts"
    (base / "link").symlink_to(place / "outside")
    (base / "inner").symlink_to(own)
    for path in ("link/x", "inner/x", "../../../../../outside/x", "/etc/passwd", "", "a\0b", "x/" * 3000):
        with pytest.raises(PathError):
            found.to_read(path, base)
        with pytest.raises(PathError):
            found.to_write(path, base, own)
    assert found.to_write("sub/../x", base, own) == base / "x"


def test_children_of_enterprise_get_an_allowlist(place: Path) -> None:
    env = {"PATH": "/bin", "LC_ALL": "C", "SECRET": "x", "MINE": "y", "AETHERFLOW_MODE": "enterprise"}
    (place / "flow" / "aetherflow.yaml").write_text("policy: {child_env: [MINE]}\n")
    snapshot = build_snapshot(place / "flow", ambient=env)
    assert set(child_env(snapshot.env, snapshot)) == {"PATH", "LC_ALL", "MINE", "AETHERFLOW_LOCAL_ROOT_DIR"}
    free = build_snapshot(place / "flow", ambient={**env, "AETHERFLOW_MODE": "internal_fast"})
    assert child_env(free.env, free)["SECRET"] == "x"


def test_enterprise_accepts_archive_drivers_by_name(project: "Project", monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AETHERFLOW_MODE", "enterprise")
    project.flow("resources:\n  z: {kind: archive, driver: os}\njobs: []\n")
    assert "AF1212" in project.cli("validate", "flow.yaml").out
    project.write("policy: {zip_drivers: [os]}\n", "aetherflow.yaml")
    assert "AF1212" not in project.cli("validate", "flow.yaml").out
