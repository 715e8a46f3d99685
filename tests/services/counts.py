"""Counts the cases of each torture suite and the examples of all properties, and prints them after a test run."""

import importlib
import json
import os
import secrets
import sys
import time
from collections.abc import Generator
from typing import Any

import pytest

import torture_tier
from torture_tier import RESULTS, Suite

EXAMPLES = "examples"
"""Name of the user property of a test that holds its number of examples."""
SEED = "AETHERFLOW_TESTS_SEED"
"""Environment variable with the seed of all properties; the first process of a run sets it for its workers."""


def pytest_configure() -> None:
    os.environ.setdefault(SEED, str(secrets.randbelow(2**32)))


def pytest_collectstart(collector: pytest.Collector) -> None:
    """Configure Hypothesis before the first module that uses it; runs of other modules avoid its slow import."""
    module = isinstance(collector, pytest.Module)
    if module and "properties" not in sys.modules and b"hypothesis" in collector.path.read_bytes():
        importlib.import_module("properties")


def pytest_collection_finish(session: pytest.Session) -> None:
    """Where tests are only collected, as before they run side by side: read the constants of our code for all."""
    if session.config.option.collectonly and "properties" in sys.modules:
        from hypothesis import find, strategies

        find(strategies.booleans(), bool)  # any example: Hypothesis looks for constants first, and keeps them in a file


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    if not getattr(getattr(item, "obj", None), "is_hypothesis_test", False):
        return (yield)
    from hypothesis.statistics import collector as untyped

    collector: Any = untyped
    reported = collector.value

    def count(statistics: dict[str, Any]) -> None:
        phases = [value for value in statistics.values() if isinstance(value, dict)]
        item.user_properties.append((EXAMPLES, sum(len(phase.get("test-cases", ())) for phase in phases)))
        if reported is not None:
            reported(statistics)

    with collector.with_value(count):
        return (yield)


class Counts:
    """Sums up the counts from the test reports of this run."""

    def __init__(self) -> None:
        self.since = time.time()
        self.properties = 0
        self.examples = 0
        self._suites_of_tests: dict[str, Suite] = {}
        self._spent: dict[str, float] = {}

    def pytest_report_header(self) -> str:
        variables = "AETHERFLOW_TORTURE_TIER, AETHERFLOW_TORTURE_SEED"
        return f"torture: tier {torture_tier.TIER}, seed {torture_tier.SEED} ({variables})"

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call":
            if not report.skipped:
                torture_tier.count_test(report, self._suites_of_tests, self._spent)
            made = [int(str(value)) for name, value in report.user_properties if name == EXAMPLES]
            self.properties += bool(made)
            self.examples += sum(made)

    def pytest_sessionfinish(self) -> None:
        for name, suite in self._suites_of_tests.items():
            torture_tier.record(suite, self._spent[name], completed=True)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        lines = list(self._suites())
        if self.properties:
            seed = os.environ.get("AETHERFLOW_TORTURE_SEED") or os.environ[SEED]
            lines.append(f"properties: {self.properties}, {self.examples:,} examples; AETHERFLOW_TORTURE_SEED={seed}")
        if lines:
            terminalreporter.section("what was tried")
            for line in lines:
                terminalreporter.write_line(line)

    def _suites(self) -> Generator[str, None, None]:
        found: dict[str, tuple[int, int]] = {}
        for file in sorted(RESULTS.glob("*/*.json")):
            if file.stat().st_mtime >= self.since:
                result = json.loads(file.read_text())
                name = str(result["suite"]).split()[0]
                cases, violations = found.get(name, (0, 0))
                found[name] = cases + result["cases"], violations + result["violations"]
        for name, (cases, violations) in found.items():
            yield f"torture {name}: {cases:,} cases, {violations} violations"


def pytest_sessionstart(session: pytest.Session) -> None:
    if not hasattr(session.config, "workerinput"):
        session.config.pluginmanager.register(Counts(), "counts-of-this-run")
