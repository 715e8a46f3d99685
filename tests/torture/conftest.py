"""Benches in memory, and the servers that are killed and cut off."""

import pytest

from core_project import project

FIXTURES = (
    "services",
    "brokers",
    "exporting",
    "http_fixtures",
    "mail_server",
    "reports_fixtures",
    "transfer_peers",
    "torture_fixtures",
    "torture_night",
    "torture_schedules",
    "aetherflow.core.testing.fixtures",
)


__all__ = ["project"]


def pytest_configure(config: pytest.Config) -> None:
    for name in FIXTURES:
        config.pluginmanager.import_plugin(name)
