"""With pytest-xdist and `--dist loadgroup`: unit tests of one file run in one worker."""

from typing import Any

import pytest

UNIT = "tests/unit/"
HOUSE = (
    "tests/unit/architecture/",
    "tests/unit/core/test_core_durable_lint.py",
    "tests/unit/docs/test_docs_hints.py",
    "tests/unit/docs/test_docs_rooms.py",
)
"""These files share the syntax trees of all modules, which take 150 MB: one worker runs them all."""


@pytest.hookimpl(optionalhook=True)  # without pytest-xdist nobody asks
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """The scheduler of `--dist loadgroup`, which keeps the files of the unit tests together.

    Test by test, each worker would import what any file needs and set up the fixtures of every module. And after each
    test the scheduler goes through all units that the worker has had so far: 200 files are quicker than 5,000 tests.
    """
    if config.getoption("dist") != "loadgroup":
        return None
    from xdist.scheduler import LoadGroupScheduling

    class ByFile(LoadGroupScheduling):  # type: ignore[misc]  # untyped
        def _split_scope(self, nodeid: str) -> str:
            scope: str = super()._split_scope(nodeid)
            if scope.startswith(HOUSE):
                return HOUSE[0]
            return scope.partition("::")[0] if scope.startswith(UNIT) else scope

    return ByFile(config, log)
