"""Tests that measure time stand in one group: side by side they would measure each other."""

import re
import subprocess
import sys
from pathlib import Path

MODULE = """
import pytest


@pytest.mark.xdist_group("timing")
@pytest.mark.parametrize("number", range(8))
def test_one(number: int) -> None:
    pass
"""


def test_one_worker_runs_a_group(tmp_path: Path) -> None:
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "test_group.py").write_text(MODULE)
    command = [sys.executable, "-m", "pytest", "-v", "-n", "2", "--dist", "loadgroup", "-p", "no:cacheprovider"]
    ran = subprocess.run([*command, str(tmp_path)], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    workers = re.findall(r"^\[(gw\d)\] .* PASSED", ran.stdout, re.MULTILINE)
    assert (len(workers), len(set(workers))) == (8, 1), ran.stdout
