"""The command that brings what is missing: every extra at the installed version, all that a document lacks at once."""

import importlib.util
import json
import re
import shutil
import sys
import xml.etree.ElementTree as ET
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from aetherflow.core.api import install_command
from aetherflow.core.base.errors import PluginNotFoundError
from aetherflow.core.host import catalog, first_party, installing, names

if TYPE_CHECKING:
    from core_project import Project

ROOT = Path(__file__).parents[4]
VERSION = version("aetherflow-core")
TOMORROW = {
    "postgres": ("db.tomorrow", names.CONNECTORS),
    "db": ("db_tomorrow", names.STEPS),
    "sftp": ("sftp_tomorrow", names.STEPS),
    "excel": ("excel_tomorrow", names.STEPS),
}
FLOW = """\
resources:
  wh: {kind: db, driver: tomorrow}
jobs:
  - id: a
    steps:
      - {id: read, type: db_tomorrow}
      - {id: put, type: sftp_tomorrow}
      - {id: again, type: sftp_tomorrow}
      - {id: fill, type: excel_tomorrow}
"""
COMMAND = f"python3 install.py --to {sys.prefix} excel postgres sftp  # in the folder of the release"


@pytest.fixture
def lacking(project: "Project", monkeypatch: pytest.MonkeyPatch) -> "Project":
    """A flow of names that are ours and that nothing here provides, as if only the core were installed."""
    for extra, (name, group) in TOMORROW.items():
        key = f"{group.removeprefix('aetherflow.')}.{name}"
        monkeypatch.setitem(first_party._entries(first_party.HINTS), key, extra)
    monkeypatch.setattr(catalog, "installed_version", lambda name: None)
    project.flow(FLOW)
    return project


def answer(project: "Project", *argv: str, code: int = 2) -> str:
    done = project.cli(*argv)
    assert done.code == code, done.err
    return done.out or done.err


@pytest.mark.parametrize("argv", [("validate",), ("doctor",), ("run",), ("plan",)], ids=" ".join)
def test_what_a_document_lacks_is_one_command_below_its_problems(lacking: "Project", argv: tuple[str, ...]) -> None:
    said = answer(lacking, *argv, "flow.yaml")
    assert said.count("AF2101") == 5
    assert [line for line in said.splitlines() if "install" in line and "AF" not in line] == [f"fix: {COMMAND}"]
    assert said.endswith(f"fix: {COMMAND}\n")


def test_programs_read_it_in_a_field(lacking: "Project") -> None:
    def read(*argv: str, code: int = 2) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(answer(lacking, *argv, "--json", code=code))
        return found

    found = read("validate", "flow.yaml")
    assert found["install"] == COMMAND
    own = {each["loc"]: each["fix"] for each in found["errors"]}
    assert own["resources.wh.driver"] == install_command("postgres")
    assert own["jobs[0].steps[0].type"] == install_command("db")
    assert read("doctor", "flow.yaml")["install"] == COMMAND
    assert read("run", "flow.yaml")["error"]["install"] == COMMAND
    assert read("plan", "flow.yaml")["error"]["install"] == COMMAND

    lacking.write("version: 1\nflow: {id: f}\njobs: []\n", "complete.yaml")
    assert read("validate", "complete.yaml", code=0)["install"] is None
    assert read("doctor", "complete.yaml", code=0)["install"] is None


def test_what_several_documents_lack_is_one_command_too(lacking: "Project") -> None:
    lacking.flow("jobs: [{id: a, steps: [{id: s, type: sftp_tomorrow}]}]\n")
    lacking.write("version: 1\nflow: {id: f}\njobs: [{id: a, steps: [{id: s, type: excel_tomorrow}]}]\n", "b.yaml")
    both = install_command("excel", "sftp")
    said = answer(lacking, "validate", "flow.yaml", "b.yaml")
    assert said.count("install.py") == 1
    assert said.endswith(f"fix: {both}\n")
    found = json.loads(answer(lacking, "validate", "flow.yaml", "b.yaml", "--json"))
    assert found["install"] == both
    assert [each["install"] for each in found["files"]] == [
        install_command("sftp"),
        install_command("excel"),
    ]
    said = answer(lacking, "validate", "flow.yaml", "b.yaml", "--format", "github")
    assert said.endswith(f"fix: {both}\n")  # an annotation is read alone, so it has its own fix as well
    assert said.count("%0Afix: python3 install.py") == 2
    said = answer(lacking, "validate", "flow.yaml", "--format", "junit")
    (failure,) = ET.fromstring(said).iter("failure")
    assert (failure.text or "").splitlines()[-1] == f"fix: {install_command('sftp')}"


def test_a_manifest_is_answered_likewise(lacking: "Project", monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(first_party._entries(first_party.HINTS), "bundle_sources.tomorrow", "sftp")
    lacking.write(
        "bundle: {id: b, source: {type: tomorrow}, layout: {profiles_file: p.yaml}, entry_flow: flow.yaml}\n",
        "bundle.yaml",
    )
    said = answer(lacking, "validate", "bundle.yaml")
    assert said.endswith(f"fix: {install_command('sftp')}\n"), said


def test_missing_drivers_and_missing_plugins_share_the_command(
    lacking: "Project", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(installing, "is_installed", lambda module: module not in {"psycopg", "pyminizip"})
    lacking.flow(
        "resources:\n  wh: {kind: db, driver: postgres, config: {host: h, database: d, user: u}}\n"
        "  old: {kind: archive, driver: pyminizip}\n"
        "jobs: [{id: a, steps: [{id: s, type: excel_tomorrow}]}]\n"
    )
    said = answer(lacking, "doctor", "flow.yaml")
    assert said.count("AF2105") == 2
    # pyminizip is brought by no extra, so the command for all cannot bring it
    assert [line for line in said.splitlines() if "install" in line and "AF" not in line] == [
        "  fix: install what provides the module pyminizip: the documentation of the connector names it",
        f"fix: {install_command('excel', 'postgres')}",
    ]


@pytest.mark.parametrize(
    ("extras", "wanted"),
    [
        (("postgres",), " postgres"),
        (("sftp", "excel", "sftp"), " excel sftp"),
        (("db", "duckdb", "mysql"), " duckdb mysql"),
        (("db", "sftp"), " db sftp"),
        ((), ""),
    ],
)
def test_extras_are_sorted_and_none_is_named_that_another_brings(extras: tuple[str, ...], wanted: str) -> None:
    assert install_command(*extras) == f"python3 install.py --to {sys.prefix}{wanted}  # in the folder of the release"


def test_an_older_plugin_distribution_is_brought_to_the_version_of_the_core(monkeypatch: pytest.MonkeyPatch) -> None:
    # the extra of this core asks for at least its own version, so pip replaces the older one
    monkeypatch.setitem(first_party._entries(first_party.HINTS), "steps.sftp_tomorrow", "sftp")
    there = {"aetherflow-builtins-transfer": "0.0.1", "aetherflow-core": VERSION}
    monkeypatch.setattr(catalog, "installed_version", there.get)
    with pytest.raises(PluginNotFoundError) as caught:
        catalog.Catalog(()).find(names.STEPS, "sftp_tomorrow")
    assert "aetherflow-builtins-transfer 0.0.1 is installed and has no such step" in caught.value.message
    assert caught.value.fix == install_command("sftp")


def test_the_command_is_written_in_one_place() -> None:
    written = re.compile(r"pip install[^\n]*aetherflow|install\.py")
    found = [
        path.relative_to(ROOT).as_posix()
        for path in sorted(ROOT.glob("aetherflow-*/src/**/*"))
        if path.suffix == ".py" and written.search(path.read_text(encoding="utf-8"))
    ]
    # the kernel, which does not know the host, names the call of `install.py`, too
    assert found == [f"aetherflow-core/src/aetherflow/core/{name}.py" for name in ("base/typed", "host/installing")]


@pytest.mark.parametrize("argv", [("validate",), ("run",)], ids=" ".join)
def test_a_missing_driver_is_found_before_a_run(
    lacking: "Project", monkeypatch: pytest.MonkeyPatch, argv: tuple[str, ...]
) -> None:
    monkeypatch.setattr(installing, "is_installed", lambda module: module != "duckdb")
    lacking.flow(
        "resources: {wh: {kind: db, driver: duckdb, config: {path: wh.duckdb}}}\n"
        "jobs: [{id: a, steps: [{id: s, type: db_fetch_small, inputs: {resource: wh, sql: SELECT 1 AS one}}]}]\n"
    )
    said = answer(lacking, *argv, "flow.yaml")
    assert "AF2105 resource wh: the driver of db:duckdb is not installed (duckdb)" in said
    assert said.endswith(f"fix: {install_command('duckdb')}\n")


def test_a_kill_does_not_lose_the_list_of_extras(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An upgrade installs what an earlier call has kept, also where that ended between two renames."""
    (tmp_path / "release").mkdir()
    installer = shutil.copy(ROOT / "deploy/install.py", tmp_path / "release")
    spec = importlib.util.spec_from_file_location("release_install", installer)
    assert spec is not None
    assert spec.loader is not None
    install: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(install)
    folder, rename = tmp_path / "environment", Path.rename
    install.keep(folder, ["sftp"], "")
    for before in (0, 1):
        left = before

        def killed(path: Path, target: Path) -> Path:
            nonlocal left
            left -= 1
            if left < 0:
                raise KeyboardInterrupt
            return rename(path, target)

        monkeypatch.setattr(Path, "rename", killed)
        with pytest.raises(KeyboardInterrupt):
            install.keep(folder, ["sftp", "excel"], "")
        monkeypatch.undo()
        assert install.kept_text(folder, install.CHOSEN).startswith("sftp\n"), before
    install.keep(folder, ["sftp"], "")
    assert [path.name for path in (folder / "share").iterdir()] == ["aetherflow"]
