"""With pytest-xdist: one worker runs a file of unit tests (`--dist loadgroup`), and one report tells of a success."""

from typing import Any

import pytest
from _pytest.runner import runtestprotocol

UNIT = "tests/unit/"
HOUSE = (
    "tests/unit/architecture/",
    "tests/unit/core/test_core_durable_lint.py",
    "tests/unit/docs/test_docs_hints.py",
    "tests/unit/docs/test_docs_rooms.py",
    "tests/unit/scheduler/loop/test_scheduler_crash.py",
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
            if nodeid.startswith(HOUSE):  # whatever group a mark names
                return HOUSE[0]
            scope: str = super()._split_scope(nodeid)
            return scope.partition("::")[0] if scope.startswith(UNIT) else scope

        def mark_test_complete(self, node: Any, item_index: int, duration: float = 0) -> None:
            super().mark_test_complete(node, item_index, duration)
            units = self.assigned_work[node]
            scope = self._split_scope(self.registered_collections[node][item_index])
            if all(units[scope].values()):
                del units[scope]  # or each test that ends makes it count all that have ended in this worker

    return ByFile(config, log)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
    """Run a test in a worker; if it passes, one report goes to the process that prints, instead of three.

    The report has the time of set-up and tear-down as `around`.
    """
    if not hasattr(item.config, "workerinput"):
        return None
    reports = runtestprotocol(item, log=False, nextitem=nextitem)
    told = [report for report in reports if report.when == "call" or not report.passed]
    told[0].around = sum(report.duration for report in reports if report not in told)  # type: ignore[attr-defined]
    for report in told:
        item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True
