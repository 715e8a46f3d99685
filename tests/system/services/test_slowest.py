"""The table of the slowest files: sums, order, place before pytest's last line, with and without workers."""

from pathlib import Path

import pytest

# Each phase of a test in test_<n>.py takes n seconds, as its report says: nobody waits for it.
CONFTEST = """
import pytest
pytest_plugins = ["slowest"]

@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item):
    report = yield
    report.duration = float(item.path.stem.removeprefix("test_"))
    return report
"""


@pytest.fixture
def project(pytester: pytest.Pytester, root: Path, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    pytester.makeconftest(CONFTEST)
    pytester.makeini(f"[pytest]\npythonpath = {root}/tests/services\naddopts = -rfEs -p no:cacheprovider -p xdist\n")
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # imports of plugins were half of a run
    pytester.makepyfile(**{f"test_{number}": "def test_a(): pass\ndef test_b(): pass\n" for number in range(1, 13)})
    pytester.makepyfile(test_13="def test_a(): assert 0\n")
    return pytester


@pytest.mark.parametrize(
    "options", [(), ("-n", "2"), ("-n", "2", "-p", "side_by_side")], ids=["alone", "two workers", "one report of each"]
)
def test_the_ten_slowest_files_and_the_sum(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...]
) -> None:
    monkeypatch.setenv("CI", "true")
    lines = project.runpytest_subprocess(*options).outlines
    begin = next(number for number, line in enumerate(lines) if " slowest files " in line)
    expected = [f"{number * 6}.0 s      2 tests  test_{number}.py" for number in (12, 11, 10, 9, 8, 7)]
    expected += ["39.0 s      1 tests  test_13.py"]
    expected += [f"{number * 6}.0 s      2 tests  test_{number}.py" for number in (6, 5, 4)]
    assert [line.strip() for line in lines[begin + 1 : begin + 12]] == [*expected, "507.0 s     25 tests  all 13 files"]
    assert "short test summary info" in lines[begin + 12]
    assert "1 failed, 24 passed in " in lines[-1]


def test_at_the_desk_there_is_no_table(project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    assert "slowest files" not in project.runpytest_subprocess().stdout.str()
