"""Beside an index with other distributions of our names, each command that is shown or printed installs ours."""

import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from importlib.metadata import distributions
from pathlib import Path

import pytest

import release
from docs_pages import pages
from hostile_index import VERSION, hostile_index, wheel_of
from uv_program import uv

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("packaging")]

ROOT = Path(__file__).parents[3]
FLOW = """\
version: 1
flow: {id: nightly}
resources:
  warehouse: {kind: db, driver: postgres, config: {host: db.example.com, database: shop, user: etl}}
  partner: {kind: sftp, driver: paramiko, config: {host: sftp.example.com, username: etl}}
jobs:
  - id: report
    steps:
      - {id: read, type: db_extract, inputs: {resource: warehouse, sql: SELECT 1 AS one, output: rows.csv}}
      - id: fill
        type: excel_write
        inputs: {output: report.xlsx, tables: [{name: Rows, source_path: rows.csv}]}
      - {id: deliver, type: sftp_upload_files, inputs: {resource: partner, local_files: [report.xlsx], remote_dir: in}}
"""


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with hostile_index(tmp_path_factory.mktemp("index")) as address:
        yield address


def typed() -> list[tuple[str, ...]]:
    """The arguments of every `install.py --to FOLDER …` that a page shows."""
    found = [re.findall(r"install\.py --to \S+([a-z0-9 ]*)", page.read_text(encoding="utf-8")) for page in pages()]
    return sorted({tuple(arguments.split()) for each in found for arguments in each})


NEEDED = sorted({"aetherflow", "excel", *(name for arguments in typed() for name in arguments)})


@pytest.fixture(scope="module")
def released(dist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A release with the locks that the tests need."""
    out = tmp_path_factory.mktemp("release") / f"aetherflow-{VERSION}"
    shutil.copytree(dist, out)
    locks = release.locks_of(ROOT)
    release.write_locks(ROOT, out, {name: locks[name] for name in NEEDED})
    return out


class Shell:
    """A shell with an environment that has the libraries and nothing of ours; pip knows the hostile index only."""

    def __init__(self, environment: Path, folder: Path, released: Path, index: str) -> None:
        self.environment, self.folder, self.released, self.index = environment, folder, released, index
        (folder / "flow.yaml").write_text(FLOW, encoding="utf-8")
        libraries = folder / "libraries.txt"
        locks = "".join((released / "locks" / f"{name}.txt").read_text() for name in NEEDED)
        pinned = set(re.findall(r"^\S+==\S+(?: ; .*?)?(?= \\$)", locks, re.MULTILINE))
        libraries.write_text("\n".join(sorted(pinned)))
        uv("pip", "install", "--python", environment / "bin/python", "pip", "-r", libraries, cwd=folder)

    def type(self, line: str, **env: str) -> subprocess.CompletedProcess[str]:
        """Run a line as it stands."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
        shell = {
            "PATH": f"{self.environment / 'bin'}{os.pathsep}{os.environ['PATH']}",
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "PIP_NO_COMPILE": "1",
            "PIP_INDEX_URL": self.index,
        }
        argv = ["bash", "-c", line]
        return subprocess.run(
            argv, check=False, cwd=self.folder, env={**kept, **shell, **env}, capture_output=True, text=True
        )

    def install(self, *extras: str) -> subprocess.CompletedProcess[str]:
        return self.type(f"python3 {self.released}/install.py --to {self.environment} {' '.join(extras)}")

    @property
    def site(self) -> Path:
        (site,) = self.environment.glob("lib/python*/site-packages")
        return site

    def ours(self) -> dict[str, str]:
        """Our names that are there, with their versions."""
        found = {each.name: each.version for each in distributions(path=[str(self.site)])}
        return {name: version for name, version in found.items() if name.startswith("aetherflow")}

    def third_party(self) -> list[str]:
        return sorted(path.name for path in self.site.glob("third_party_*"))


@pytest.fixture
def shell(environment: Path, tmp_path: Path, released: Path, index: str) -> Shell:
    return Shell(environment, tmp_path, released, index)


@pytest.mark.parametrize("line", ['"aetherflow-core[excel]==1.1.0"', '"aetherflow-builtins-db>=1.1,<2"'])
def test_pip_by_name_installs_third_party_wheels(shell: Shell, line: str) -> None:
    """The control: with the commands that the pages showed before, the third-party wheels are installed."""
    done = shell.type(f"pip install --find-links {shell.released} {line}")
    assert done.returncode == 0, done.stderr
    assert shell.third_party() != []


def test_every_documented_command_installs_ours(shell: Shell) -> None:
    commands = typed()
    assert len(commands) > 5
    for extras in commands:
        done = shell.install(*extras)
        assert done.returncode == 0, (extras, done.stderr)
        assert shell.third_party() == [], extras
    assert set(shell.ours().values()) == {VERSION}
    assert {"aetherflow", "aetherflow-core", "aetherflow-scheduler", "aetherflow-builtins-db"} <= shell.ours().keys()


def test_the_printed_command_installs_what_is_missing(shell: Shell) -> None:
    assert shell.install().returncode == 0
    assert sorted(shell.ours()) == ["aetherflow", "aetherflow-core", "aetherflow-scheduler"]
    refused = shell.type("aetherflow validate flow.yaml")
    assert refused.returncode == 2, refused.stderr
    last = refused.stdout.splitlines()[-1].removeprefix("fix: ")
    python, script = shell.environment / "bin/python", shell.environment / "share/aetherflow/install.py"
    assert last == f"{python} {script} excel postgres sftp"

    done = shell.type(last)
    assert done.returncode == 0, done.stderr
    assert (shell.third_party(), set(shell.ours().values())) == ([], {VERSION})
    now = shell.type("aetherflow doctor flow.yaml --json && aetherflow validate flow.yaml")
    assert now.returncode == 0, now.stdout + now.stderr


def test_a_plugin_of_others_is_added_and_brings_no_third_party_wheel(shell: Shell) -> None:
    assert shell.install().returncode == 0
    made = wheel_of(shell.folder, "acme-files", "1.0", "py3-none-any", {"acme.py": ""}, "aetherflow-core>=1.1,<2")
    done = shell.type(f"pip install {made}")
    assert done.returncode == 0, done.stderr
    assert (shell.third_party(), shell.ours()["aetherflow-core"]) == ([], VERSION)


def test_a_wheel_that_was_changed_is_refused(shell: Shell, tmp_path: Path) -> None:
    changed = tmp_path / "changed"
    shutil.copytree(shell.released, changed)
    (wheel,) = changed.glob("aetherflow_core-*.whl")
    with zipfile.ZipFile(wheel, "a") as archive:
        archive.writestr("aetherflow_more.pth", "import sys\n")
    done = shell.type(f"python3 {changed}/install.py --to {shell.environment}")
    assert done.returncode != 0
    assert "DO NOT MATCH THE HASHES" in done.stderr
    assert shell.ours() == {}


def test_a_newer_release_brings_all_extras_along_and_an_unknown_one_is_told(shell: Shell) -> None:
    assert shell.install("excel").returncode == 0
    kept = shell.environment / "share/aetherflow"
    assert (kept / "extras.txt").read_text() == "excel\n"
    assert shell.install("sftp").returncode == 0
    assert (kept / "extras.txt").read_text() == "excel\nsftp\n"
    assert (kept / "install.py").read_bytes() == (ROOT / "deploy/install.py").read_bytes()
    done = shell.install("exel")
    assert (done.returncode, "there is no extra exel; there are: " in done.stderr) == (2, True)
    nowhere = shell.type(f"{sys.base_prefix}/bin/python3 {shell.released}/install.py excel")
    assert (nowhere.returncode, "name the environment with --to FOLDER" in nowhere.stderr) == (2, True)
    beside = shell.type(f"python3 {ROOT}/deploy/install.py --to {shell.environment} excel")
    assert (beside.returncode, "deploy/locks is missing" in beside.stderr) == (2, True)
