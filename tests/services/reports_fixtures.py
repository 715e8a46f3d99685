"""Fixtures of the reports tests: projects, and conversion by LibreOffice."""

import subprocess
from pathlib import Path

import pytest

from reports_project import Convert, Reports
from services import need


@pytest.fixture
def reports(tmp_path: Path) -> Reports:
    return Reports(tmp_path / "project")


@pytest.fixture
def convert(tmp_path: Path) -> Convert:
    """`convert(path, "pdf")` converts a file with LibreOffice and returns the path of the result."""
    (program,) = need("soffice")

    def run(path: str | Path, kind: str) -> Path:
        folder = tmp_path / "converted"
        command = [
            program, f"-env:UserInstallation=file://{tmp_path}/office", "--headless", "--convert-to", kind,
            "--outdir", str(folder), str(path),
        ]  # fmt: skip
        subprocess.run(command, check=True, capture_output=True, timeout=180)
        return folder / Path(path).with_suffix(f".{kind.partition(':')[0]}").name

    return run
