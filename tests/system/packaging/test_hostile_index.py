"""Beside an index with other distributions of our names, each command that is shown or printed installs ours."""

import ast
import hashlib
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
from docs_pages import HISTORY, name_of, pages
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
def served(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the index, with a plugin of those who ask for it; it needs a distribution of ours."""
    folder = tmp_path_factory.mktemp("index")
    needs = ("aetherflow-core>=1.1,<2", "aetherflow-builtins-db>=1.1,<2")
    wheel_of(folder, "acme-files", "1.0", "py3-none-any", {"acme.py": ""}, *needs)
    return folder


@pytest.fixture(scope="module")
def index(served: Path) -> Iterator[str]:
    with hostile_index(served) as address:
        yield address


INSTALLS = re.compile(
    r"\bpip3? (?:install|download|wheel) \S|\bpipx |\buvx |\buv (?:tool|run|add|build|sync|pip (?:install|sync)) |"
    r"-m build\b|\b(?:hatch|hatchling) build|\binstall\.py [^#|]"
)
ONE_DAY = 'pip install "aetherflow-core[reports]"'
"""What the pages promise for the day when the names are ours."""


def typed() -> dict[str, str]:
    """Every command that installs or builds and that is shown anywhere, with the page that shows it."""
    shown = {name_of(page) for page in pages() if page != HISTORY}
    shown |= {path.relative_to(ROOT).as_posix() for path in (ROOT / "deploy").rglob("*") if path.name != "install.py"}
    shown |= {each.relative_to(ROOT).as_posix() for each in (ROOT / "aetherflow-core/src").rglob("*.tmpl")}
    examples = [path for path in (ROOT / "docs").rglob("*") if path.suffix in (".yaml", ".yml", ".py", ".sh", ".toml")]
    shown |= {path.relative_to(ROOT).as_posix() for path in examples if path.is_file()}
    found: dict[str, str] = {}
    for name in sorted(shown):
        if not (ROOT / name).is_file():
            continue
        text = (ROOT / name).read_text(encoding="utf-8")
        if ".md" in name:
            blocks = re.findall(r"^ *```.*?\n(.*?)^ *```", text, re.MULTILINE | re.DOTALL)
            spans = re.findall(r"`([^`]+)`", re.sub(r"^ *```.*?^ *```", "", text, flags=re.MULTILINE | re.DOTALL))
            text = "\n".join((*blocks, *(" ".join(span.split()) for span in spans)))
        for line in text.splitlines():
            for part in re.split(
                r" && | \|\| |; ", re.sub(r"^(?:[$#] +)?(?:- run: |run: |RUN |next: )?", "", line.strip())
            ):
                if INSTALLS.search(part) and part != ONE_DAY:
                    found.setdefault(part.strip(), name)
    return found


def printed() -> set[str]:
    """The modules of ours with a text that has such a command."""
    found = set()
    for module in sorted(ROOT.glob("aetherflow-*/src/**/*.py")):
        tree = ast.parse(module.read_text(encoding="utf-8"))
        documents = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        texts = [node for node in ast.walk(tree) if isinstance(node, ast.Constant) and id(node) not in documents]
        if any(
            isinstance(text.value, str) and re.search(r"pip install\b|install\.py|uvx|pipx", text.value)
            for text in texts
        ):
            found.add(module.relative_to(ROOT).parts[-1])
    return found


NEEDED = sorted(
    {"aetherflow", "excel"} | {word for line in typed() for word in line.split() if word in release.locks_of(ROOT)}
)


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


PLUGIN = "acme-lines"
INSTALLER = r"(?:(?:python3? |\S+/bin/python )\S*)?install\.py"
ROWS = {
    rf"{INSTALLER}((?!.*--force-reinstall) .*)?": ("release", 0),
    rf"{INSTALLER} .*--force-reinstall": ("release", 1),
    r"pip install -c \S+ours\.txt \"acme-files\[driver\]==0.1.0\"": ("here", 0),
    r"pip install (?:-q )?--no-index --no-build-isolation -e (['\"])(?:\./acme-ftp|\.)\[test\]\1": ("plugin", 0),
    r"pip install --no-index --no-build-isolation \.": ("plugin", 0),
    r"hatchling build": ("plugin", 0),
    r"pip install --no-index dist/acme_files-0\.1\.0-py3-none-any\.whl": ("plugin", 0),
    r"pip install -q --require-hashes --no-build-isolation -r acme-ftp/requirements\.txt": ("first hour", 1),
    r"pip install --require-hashes --only-binary :all: -r requirements\.txt": ("first hour", 1),
    r"pip download --require-hashes --no-deps --only-binary :all: -r locks/postgres\.txt": ("release", 1),
    r"uv pip install --require-hashes .* -r docs/examples/dbt/requirements\.txt": ("clone", 1),
    r"uv pip install --no-build-isolation -c \S+/constraints\.txt -e \"\.\[test\]\"": ("remote", 1),
}
"""The commands, where they are typed, and how they end: 1 where a file that they ask for is not the one of the hash."""


def as_typed_here(line: str, shell: Shell) -> str:
    """The command with the names of this place for those of the page."""
    line = re.sub(rf"^{INSTALLER}", f"{shell.environment}/bin/python -I install.py", line)
    if "install.py" in line:
        line = re.sub(r" --to \S+", "", line) + f" --to {shell.environment}"
    line = line.replace("-r FILE", "-r plugins.txt").replace("@@EXTRAS@@", " db").replace("${EXTRAS}", "db rest")
    line = line.replace("plugins.txt", str(shell.folder / "plugins.txt"))
    line = re.sub(r"\S+/ours\.txt", str(shell.environment / "share/aetherflow/ours.txt"), line)
    line = line.replace("acme-files[driver]==0.1.0", "acme-files[driver]==1.0")
    line = line.replace("./acme-ftp[test]", ".[test]").replace("acme-ftp/requirements.txt", "requirements.txt")
    line = line.replace("acme_files-0.1.0", f"{PLUGIN.replace('-', '_')}-0.1.0")
    return line.replace("dbt-env/bin/python", str(shell.environment / "bin/python"))


def test_every_documented_command_installs_ours(shell: Shell, served: Path) -> None:
    """A page that shows another command needs a row here."""
    commands = typed()
    assert len(commands) > 30
    rows = {line: [row for row in ROWS if re.fullmatch(row, line)] for line in commands}
    assert {
        line: f"{commands[line]} has a command that no row of this test types" for line in rows if not rows[line]
    } == {}
    assert [row for row in ROWS if [row] not in rows.values()] == [], "no page shows this any more"

    assert shell.install().returncode == 0
    (acme,) = served.glob("acme_files-*.whl")
    (shell.folder / "plugins.txt").write_text(
        f"acme-files==1.0 --hash=sha256:{hashlib.sha256(acme.read_bytes()).hexdigest()}\n"
    )
    first_hour = (ROOT / "docs/how-to/first-connector.md").read_text()
    (shell.folder / "requirements.txt").write_text(
        re.findall(r"<!-- file: acme-ftp/requirements.txt -->\n```text\n(.*?)```", first_hour, re.DOTALL)[0]
    )
    places = {"release": shell.released, "here": shell.folder, "first hour": shell.folder, "clone": ROOT}
    places |= {"plugin": shell.folder / PLUGIN, "remote": shell.folder / "clone/docs/examples/plugins/acme-remote"}
    shutil.copytree(ROOT / "docs/examples/plugins/acme-remote", places["remote"])
    shutil.copy(ROOT / "constraints.txt", shell.folder / "clone")
    for row, (place, code) in ROWS.items():  # in this order: what the third needs, the first has installed
        if place == "plugin" and not places[place].exists():
            made = shell.type(f"aetherflow plugins new {PLUGIN} --kind step")
            assert made.returncode == 0, made.stderr
        for line in sorted({as_typed_here(each, shell) for each in commands if re.fullmatch(row, each)}):
            before = set(places[place].iterdir())
            done = shell.type(f"cd {places[place]} && {line}")
            assert (done.returncode != 0) == (code != 0), (line, done.stdout, done.stderr)
            assert (shell.third_party(), set(shell.ours().values())) == ([], {VERSION}), line
            assert [path for path in places[place].iterdir() if path not in before and path.suffix == ".whl"] == [], (
                line
            )
    assert {"aetherflow", "aetherflow-core", "aetherflow-scheduler", "aetherflow-builtins-db"} <= shell.ours().keys()


def test_every_printed_command_installs_ours(shell: Shell, served: Path) -> None:
    assert printed() == {"installing.py", "plugins_new.py", "typed.py"}, "type here what another prints"
    assert shell.install().returncode == 0
    assert shell.type("pip install --no-index -q --no-deps acme-files==1.0", PIP_FIND_LINKS=str(served)).returncode == 0
    ask = "from aetherflow.core.api import install_command as typed; from aetherflow.core.host.installing import *; "
    ask += "print(typed('driver', of='acme-files'), repair_command(), typed('excel', 'otlp'), sep='\\n')"
    hints = shell.type(f'python -c "{ask}"').stdout.splitlines()
    assert len(hints) == 3
    new = shell.type(f"aetherflow plugins new {PLUGIN} --kind db").stdout.splitlines()[-2:]
    assert [line.partition(":")[0] for line in new] == ["first", "next"], "the environment cannot build a plugin yet"
    for line in (*hints, *(line.partition(": ")[2].removesuffix(" && pytest") for line in new)):
        done = shell.type(line)
        assert (done.returncode == 0) == ("--force-reinstall" not in line), (line, done.stderr)
        assert (shell.third_party(), set(shell.ours().values())) == ([], {VERSION}), line


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
    unread = shell.install("-r", "none.txt")
    assert (unread.returncode, "error: -r none.txt cannot be read: " in unread.stderr) == (2, True)
    nowhere = shell.type(f"{sys.base_prefix}/bin/python3 {shell.released}/install.py excel")
    assert (nowhere.returncode, "name the environment with --to FOLDER" in nowhere.stderr) == (2, True)
    beside = shell.type(f"python3 {ROOT}/deploy/install.py --to {shell.environment} excel")
    assert (beside.returncode, "deploy/locks is missing" in beside.stderr) == (2, True)
