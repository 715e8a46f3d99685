"""The built distributions, for all tests of packaging: one worker runs these, and builds once."""

import shutil
import sys
import tempfile
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
