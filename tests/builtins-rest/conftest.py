"""An API on loopback, and projects that call it."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from aetherflow.core.api import ConnectorInit
from aetherflow.core.testing import FlowProject
from aetherflow_builtins_rest.connectors.httpx import HttpxConnector
from http_server import Authority, Running, running


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="session")
def _served(authority: Authority) -> Iterator[Running]:
    with running(authority.certificate("localhost", "127.0.0.1")) as found:
        yield found


@pytest.fixture
def server(_served: Running) -> Running:
    """The API, having been asked nothing."""
    _served.api.reset()
    return _served


@pytest.fixture(scope="session")
def _other(authority: Authority) -> Iterator[Running]:
    with running(authority.certificate("localhost", "127.0.0.1")) as found:
        yield found


@pytest.fixture
def other(_other: Running) -> Running:
    """Another host, as far as HTTP is concerned."""
    _other.api.reset()
    return _other


Connect = Callable[..., HttpxConnector]


@pytest.fixture
def connect(server: Running, authority: Authority) -> Iterator[Connect]:
    """`connect(auth={…}, options={…})`: a connector to the API, closed at the end."""
    opened: list[HttpxConnector] = []

    def make(*, options: dict[str, Any] | None = None, **config: Any) -> HttpxConnector:
        settings = {"base_url": server.url, "ca_file": str(authority.file), **config}
        opened.append(HttpxConnector(ConnectorInit("api", "rest", "httpx", settings, options or {})))
        return opened[-1]

    yield make
    for connector in opened:
        connector.close()


@pytest.fixture
def project(tmp_path: Path) -> FlowProject:
    return FlowProject(tmp_path / "project")


@pytest.fixture
def api(server: Running, authority: Authority) -> Callable[..., dict[str, Any]]:
    """`api(options={…}, …)`: the resources of a flow, `api` among them."""

    def make(*, options: dict[str, Any] | None = None, **config: Any) -> dict[str, Any]:
        settings = {"base_url": server.url, "ca_file": str(authority.file), **config}
        return {"api": {"kind": "rest", "driver": "httpx", "config": settings, "options": options or {}}}

    return make
