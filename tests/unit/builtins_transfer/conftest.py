"""Peers in a folder, and flows of steps."""

import pytest

from packet_strangers import only_published_archive, only_published_mail
from transfer_strangers import only_published, strangers

__all__ = ["only_published", "only_published_archive", "only_published_mail", "strangers"]

FIXTURES = ("transfer_peers", "aetherflow.core.testing.fixtures")


def pytest_configure(config: pytest.Config) -> None:
    for name in FIXTURES:
        config.pluginmanager.import_plugin(name)
