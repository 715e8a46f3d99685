"""A schedule in a folder of its own, and exports of schedules."""

import croniter  # noqa: F401 - its import runs the program `file`, which no unit test may: so it comes before them
import pytest

from scheduler_bench import bench, until

__all__ = ["bench", "until"]


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.import_plugin("exporting")
