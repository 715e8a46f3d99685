"""With CI=true, prints the ten slowest test files and the total time at the end of a run."""

import os
from collections import defaultdict

import pytest

SHOWN = 10


class SlowestFiles:
    """Wall seconds of set-up, call and tear-down, summed by file. With xdist the reports of all workers arrive here."""

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self.tests: defaultdict[str, set[str]] = defaultdict(set)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        file = report.nodeid.split("::", maxsplit=1)[0]
        self.seconds[file] += report.duration + getattr(report, "around", 0)
        self.tests[file].add(report.nodeid)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        slowest = sorted(self.seconds, key=self.seconds.__getitem__, reverse=True)[:SHOWN]
        rows = [(self.seconds[file], len(self.tests[file]), file) for file in slowest]
        rows.append((sum(self.seconds.values()), sum(map(len, self.tests.values())), f"all {len(self.seconds)} files"))
        terminalreporter.write_sep("=", "slowest files")
        for seconds, tests, file in rows:
            terminalreporter.write_line(f"{seconds:>9.1f} s {tests:>6} tests  {file}")


def pytest_configure(config: pytest.Config) -> None:
    if os.environ.get("CI") == "true" and not hasattr(config, "workerinput"):
        config.pluginmanager.register(SlowestFiles(), "slowest-files")
