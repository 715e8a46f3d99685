"""The built distributions, for all tests of packaging: one worker runs these, and builds once."""

import shutil
from pathlib import Path

import pytest

from uv_program import OURS, build_all


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
def dist(sources: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All source distributions, and all wheels built from them."""
    out = tmp_path_factory.mktemp("dist")
    build_all(out, sources)
    return out
