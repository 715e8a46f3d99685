"""Flows of steps."""

import pytest

FIXTURES = ("aetherflow.core.testing.fixtures",)


def pytest_configure(config: pytest.Config) -> None:
    for name in FIXTURES:
        config.pluginmanager.import_plugin(name)
