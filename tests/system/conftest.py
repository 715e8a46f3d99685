"""The tier of real processes and servers."""

import pytest

FIXTURES = (
    "pytester",
    "services",
    "brokers",
    "exporting",
    "http_fixtures",
    "mail_server",
    "reports_fixtures",
    "transfer_peers",
    "aetherflow.core.testing.fixtures",
)


def pytest_configure(config: pytest.Config) -> None:
    for name in FIXTURES:
        config.pluginmanager.import_plugin(name)
