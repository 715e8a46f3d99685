"""Workbooks, and flows that fill them."""

import pytest

FIXTURES = (
    "reports_fixtures",
    "aetherflow.core.testing.fixtures",
)


def pytest_configure(config: pytest.Config) -> None:
    for name in FIXTURES:
        config.pluginmanager.import_plugin(name)
