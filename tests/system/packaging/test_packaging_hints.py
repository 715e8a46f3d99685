"""The printed `pip install` brings ours, also where an unrelated, older distribution of the same name can be had."""

import base64
import hashlib
import os
import subprocess
import tomllib
import zipfile
from collections.abc import Mapping
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import pytest

from uv_program import uv

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("packaging")]

ROOT = Path(__file__).parents[3]
BUILT = ("aetherflow-core", "aetherflow-builtins-db", "aetherflow-builtins-reports", "aetherflow-builtins-transfer")
PROJECTS: dict[str, dict[str, Any]] = {
    name: tomllib.loads((ROOT / name / "pyproject.toml").read_text(encoding="utf-8"))["project"] for name in BUILT
}
VERSION = PROJECTS["aetherflow-core"]["version"]
RIVAL = "0.9.1"
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
NEEDED = {  # by distribution of ours, the extra that the flow needs
    "aetherflow-builtins-db": "postgres",
    "aetherflow-builtins-reports": None,
    "aetherflow-builtins-transfer": "sftp",
}
HINT = f'pip install "aetherflow-core[excel,postgres,sftp]=={VERSION}"'
OPEN = 'pip install "aetherflow-core[excel,postgres,sftp]"'


def run(argv: list[str | Path], cwd: Path, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(argv, check=False, cwd=cwd, env={**os.environ, **(env or {})}, capture_output=True, text=True)


@pytest.fixture(scope="module")
def rivals(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Older wheels of all those names, with the same extras, that need nothing."""
    out = tmp_path_factory.mktemp("rivals")
    for name in BUILT:
        stem = f"{name.replace('-', '_')}-{RIVAL}"
        extras = "".join(f"Provides-Extra: {extra}\n" for extra in PROJECTS[name]["optional-dependencies"])
        files = {
            f"rival_{name.replace('-', '_')}.py": "",
            f"{stem}.dist-info/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {RIVAL}\n{extras}",
            f"{stem}.dist-info/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        }
        record = "".join(f"{file},sha256={_digest(text)},{len(text)}\n" for file, text in files.items())
        with zipfile.ZipFile(out / f"{stem}-py3-none-any.whl", "w") as wheel:
            for file, text in {**files, f"{stem}.dist-info/RECORD": f"{record}{stem}.dist-info/RECORD,,\n"}.items():
                wheel.writestr(file, text)
    return out


def _digest(text: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()


class Shell:
    """An environment with pip and our core in it, and a terminal that knows no index but the folders it is given."""

    def __init__(self, environment: Path, folder: Path, dist: Path) -> None:
        self.folder = folder
        self.bin = environment / "bin"
        where = ("--python", self.bin / "python", "--find-links", dist, "-c", ROOT / "constraints.txt")
        uv("pip", "install", *where, "pip", f"aetherflow-core=={VERSION}", cwd=folder)
        (folder / "flow.yaml").write_text(FLOW, encoding="utf-8")

    def add_libraries(self) -> None:
        """Install the libraries that are not ours from where every test takes them."""
        libraries = [text for name, extra in NEEDED.items() for text in _foreign(name, extra)]
        constraints = ("-c", ROOT / "constraints.txt")
        uv("pip", "install", "--python", self.bin / "python", *constraints, *libraries, cwd=self.folder)

    def type(self, line: str, *links: Path) -> subprocess.CompletedProcess[str]:
        """Run a line as it was printed."""
        env = {
            "PATH": f"{self.bin}{os.pathsep}{os.environ['PATH']}",
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "PIP_NO_COMPILE": "1",
            "PIP_FIND_LINKS": " ".join(map(str, links)),
            "PIP_NO_INDEX": "1",
        }
        return run(["bash", "-c", line], self.folder, env)

    def installed(self) -> dict[str, str]:
        """Our names that are there, with their versions."""
        (site,) = self.bin.parent.glob("lib/python*/site-packages")
        found = {each.name: each.version for each in distributions(path=[str(site)])}
        return {name: version for name, version in found.items() if name.startswith("aetherflow")}


def _foreign(name: str, extra: str | None) -> list[str]:
    project = PROJECTS[name]
    wanted = [*project["dependencies"], *(project["optional-dependencies"][extra] if extra else ())]
    return [text for text in wanted if not text.startswith("aetherflow")]


@pytest.fixture
def shell(environment: Path, tmp_path: Path, dist: Path) -> Shell:
    return Shell(environment, tmp_path, dist)


def test_the_printed_command_brings_ours_beside_older_rivals(shell: Shell, dist: Path, rivals: Path) -> None:
    refused = shell.type("aetherflow validate flow.yaml")
    assert refused.returncode == 2, refused.stderr
    last = refused.stdout.splitlines()[-1]
    assert last == f"fix: {HINT}"

    shell.add_libraries()
    done = shell.type(last.removeprefix("fix: "), rivals, dist)
    assert done.returncode == 0, done.stderr
    assert shell.installed() == dict.fromkeys(BUILT, VERSION)
    now = shell.type("aetherflow doctor flow.yaml --json && aetherflow validate flow.yaml")
    assert now.returncode == 0, now.stdout + now.stderr


def test_where_only_rivals_can_be_had_the_printed_command_changes_nothing(shell: Shell, rivals: Path) -> None:
    done = shell.type(HINT, rivals)
    assert done.returncode != 0, done.stdout
    assert shell.installed() == {"aetherflow-core": VERSION}
    assert shell.type("aetherflow --version").stdout == f"aetherflow {VERSION}\n"

    # what the version in the command is for: without it pip gives up ours
    done = shell.type(OPEN, rivals)
    assert done.returncode == 0, done.stderr
    assert shell.installed() == {"aetherflow-core": RIVAL}
