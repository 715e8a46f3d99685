"""The tier of real processes and servers."""

import subprocess
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

import warm
from aetherflow.core.testing import crash_runs

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


@pytest.fixture(scope="session", autouse=True)
def _forked_kills() -> Iterator[None]:
    """The process that runs what a suite kills is forked as well; those of the examples in the docs are started."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(crash_runs, "subprocess", SimpleNamespace(Popen=warm.Popen, PIPE=subprocess.PIPE))
        yield
