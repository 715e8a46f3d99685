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

    Test by test, each worker would import what any file needs and set up the fixtures of every module.
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

        def _pending_of(self, workload: dict[str, dict[str, bool]]) -> int:
            """As many as matter: xdist asks after each event, and would count the tests of all units so far."""
            pending = 0
            for unit in reversed(workload.values()):
                pending += list(unit.values()).count(False)
                if pending > 2:
                    break
            return pending

    return ByFile(config, log)
