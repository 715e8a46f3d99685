"""What a user gets: the built distributions, and each of them installed alone into an empty environment."""

import configparser
import email
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import zipfile
from collections import defaultdict
from collections.abc import Sequence
from email.message import Message
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

from brokers import redis_running
from celery_workers import lay_keys
from torture_tier import TIER
from uv_program import build_all, uv

pytestmark = pytest.mark.xdist_group("packaging")  # one worker builds the wheels, and compiles the libraries, once

ROOT = Path(__file__).parents[3]
FOLDERS = {
    "aetherflow": ROOT,
    **{pyproject.parent.name: pyproject.parent for pyproject in sorted(ROOT.glob("aetherflow-*/pyproject.toml"))},
}
PROJECTS: dict[str, dict[str, Any]] = {
    name: tomllib.loads((folder / "pyproject.toml").read_text())["project"] for name, folder in FOLDERS.items()
}
MEMBERS = [name for name in PROJECTS if name != "aetherflow"]
VERSION = PROJECTS["aetherflow"]["version"]
MAJOR, MINOR = (int(part) for part in VERSION.split(".")[:2])
OUR_RANGE = f">={MAJOR}.{MINOR},<{MAJOR + 1}"

# What each extra of the core brings: one of our distributions, and the library that proves that its extra came along.
CORE_EXTRAS = {
    "db": ("aetherflow-builtins-db", None),
    "duckdb": ("aetherflow-builtins-db[duckdb]", "duckdb"),
    "exasol": ("aetherflow-builtins-db[exasol]", "pyexasol"),
    "mysql": ("aetherflow-builtins-db[mysql]", "pymysql"),
    "oracle": ("aetherflow-builtins-db[oracle]", "oracledb"),
    "parquet": ("aetherflow-builtins-db[parquet]", "pyarrow"),
    "postgres": ("aetherflow-builtins-db[postgres]", "psycopg-binary"),
    "sqlalchemy": ("aetherflow-builtins-db[sqlalchemy]", "sqlalchemy"),
    "transfer": ("aetherflow-builtins-transfer", None),
    "mail": ("aetherflow-builtins-transfer[mail]", None),
    "sftp": ("aetherflow-builtins-transfer[sftp]", "paramiko"),
    "smb": ("aetherflow-builtins-transfer[smb]", "smbprotocol"),
    "zip": ("aetherflow-builtins-transfer[zip]", "pyzipper"),
    "fast": ("aetherflow-builtins-transfer[fast]", "isal"),
    "zstd": ("aetherflow-builtins-transfer[zstd]", "zstandard"),
    "reports": ("aetherflow-builtins-reports", "openpyxl"),
    "excel": ("aetherflow-builtins-reports", "openpyxl"),
    "html": ("aetherflow-builtins-reports[html]", "jinja2"),
    "rest": ("aetherflow-builtins-rest", "httpx"),
    "otel": ("aetherflow-builtins-rest[otel]", "opentelemetry-sdk"),
}
OTHER_EXTRAS = {"sign": "cryptography"}

# The root of the repository; a new entry here is a decision, not an accident.
TOP_LEVEL = {
    ".ci",
    ".github",
    ".gitignore",
    ".pre-commit-hooks.yaml",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "LICENSE",
    "Makefile",
    "README.md",
    "SECURITY.md",
    "aetherflow-builtins-db",
    "aetherflow-builtins-reports",
    "aetherflow-builtins-rest",
    "aetherflow-builtins-transfer",
    "aetherflow-core",
    "aetherflow-scheduler",
    "constraints.txt",
    "deploy",
    "docs",
    "pyproject.toml",
    "tests",
}


class Wheel:
    def __init__(self, path: Path) -> None:
        with zipfile.ZipFile(path) as archive:
            self.files = {name: archive.read(name) for name in archive.namelist()}
        self.info = f"{path.name.split('-')[0]}-{VERSION}.dist-info"
        self.metadata: Message = email.message_from_bytes(self.files[f"{self.info}/METADATA"])
        self.requires = [Requirement(text) for text in self.metadata.get_all("Requires-Dist", [])]
        # sha256 of each file as recorded by the build; the record's own line has none
        self.record = {line for line in self.files[f"{self.info}/RECORD"].decode().splitlines() if ",," not in line}

    def entry_points(self) -> dict[str, dict[str, str]]:
        parser = configparser.ConfigParser(delimiters=("=",))
        parser.optionxform = str  # type: ignore[assignment,method-assign]  # names are case-sensitive
        parser.read_string(self.files.get(f"{self.info}/entry_points.txt", b"").decode())
        return {section: dict(parser[section]) for section in parser.sections()}


@pytest.fixture(scope="session")
def wheels(dist: Path) -> dict[str, Wheel]:
    found = {path.name.split("-")[0].replace("_", "-"): Wheel(path) for path in dist.glob("*.whl")}
    assert sorted(found) == sorted(PROJECTS)
    return found


def test_no_wheel_owns_the_namespace(wheels: dict[str, Wheel]) -> None:
    owners = [name for name, wheel in wheels.items() if "aetherflow/__init__.py" in wheel.files]
    assert owners == []


@pytest.mark.parametrize("name", PROJECTS)
def test_a_wheel_carries_licence_readme_and_types(name: str, wheels: dict[str, Wheel]) -> None:
    wheel = wheels[name]
    assert wheel.files[f"{wheel.info}/licenses/LICENSE"] == (ROOT / "LICENSE").read_bytes()
    assert wheel.metadata["License-Expression"] == "Apache-2.0"
    assert wheel.metadata["Description-Content-Type"] == "text/markdown"
    readme = wheel.files[f"{wheel.info}/METADATA"].decode().split("\n\n", 1)[1]
    assert readme.strip() == (FOLDERS[name] / "README.md").read_text().strip()
    typed = [file for file in wheel.files if file.endswith("/py.typed")]
    assert len(typed) == (0 if name == "aetherflow" else 1)
    assert not [file for file in wheel.files if "__pycache__" in file or file.startswith("tests/")]


@pytest.mark.parametrize("name", PROJECTS)
def test_a_source_distribution_carries_licence_and_readme(name: str, dist: Path) -> None:
    stem = f"{name.replace('-', '_')}-{VERSION}"
    with tarfile.open(dist / f"{stem}.tar.gz") as archive:
        names = archive.getnames()
    assert {f"{stem}/{file}" for file in ("LICENSE", "README.md", "pyproject.toml", "PKG-INFO")} <= set(names)


def test_a_wheel_is_the_same_with_and_without_its_source_distribution(
    wheels: dict[str, Wheel], sources: Path, tmp_path: Path
) -> None:
    build_all(tmp_path, sources, "--wheel")
    for path in tmp_path.glob("*.whl"):
        assert Wheel(path).files == wheels[path.name.split("-")[0].replace("_", "-")].files, path.name


def test_one_version_everywhere(wheels: dict[str, Wheel]) -> None:
    assert {name: project["version"] for name, project in PROJECTS.items()} == dict.fromkeys(PROJECTS, VERSION)
    assert {name: wheel.metadata["Version"] for name, wheel in wheels.items()} == dict.fromkeys(PROJECTS, VERSION)
    for name, wheel in wheels.items():
        for requirement in wheel.requires:
            if requirement.name.startswith("aetherflow"):
                # the scheduler stands on more of the core than on its public API: on the very same version
                # and an extra brings the plugins that were released with the core
                wanted = OUR_RANGE if name.startswith("aetherflow-builtins-") else f"=={VERSION}"
                assert requirement.specifier == Requirement(f"x{wanted}").specifier, f"{name}: {requirement}"


def runtime(wheel: Wheel) -> set[str]:
    return {requirement.name for requirement in wheel.requires if "extra" not in str(requirement.marker)}


def test_the_core_depends_on_five_libraries(wheels: dict[str, Wheel]) -> None:
    assert runtime(wheels["aetherflow-core"]) == {"packaging", "pluggy", "pydantic", "pyyaml", "typer"}
    assert runtime(wheels["aetherflow"]) == {"aetherflow-core", "aetherflow-scheduler"}


@pytest.mark.parametrize("name", [name for name in MEMBERS if name != "aetherflow-core"])
def test_a_plugin_depends_on_the_bare_core(name: str, wheels: dict[str, Wheel]) -> None:
    core = [requirement for requirement in wheels[name].requires if requirement.name == "aetherflow-core"]
    assert [(requirement.extras, requirement.marker) for requirement in core] == [(set(), None)]


def test_the_extras_are_the_documented_ones() -> None:
    extras = PROJECTS["aetherflow-core"]["optional-dependencies"]
    assert set(extras) == {*CORE_EXTRAS, *OTHER_EXTRAS, "all"}
    for extra, (ours, _) in CORE_EXTRAS.items():
        assert extras[extra] == [f"{ours}=={VERSION}"]
    for extra, library in OTHER_EXTRAS.items():
        assert library in {Requirement(text).name for text in extras[extra]}
    assert list(PROJECTS["aetherflow-scheduler"]["optional-dependencies"]) == ["celery"]


def test_all_is_the_union() -> None:
    def merged(texts: list[str]) -> dict[str, tuple[set[str], str]]:
        extras = defaultdict[str, set[str]](set)
        ranges = {}
        for requirement in map(Requirement, texts):
            extras[requirement.name] |= requirement.extras
            ranges[requirement.name] = str(requirement.specifier)
        return {name: (extras[name], ranges[name]) for name in ranges}

    extras = dict(PROJECTS["aetherflow-core"]["optional-dependencies"])
    everything = extras.pop("all")
    assert merged(everything) == merged([text for texts in extras.values() for text in texts])


def test_dotted_entry_points_are_names_not_tables(wheels: dict[str, Wheel]) -> None:
    assert wheels["aetherflow-core"].entry_points()["aetherflow.steps"]["external.process"]
    drivers = {"duckdb", "exasol", "mysql", "oracledb", "postgres", "sqlalchemy", "sqlite3"}
    found = wheels["aetherflow-builtins-db"].entry_points()["aetherflow.connectors"]
    assert set(found) == {f"db.{driver}" for driver in drivers}


def test_an_entry_point_names_one_class(wheels: dict[str, Wheel]) -> None:
    for name, wheel in wheels.items():
        for group, entries in wheel.entry_points().items():
            if group in ("aetherflow.hints", "aetherflow.first_party"):
                continue  # data of aetherflow-core, which tests/unit/architecture/test_plugin_names.py looks at
            assert group == "console_scripts" or group in {
                "aetherflow.bundle_sources",
                "aetherflow.commands",
                "aetherflow.connectors",
                "aetherflow.documents",
                "aetherflow.hooks.otel",
                "aetherflow.hooks.status",
                "aetherflow.launchers",
                "aetherflow.state_backends",
                "aetherflow.steps",
            }
            for entry, target in entries.items():
                assert re.fullmatch(r"[a-z0-9_.]+:[A-Za-z0-9]+", target), f"{name}: {entry} = {target}"


def test_the_top_level_holds_what_it_should(tracked: list[str]) -> None:
    assert {name.split("/")[0] for name in tracked} == TOP_LEVEL


@pytest.mark.parametrize("name", PROJECTS)
def test_this_environment_uses_the_workspace(name: str) -> None:
    """Distributions of the same names exist on the public index: what is installed must be this folder, editable."""
    text = distribution(name).read_text("direct_url.json")
    assert text, f"{name} was not installed from the workspace"
    origin = json.loads(text)
    assert origin == {"url": FOLDERS[name].as_uri(), "dir_info": {"editable": True}}


def extras_of(name: str) -> list[str]:
    return [f"{name}[{extra}]" for extra in PROJECTS[name].get("optional-dependencies", {})]


def proof(requirement: str) -> list[str]:
    """The library that an extra must bring."""
    extra = requirement.rstrip("]").partition("[")[2]
    if extra == "all":
        return [*(library for _, library in CORE_EXTRAS.values() if library), *OTHER_EXTRAS.values()]
    if extra in CORE_EXTRAS:
        return [library for library in [CORE_EXTRAS[extra][1]] if library]
    return [OTHER_EXTRAS.get(extra, extra)] if extra else []


# Runs in the new environment. Loading every entry point also proves that no step or connector imports its driver early.
CHECK = """
import gc, importlib.metadata, importlib.util, sys
gc.disable()  # collections took an eighth of the time
import aetherflow.core
if importlib.util.find_spec("aetherflow.scheduler"):
    import aetherflow.scheduler
for group in ("aetherflow.steps", "aetherflow.connectors"):
    for entry in importlib.metadata.entry_points(group=group):
        assert isinstance(entry.load(), type), entry
try:
    from aetherflow import run_flow
except ImportError:
    pass
else:
    sys.exit("`from aetherflow import run_flow` must fail: the namespace belongs to nobody")
print(*(d.name.lower().replace("_", "-") for d in importlib.metadata.distributions()))
"""


def run(argv: Sequence[str | Path], cwd: Path) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "AETHERFLOW_WORK_ROOT": str(cwd / "work"), "AETHERFLOW_STATE_ROOT": str(cwd / "state")}
    return subprocess.run(argv, check=False, cwd=cwd, env=env, capture_output=True, text=True)


@pytest.mark.slow
@pytest.mark.parametrize("requirement", [*PROJECTS, *(text for name in MEMBERS for text in extras_of(name))])
def test_installs_alone(
    requirement: str, environment: Path, dist: Path, wheels: dict[str, Wheel], tmp_path: Path
) -> None:
    python = environment / "bin/python"
    where = ("--find-links", dist, "-c", ROOT / "constraints.txt")
    uv("pip", "install", "--python", python, *where, requirement, cwd=tmp_path)

    bytecode = f"pycache_prefix={os.environ['PYTHONPYCACHEPREFIX']}"
    check = run([python, "-I", "-X", bytecode, "-c", CHECK], tmp_path)
    assert check.returncode == 0, check.stderr
    installed = check.stdout.split()
    assert {requirement.split("[", maxsplit=1)[0], *proof(requirement)} <= set(installed)
    if requirement == "aetherflow":
        assert {"aetherflow-core", "aetherflow-scheduler"} <= set(installed)

    # Ours, not a namesake from the index: every file that our build recorded is there with the same hash.
    site = next((environment / "lib").glob("python*/site-packages"))
    for name in set(installed) & set(PROJECTS):
        assert wheels[name].record <= set((site / wheels[name].info / "RECORD").read_text().splitlines()), name

    if requirement in ("aetherflow-core", "aetherflow-core[rest]"):  # the line that the first prints is the second
        told = run([environment / "bin/aetherflow", "status", "--format", "prometheus"], tmp_path)
        line = f"python3 install.py --to {environment} rest  #" in told.stderr
        assert (told.returncode, line) == ((2, True) if requirement == "aetherflow-core" else (0, False)), told.stderr

    version = run([environment / "bin/aetherflow", "--version"], tmp_path)
    assert (version.returncode, version.stderr) == (0, "")
    assert VERSION in version.stdout


FLOW = """
flow: {id: floors}
jobs:
  - id: only
    steps:
      - {id: say, type: external.process, inputs: {command: [echo, hello]}}
"""


def test_the_oldest_supported_libraries_work(environment: Path, dist: Path, tmp_path: Path) -> None:
    floors = []
    for requirement in map(Requirement, PROJECTS["aetherflow-core"]["dependencies"]):
        floor = next(part.version for part in requirement.specifier if part.operator == ">=")
        floors.append(f"{requirement.name}=={floor}")
    python = environment / "bin/python"
    uv("pip", "install", "--python", python, "--find-links", dist, "aetherflow", *floors, cwd=tmp_path)
    (tmp_path / "flow.yaml").write_text(FLOW)
    aetherflow = environment / "bin/aetherflow"

    assert run([aetherflow, "--help"], tmp_path).returncode == 0
    assert run([environment / "bin/aetherflow-scheduler", "--version"], tmp_path).returncode == 0
    done = run([aetherflow, "run", "flow.yaml"], tmp_path)
    assert done.returncode == 0, done.stderr
    misspelt = run([aetherflow, "run", "flow.yaml", "--nope"], tmp_path)
    assert misspelt.returncode == 2
    assert "Traceback" not in misspelt.stderr


@pytest.mark.slow
def test_no_variable_arms_failpoints(environment: Path, dist: Path, tmp_path: Path) -> None:
    """Neither of a run, nor of a scheduler, a worker and what they start."""
    uv("pip", "install", "--python", environment / "bin/python", "--find-links", dist, "aetherflow-scheduler[celery]",
       "-c", ROOT / "constraints.txt", cwd=tmp_path)  # fmt: skip
    points, log = tmp_path / "points", tmp_path / "worker.log"
    (tmp_path / "flow.yaml").write_text(FLOW)
    item = {"id": "only", "cron": "@daily", "flow": "flow.yaml", "launcher": "celery"}
    document = {"timezone": "UTC", "state": "state/ledger.sqlite", "items": [item]}
    (tmp_path / "scheduler.yaml").write_text(json.dumps(document))
    keys = [f"{name}={value}" for name, value in lay_keys(tmp_path / "keys").items()]
    with redis_running() as url:
        armed = ["env", f"AETHERFLOW_FAILPOINT=log:{points}", f"AETHERFLOW_BROKER_URL={url}", *keys]
        done = run([*armed, environment / "bin/aetherflow", "run", "flow.yaml"], tmp_path)
        assert done.returncode == 0, done.stderr
        places = {"AETHERFLOW_WORK_ROOT": f"{tmp_path}/work", "AETHERFLOW_STATE_ROOT": f"{tmp_path}/state"}
        argv = [*armed, str(environment / "bin/aetherflow-scheduler"), "worker", "--concurrency", "1"]
        with log.open("wb") as out, subprocess.Popen(
            argv, cwd=tmp_path, env={**os.environ, **places}, stdout=out, stderr=out
        ) as worker:  # fmt: skip
            try:
                words = ["run-item", "scheduler.yaml", "only"]
                done = run([*armed, environment / "bin/aetherflow-scheduler", *words], tmp_path)
            finally:
                worker.terminate()
    assert done.returncode == 0, f"{done.stderr}\n{log.read_text()}"
    assert not points.exists(), points.read_text()


@pytest.mark.slow
def test_the_extra_otel_traces_a_run_with_its_oldest_libraries(environment: Path, dist: Path, tmp_path: Path) -> None:
    extra = map(Requirement, PROJECTS["aetherflow-builtins-rest"]["optional-dependencies"]["otel"])
    floors = [f"{each.name}=={next(p.version for p in each.specifier if p.operator == '>=')}" for each in extra]
    where = ("--python", environment / "bin/python", "--find-links", dist)
    uv("pip", "install", *where, "aetherflow-core[otel]", *floors, cwd=tmp_path)
    (tmp_path / "flow.yaml").write_text(FLOW)
    command = [str(environment / "bin/aetherflow"), "run", "flow.yaml", "--quiet"]
    done = run(["env", "AETHERFLOW_OTEL=true", "OTEL_TRACES_EXPORTER=console", *command], tmp_path)
    assert done.returncode == 0, done.stderr
    assert [name in done.stdout for name in ('"step only.say"', '"job only"', '"run floors"')] == [True] * 3


@pytest.mark.slow
def test_the_extra_sign_signs_a_bundle_with_its_oldest_library(environment: Path, dist: Path, tmp_path: Path) -> None:
    (extra,) = map(Requirement, PROJECTS["aetherflow-core"]["optional-dependencies"]["sign"])
    floor = next(each.version for each in extra.specifier if each.operator == ">=")
    where = ("--python", environment / "bin/python", "--find-links", dist)
    uv("pip", "install", *where, "aetherflow-core[sign]", f"{extra.name}=={floor}", cwd=tmp_path)
    (tmp_path / "release").mkdir()
    (tmp_path / "release/flow.yaml").write_text(FLOW)
    (tmp_path / "release/profiles.yaml").write_text("{}")
    source = "source: {type: filesystem, base_path: release}, layout: {profiles_file: profiles.yaml}"
    (tmp_path / "bundle.yaml").write_text(f"version: 1\nbundle: {{id: b, {source}, entry_flow: flow.yaml}}\n")
    words = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "open sesame", "-f", "key"]
    assert run(words, tmp_path).returncode == 0
    bundle = ["env", "AETHERFLOW_SIGN_PASSPHRASE=open sesame", str(environment / "bin/aetherflow"), "bundle"]
    signed = run([*bundle, "sign", "-m", "bundle.yaml", "--key", "key"], tmp_path)
    assert signed.returncode == 0, signed.stderr
    (tmp_path / "allowed_signers").write_text(f"b {(tmp_path / 'key.pub').read_text()}")
    done = run([*bundle, "verify", "release", "-m", "bundle.yaml", "--signers", "allowed_signers"], tmp_path)
    assert (done.returncode, done.stdout[:19]) == (0, "signed: b version 1"), done.stderr


# A third party's distribution

EXAMPLE = ROOT / "docs/examples/plugins/acme-remote"


def install(environment: Path, cwd: Path, sources: Sequence[Path], *what: str) -> None:
    links = [argument for source in sources for argument in ("--find-links", str(source))]
    constraints = ("-c", ROOT / "constraints.txt")
    uv("pip", "install", "--python", environment / "bin/python", *links, *constraints, *what, cwd=cwd)


def build_plugin(plugin: Path) -> Path:
    out = Path(tempfile.mkdtemp(prefix="built-", dir=plugin.parent))  # of a new name: see `uv`
    uv("build", "--no-build-isolation", "--python", sys.executable, "--out-dir", out, cwd=plugin)
    return out


def listed(environment: Path, cwd: Path, distribution: str) -> set[str]:
    found = run([environment / "bin/aetherflow", "plugins", "list", "--json"], cwd)
    plugins = json.loads(found.stdout)["plugins"]
    assert {each["status"] for each in plugins} == {"ok"}
    return {each["name"] for each in plugins if each["distribution"] == distribution}


def run_own_tests(environment: Path, plugin: Path, *some: str) -> None:
    valid = run([environment / "bin/aetherflow", "validate", "flow.yaml"], plugin)
    assert valid.returncode == 0, valid.stderr
    tested = run([environment / "bin/python", "-m", "pytest", "-q", "-p", "no:cacheprovider", *some], plugin)
    assert tested.returncode == 0, tested.stdout
    assert "skipped" not in tested.stdout


def test_a_scaffolded_plugin_works_untouched(environment: Path, dist: Path, tmp_path: Path) -> None:
    """It is written by the built wheel of the core, built, installed beside it, and passes its own tests."""
    install(environment, tmp_path, [dist], "aetherflow-core")
    done = run([environment / "bin/aetherflow", "plugins", "new", "acme-files"], tmp_path)
    assert done.returncode == 0, done.stderr
    plugin = tmp_path / "acme-files"
    built = build_plugin(plugin)
    install(environment, tmp_path, [dist, built], "acme-files[test]")
    assert listed(environment, tmp_path, "acme-files") == {"acme_files:folder"}
    run_own_tests(environment, plugin)
    site = next((environment / "lib").glob("python*/site-packages"))
    assert (site / "acme_files/py.typed").exists(), "the tests ran on the installed wheel"


@pytest.mark.slow
def test_the_example_of_a_third_party_works(environment: Path, dist: Path, tmp_path: Path) -> None:
    """Connectors that we do not ship, on an S3 server and two FTP servers of its own tests; its types are strict.

    At T0 the suite of one of them is run, and what is special about the others.
    """
    if shutil.which("proftpd", path=f"{os.environ.get('PATH', '')}:/usr/local/sbin:/usr/sbin:/sbin") is None:
        pytest.skip("proftpd is missing: apt-get install proftpd-core")
    plugin = tmp_path / "plugin"
    shutil.copytree(EXAMPLE, plugin, ignore=shutil.ignore_patterns("__pycache__"))
    built = build_plugin(plugin)
    install(environment, tmp_path, [dist, built], "acme-remote[test]", "mypy")
    names = {"acme_remote:ftp", "acme_remote:memory", "acme_remote:s3", "acme_remote_usage"}
    assert listed(environment, tmp_path, "acme-remote") == names
    some = "TestMemory or TestUsage or counted or the_flow or nobody_vouches or wrong_password or (ProFtpd and deliver)"
    run_own_tests(environment, plugin, *(["-k", some] if TIER == "T0" else []))
    check_types(environment, plugin)


def check_types(environment: Path, plugin: Path) -> None:
    """The published types serve an author who is strict, in the tests too."""
    typed = run([environment / "bin/python", "-m", "mypy"], plugin)
    assert typed.returncode == 0, typed.stdout
