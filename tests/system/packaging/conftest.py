"""The built distributions, for all tests of packaging: one worker runs these, and builds once."""

import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from uv_program import OURS, build_all, uv


@pytest.fixture(scope="session")
def sources(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what is built, so that a build leaves nothing in the repository."""
    copy = tmp_path_factory.mktemp("sources")
    for name in (".gitignore", "pyproject.toml", "README.md", "CHANGELOG.md", "LICENSE"):
        shutil.copy(root / name, copy)
    for name in OURS[1:]:
        shutil.copytree(root / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    return copy


@pytest.fixture(scope="session")
def dist(root: Path, sources: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All source distributions, and all wheels built from them, in a folder of a new name (see `uv`).

    uv's cache has then what the index lists today, older distributions of our names among it.
    """
    out = Path(tempfile.mkdtemp(prefix="dist-", dir=tmp_path_factory.getbasetemp()))
    build_all(out, sources)
    wanted = out.with_suffix(".in")
    wanted.write_text("aetherflow\naetherflow-core[all]\n")
    where = ("--find-links", out, "-c", root / "constraints.txt")
    uv("pip", "compile", "--quiet", "--refresh", "--python", sys.executable, *where, wanted, cwd=out)
    return out


@pytest.fixture
def environment(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty environment, for every test at the same place.

    There environments of a session share bytecode, and what mypy knows of a library: to compile what has been installed
    takes ten times as long as to install it.
    """
    path = tmp_path_factory.getbasetemp() / "environment"
    monkeypatch.setenv("PYTHONPYCACHEPREFIX", str(path.with_suffix(".bytecode")))
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
    uv("venv", "--quiet", "--python", sys.executable, path, cwd=path.parent)
    yield path
    shutil.rmtree(path)  # pytest keeps temporary folders for a while; these are large
