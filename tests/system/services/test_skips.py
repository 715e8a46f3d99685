"""A missing server is a skip that names itself at the desk, and a failure where CI=true."""

from pathlib import Path

import pytest

# The ways to skip: a missing server, a call in the test, a mark, a call in a fixture, a whole module.
MODULE = """
import pytest
from services import need

def test_server(): need("no-such-server")
def test_call(): pytest.skip("by call")
@pytest.mark.skip(reason="by mark")
def test_mark(): pass
@pytest.mark.skipif(True, reason="by condition")
def test_condition(): pass
@pytest.fixture
def broken(): pytest.skip("by fixture")
def test_fixture(broken): pass
@pytest.mark.xfail(reason="known")
def test_expected_failure(): assert 0
def test_plain(): pass
"""


@pytest.fixture
def project(pytester: pytest.Pytester, root: Path) -> pytest.Pytester:
    pytester.makeconftest((root / "tests/conftest.py").read_text())
    pytester.makeini(f"[pytest]\npythonpath = {root}/tests/services\naddopts = -rfEs -p no:cacheprovider\n")
    return pytester


def test_at_the_desk_a_skip_is_listed_with_its_reason(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CI", raising=False)
    project.makepyfile(MODULE)
    result = project.runpytest_inprocess()
    assert result.ret == 0
    result.assert_outcomes(passed=1, skipped=5, xfailed=1)
    result.stdout.fnmatch_lines(["SKIPPED *not installed: no-such-server; tests/services/install.sh tells how*"])


def test_in_ci_every_kind_of_skip_fails(project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    project.makepyfile(MODULE)
    result = project.runpytest_inprocess()
    assert result.ret == 1
    outcomes = result.parseoutcomes()
    assert outcomes["failed"] + outcomes["errors"] == 5
    assert "skipped" not in outcomes
    assert (outcomes["passed"], outcomes["xfailed"]) == (1, 1)
    result.stdout.fnmatch_lines(["*a skip is a failure where CI=true*", "*not installed: no-such-server*"])


def test_in_ci_a_skipped_module_fails(project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    project.makepyfile('import pytest\npytest.importorskip("no_such_module")\ndef test_a(): pass\n')
    result = project.runpytest_inprocess()
    assert result.ret != 0
    result.stdout.fnmatch_lines(["*a skip is a failure where CI=true*"])
