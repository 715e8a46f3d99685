"""constraints.txt: one version with its hashes for all that is installed here, and `make` refuses what has another."""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import uv_program

ROOT = Path(__file__).parents[3]
PYPROJECTS = [ROOT / "pyproject.toml", *sorted(ROOT.glob("aetherflow-*/pyproject.toml"))]
HASH = re.compile(r"    --hash=sha256:[0-9a-f]{64}")


def pins() -> list[tuple[str, list[str]]]:
    """The lines of constraints.txt: each requirement with the lines of its hashes."""
    text = (ROOT / "constraints.txt").read_text().replace(" \\\n", "\0")
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    return [(first, rest) for first, *rest in (line.split("\0") for line in lines)]


def test_every_line_is_a_version_with_hashes_in_the_order_of_names() -> None:
    names = []
    for requirement, hashes in pins():
        parsed = Requirement(requirement)
        assert [clause.operator for clause in parsed.specifier] == ["=="], requirement
        assert hashes, requirement
        assert all(HASH.fullmatch(line) for line in hashes), requirement
        assert hashes == sorted(set(hashes)), requirement
        names.append(parsed.name)
    assert names == sorted(set(names))


def test_every_requirement_of_ours_has_a_line() -> None:
    wanted = set()
    for path in PYPROJECTS:
        document = tomllib.loads(path.read_text())
        project = document["project"]
        lists = [
            document["build-system"]["requires"],
            project.get("dependencies", []),
            *project.get("optional-dependencies", {}).values(),
            *document.get("dependency-groups", {}).values(),
        ]
        wanted |= {canonicalize_name(Requirement(text).name) for texts in lists for text in texts}
    ours = {path.parent.name for path in PYPROJECTS[1:]} | {"aetherflow"}
    assert wanted - ours - {Requirement(requirement).name for requirement, _ in pins()} == set()


# What `make` does with a hash that is not that of the file: a workspace of stubs, its wheels in a folder, no index.

BACKEND = """
import zipfile
def build_editable(folder, settings=None, metadata=None):
    import pathlib, tomllib
    project = tomllib.loads(pathlib.Path("pyproject.toml").read_text())["project"]
    stem = f"{project['name'].replace('-', '_')}-{project['version']}"
    needs = "".join(f"Requires-Dist: {text}\\n" for text in project.get("dependencies", []))
    with zipfile.ZipFile(f"{folder}/{stem}-py3-none-any.whl", "w") as wheel:
        metadata = f"Metadata-Version: 2.1\\nName: {project['name']}\\nVersion: 1\\n{needs}"
        wheel.writestr(f"{stem}.dist-info/METADATA", metadata)
        wheel.writestr(f"{stem}.dist-info/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr(f"{stem}.dist-info/RECORD", "")
    return f"{stem}-py3-none-any.whl"
"""


def wheel(folder: Path, name: str, files: Mapping[str, str]) -> str:
    """Write a wheel of version 1; the SHA-256 of the file."""
    info = f"{name}-1.dist-info"
    path = folder / f"{name}-1-py3-none-any.whl"
    own = {
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    with zipfile.ZipFile(path, "w") as archive:
        for file, text in {**files, **own}.items():
            entry = zipfile.ZipInfo(file)
            entry.external_attr = 0o100755 << 16
            archive.writestr(entry, text)
        archive.writestr(f"{info}/RECORD", "".join(f"{file},,\n" for file in archive.namelist()))
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def uv() -> str:
    found = shutil.which("uv", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    assert found, "uv is missing; the dev group installs it"
    return found


@pytest.fixture
def workspace(tmp_path: Path, uv: str) -> Path:
    """Our Makefile over distributions of our names that are empty, one of which needs `probe`."""
    links = tmp_path / "links"
    links.mkdir()
    hashes = {
        "backend": wheel(links, "backend", {"backend.py": BACKEND}),
        "probe": wheel(links, "probe", {"probe.py": ""}),
        "uv": wheel(links, "uv", {"uv-1.data/scripts/uv": f'#!/bin/sh\nexec {uv} "$@"\n'}),
    }
    folder = tmp_path / "workspace"
    for path in PYPROJECTS:
        document = tomllib.loads(path.read_text())["project"]
        extras = "".join(f"{name} = []\n" for name in document.get("optional-dependencies", {}))
        member = folder / path.parent.relative_to(ROOT)
        member.mkdir(parents=True)
        (member / "pyproject.toml").write_text(
            '[build-system]\nrequires = ["backend"]\nbuild-backend = "backend"\n'
            f'[project]\nname = "{document["name"]}"\nversion = "1"\ndependencies = ["probe"]\n'
            f"[project.optional-dependencies]\n{extras}[dependency-groups]\ndev = []\n"
        )
        (member / "src").mkdir()
    shutil.copy(ROOT / "Makefile", folder)
    lines = [f"{name}==1 \\\n    --hash=sha256:{value}\n" for name, value in hashes.items()]
    (folder / "constraints.txt").write_text("".join(lines))
    return folder


def make(workspace: Path, *pythons: str | Path) -> subprocess.CompletedProcess[str]:
    links = str(workspace.parent / "links")
    tools = workspace.parent / "tools"  # a PATH without uv: it is pip that installs it
    tools.mkdir()
    for name in ("make", "sed", "grep", "touch"):
        (tools / name).symlink_to(shutil.which(name) or name)
    env = {
        **{key: value for key, value in os.environ.items() if not key.startswith(("UV_", "PIP_", "MAKE"))},
        "PATH": str(tools),
        "UV_NO_INDEX": "1",
        "UV_FIND_LINKS": links,
        "UV_CACHE_DIR": str(workspace.parent / "cache"),
        "UV_NO_CONFIG": "1",
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": links,
        "PIP_CONFIG_FILE": os.devnull,
    }
    chosen = " ".join(map(str, pythons or [sys.executable]))
    command = ["make", f"PYTHON={chosen}", ".venv/.installed"]
    return subprocess.run(command, check=False, cwd=workspace, env=env, capture_output=True, text=True)


def interpreter(path: Path, *, lacks: str) -> Path:
    """One that fails when a program names what it lacks: `version_info` if it is too old, `venv` if it is bare."""
    path.write_text(f'#!/bin/sh\ncase "$*" in *{lacks}*) exit 1;; esac\nexec {sys.executable} "$@"\n')
    path.chmod(0o755)
    return path


def test_make_installs_what_has_the_hashes_of_the_constraints(workspace: Path) -> None:
    old = interpreter(workspace / "old", lacks="version_info")
    bare = interpreter(workspace / "bare", lacks="venv")
    done = make(workspace, workspace / "absent", old, bare, sys.executable)
    assert done.returncode == 0, done.stderr
    assert f"creating .venv with {sys.executable} ..." in done.stdout
    assert (workspace / ".venv/.installed").exists()
    assert list(workspace.glob(".venv/lib/python*/site-packages/probe.py"))


@pytest.mark.parametrize(
    ("lacks", "told"),
    [("version_info", "no Python 3.11 or newer found"), ("venv", "cannot create a virtual environment")],
)
def test_make_says_what_an_interpreter_lacks(workspace: Path, lacks: str, told: str) -> None:
    done = make(workspace, interpreter(workspace / "python", lacks=lacks))
    assert done.returncode != 0
    assert told in done.stderr
    assert not (workspace / ".venv").exists()


def falsify(workspace: Path, name: str) -> None:
    constraints = workspace / "constraints.txt"
    wrong = re.sub(rf"(?<={name}==1 \\\n    --hash=sha256:)\w+", "0" * 64, constraints.read_text())
    assert wrong != constraints.read_text()
    constraints.write_text(wrong)


def test_make_refuses_an_installer_with_another_hash(workspace: Path) -> None:
    uv_program.uv("venv", "-q", "--python", sys.executable, workspace / ".venv", cwd=workspace)
    uv_program.uv("pip", "install", "-q", "--python", workspace / ".venv/bin/python", "pip", cwd=workspace)
    falsify(workspace, "uv")
    done = make(workspace)
    assert done.returncode != 0
    assert "DO NOT MATCH THE HASHES" in done.stderr
    assert not (workspace / ".venv/bin/uv").exists()


@pytest.mark.parametrize("name", ["probe", "backend"], ids=["of a dependency", "of what builds the editables"])
def test_make_refuses_a_wheel_with_another_hash(workspace: Path, uv: str, name: str) -> None:
    subprocess.run([uv, "venv", "-q", "--python", sys.executable, workspace / ".venv"], check=True)
    (workspace / ".venv/bin/uv").symlink_to(uv)
    falsify(workspace, name)
    done = make(workspace)
    assert done.returncode != 0
    assert f"Hash mismatch for `{name}==1`" in done.stderr
    assert not (workspace / ".venv/.installed").exists()
    assert not list(workspace.glob(".venv/lib/python*/site-packages/probe.py"))
