"""A schedule in a folder of its own, and exports of schedules."""

import pytest

from scheduler_bench import bench, until

__all__ = ["bench", "until"]


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.import_plugin("exporting")
