"""Side by side, tests that measure time stand in one group, and the unit tests of a file stay together."""

import os
import re
import subprocess
import sys
from pathlib import Path

import side_by_side

MODULE = """
import pytest


@pytest.mark.parametrize("number", range(8))
def test_one(number: int) -> None:
    pass
"""
TIMING = MODULE.replace("@pytest", '@pytest.mark.xdist_group("timing")\n@pytest', 1)


def workers(folder: Path, *options: str) -> dict[str, set[str]]:
    """The workers that ran the tests of each file."""
    (folder / "pytest.ini").write_text("[pytest]\n")
    ran = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-v",
            "-n",
            "2",
            "--dist",
            "loadgroup",
            "-p",
            "no:cacheprovider",
            *options,
            ".",
        ],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(Path(side_by_side.__file__).parent)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    found: dict[str, set[str]] = {}
    lines = re.findall(r"^\[(gw\d)\] .* PASSED (\S+)::", ran.stdout, re.MULTILINE)
    for worker, file in lines:
        found.setdefault(file, set()).add(worker)
    assert len(lines) == 8 * len(found), ran.stdout
    return found


def test_one_worker_runs_a_group(tmp_path: Path) -> None:
    (tmp_path / "test_group.py").write_text(TIMING)
    assert [len(each) for each in workers(tmp_path).values()] == [1]


def test_one_worker_runs_a_file_of_unit_tests(tmp_path: Path) -> None:
    folder = tmp_path / "tests/unit"
    folder.mkdir(parents=True)
    for name in ("a", "b"):
        (folder / f"test_{name}.py").write_text(MODULE)
    a, b = workers(tmp_path, "-p", "side_by_side").values()
    assert len(a) == len(b) == 1
    assert a != b
    assert len(workers(tmp_path)["tests/unit/test_a.py"]) == 2, (
        "without the plugin each worker begins with a test of it"
    )
