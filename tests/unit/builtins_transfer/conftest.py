"""Peers in a folder, and flows of steps."""

import pytest

from transfer_strangers import only_published, strangers

__all__ = ["only_published", "strangers"]

FIXTURES = (
    "transfer_peers",
    "packet_strangers",
    "aetherflow.core.testing.fixtures",
)


def pytest_configure(config: pytest.Config) -> None:
    for name in FIXTURES:
        config.pluginmanager.import_plugin(name)
