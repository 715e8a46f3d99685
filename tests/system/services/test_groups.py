"""Side by side: who runs a group or a file of unit tests, and what a worker tells of its tests."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import side_by_side

MODULE = """
import pytest


@pytest.mark.parametrize("number", range(8))
def test_one(number: int) -> None:
    pass
"""
OUTCOMES = """
import pytest


@pytest.fixture
def no_setup():
    assert 0


@pytest.fixture
def no_teardown():
    yield
    assert 0


def test_passes(): pass
def test_fails(): assert 0
def test_fails_twice(no_teardown): assert 0
def test_errs_before(no_setup): pass
def test_errs_after(no_teardown): pass
def test_skips(): pytest.skip("so")
@pytest.mark.skip(reason="so")
def test_is_skipped(): pass
@pytest.mark.xfail(reason="known")
def test_fails_as_known(): assert 0
"""
REPORTS = """
def pytest_runtest_logreport(report):
    print("told:", report.nodeid.rpartition("::")[2], report.when, report.outcome)
"""
TIMING = MODULE.replace("@pytest", '@pytest.mark.xdist_group("timing")\n@pytest', 1)


@pytest.fixture(autouse=True)
def few_plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    """The runs load xdist alone: half of their time went into imports of plugins that they do not use."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")


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
            "xdist",
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


def test_all_that_is_no_success_is_told(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(REPORTS)
    pytester.makeini(
        f"[pytest]\npythonpath = {Path(side_by_side.__file__).parent}\naddopts = -s -p no:cacheprovider -p xdist\n"
    )
    pytester.makepyfile(OUTCOMES)
    alone = pytester.runpytest_subprocess()
    told = pytester.runpytest_subprocess("-n", "1", "-p", "side_by_side")
    assert told.parseoutcomes() == alone.parseoutcomes()
    assert told.parseoutcomes() == {"passed": 2, "failed": 2, "errors": 3, "skipped": 2, "xfailed": 1}
    every, some = (
        sorted(found.partition("told: ")[2] for found in each.outlines if "told: " in found) for each in (alone, told)
    )
    passed = {line for line in every if line.endswith(" passed")}
    assert set(some) == {line for line in every if line not in passed or " call " in line}
    assert len(some) == len(set(some)) == 10
