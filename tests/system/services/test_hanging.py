"""A test that hangs ends the run, and the stack of every thread is told."""

import re
from pathlib import Path

import pytest

# The first test of the file begins the watch, the second one hangs.
TESTS = """
import time
def test_quick(): pass
def test_that_hangs():
    time.sleep(600)
"""


@pytest.mark.parametrize("folder", ["tests/unit", "tests/system"])
@pytest.mark.parametrize("options", [(), ("-n", "1")], ids=["alone", "worker"])
def test_a_test_that_hangs_ends_the_run(
    pytester: pytest.Pytester, root: Path, monkeypatch: pytest.MonkeyPatch, folder: str, options: tuple[str, ...]
) -> None:
    plugins = "-p no:cacheprovider -p xdist -p hanging"
    pytester.makeini(f"[pytest]\npythonpath = {root}/tests/services\nhang_seconds = 2\naddopts = {plugins}\n")
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    file = pytester.path / folder / "test_a.py"
    file.parent.mkdir(parents=True)
    file.write_text(TESTS)
    done = pytester.runpytest_subprocess(*options, timeout=60)
    assert done.ret != 0
    told = done.stdout.str() + done.stderr.str()
    assert "Timeout (0:00:02)!" in told
    assert 'test_a.py", line 5 in test_that_hangs' in told


def test_a_test_that_hangs_ends_the_run_of_several_workers(
    pytester: pytest.Pytester, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With groups, xdist waits for ever after it has replaced a worker: the Makefile's options forbid that."""
    (options,) = re.findall(r"^SIDE_BY_SIDE = -n \$\(WORKERS\) (.+)$", (root / "Makefile").read_text(), re.MULTILINE)
    plugins = "-p no:cacheprovider -p xdist -p hanging"
    pytester.makeini(f"[pytest]\npythonpath = {root}/tests/services\nhang_seconds = 2\naddopts = {plugins}\n")
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    for name in "abcd":
        file = pytester.path / f"tests/system/test_{name}.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(TESTS if name == "a" else "def test_quick(): pass\n" * 20)
    done = pytester.runpytest_subprocess("-n", "2", *options.split(), timeout=60)
    assert done.ret != 0
    assert "crashed while running 'tests/system/test_a.py::test_that_hangs'" in done.stdout.str()


def test_a_failure_ends_the_watch_and_the_next_test_begins_another(
    pytester: pytest.Pytester, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plugins = "-p no:cacheprovider -p hanging"
    pytester.makeini(f"[pytest]\npythonpath = {root}/tests/services\nhang_seconds = 2\naddopts = {plugins}\n")
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    file = pytester.path / "tests/unit/test_a.py"
    file.parent.mkdir(parents=True)
    file.write_text(TESTS.replace("pass", "assert 0"))
    done = pytester.runpytest_subprocess(timeout=60)
    assert 'test_a.py", line 5 in test_that_hangs' in done.stderr.str()
