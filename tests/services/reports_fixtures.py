"""Fixtures of the reports tests: projects, and conversion by LibreOffice."""

from pathlib import Path

import pytest

from office import convert_to
from reports_project import Convert, Reports


@pytest.fixture
def reports(tmp_path: Path) -> Reports:
    return Reports(tmp_path / "project")


@pytest.fixture
def convert(tmp_path: Path) -> Convert:
    """`convert(path, "pdf")` converts a file with LibreOffice and returns the path of the result."""

    def run(path: str | Path, kind: str) -> Path:
        folder = tmp_path / "converted"
        convert_to(kind, folder, path)
        return folder / Path(path).with_suffix(f".{kind.partition(':')[0]}").name

    return run
