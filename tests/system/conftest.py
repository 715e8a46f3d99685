"""The tier of real processes and servers."""

import subprocess
from collections.abc import Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

import warm
from aetherflow.core.testing import crash_runs, project

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
def _forked() -> Iterator[None]:
    """What a suite kills and the commands of a `FlowProject` are forked; the examples in the docs start theirs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(crash_runs, "subprocess", SimpleNamespace(Popen=warm.Popen, PIPE=subprocess.PIPE))
        patch.setattr(project, "subprocess", SimpleNamespace(run=_run))
        yield


def _run(argv: Sequence[str], **options: Any) -> "subprocess.CompletedProcess[str]":
    try:
        return warm.run(argv, **options)
    except warm.NotWarmError:
        return warm.true_start("a project's own program, which the warm interpreter does not know").run(argv, **options)


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> None:
    """The commands of a `FlowProject` are started in this test, as by those who use the kit."""
    monkeypatch.setattr(project, "subprocess", subprocess)
