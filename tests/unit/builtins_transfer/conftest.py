"""Peers in a folder, and flows of steps."""

import pytest

FIXTURES = (
    "transfer_peers",
    "packet_strangers",
    "aetherflow.core.testing.fixtures",
)


def pytest_configure(config: pytest.Config) -> None:
    for name in FIXTURES:
        config.pluginmanager.import_plugin(name)
