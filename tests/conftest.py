"""What every test shares: a home of its own, the list of tracked files, and the rule that CI skips nothing."""

import os
import subprocess
from collections.abc import Generator
from pathlib import Path

import pytest

# Only what every tier needs and what loads in no time; the folders bring their own fixtures (their conftest.py).
pytest_plugins = [
    "isolation", "counts", "measuring", "scrambling", "side_by_side", "hanging", "slimming", "slowest", "warm",
]  # fmt: skip
# Plugins of folders, which other modules may import before a folder does: asserts in them explain themselves.
pytest.register_assert_rewrite(
    "exporting",
    "http_fixtures",
    "mail_server",
    "reports_fixtures",
    "services",
    "torture_fixtures",
    "torture_schedules",
    "transfer_peers",
)

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository."""
    return ROOT


@pytest.fixture(scope="session")
def tracked() -> list[str]:
    """The files that git tracks, relative to the repository."""
    # safe.directory: in a CI container the checkout may belong to another account, and git would refuse it.
    git = ["git", "-c", "safe.directory=*", "-C", str(ROOT), "ls-files", "-z"]
    listing = subprocess.run(git, check=True, capture_output=True, text=True).stdout
    names = [name for name in listing.split("\0") if name and (ROOT / name).is_file()]
    assert names, "git tracks no file here; before the first commit, `git add` them"
    return names


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Side by side, the long tests come first: no worker is left alone with one at the end."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: item.get_closest_marker("slow") is None)


def _fail_if_skipped(report: pytest.TestReport | pytest.CollectReport) -> None:
    """With CI=true a skip is a failure: nobody reads a green run's skips. An expected failure (xfail) is not a skip."""
    if os.environ.get("CI") == "true" and report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"{report.nodeid}: a skip is a failure where CI=true\n{reason}"


# tryfirst makes these wrappers the outermost, so that they see the report after pytest's own skip handling.
@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    _fail_if_skipped(report)
    return report


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    _fail_if_skipped(report)
    return report
