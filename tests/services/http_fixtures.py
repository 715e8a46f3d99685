"""Fixtures for HTTP tests: servers on loopback, connectors and resources for them."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from aetherflow.core.api import ConnectorInit
from aetherflow_builtins_rest import sending
from aetherflow_builtins_rest.connectors.httpx import HttpxConnector
from http_server import Authority, Running, running
from http_strangers import published_http


@pytest.fixture(scope="session")
def http_authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="session")
def _served(http_authority: Authority) -> Iterator[Running]:
    with running(http_authority.certificate("localhost", "127.0.0.1")) as found:
        yield found


@pytest.fixture
def http_api(_served: Running) -> Running:
    """The API server with its counters and settings reset."""
    _served.api.reset()
    return _served


@pytest.fixture(scope="session")
def _other_served(http_authority: Authority) -> Iterator[Running]:
    with running(http_authority.certificate("localhost", "127.0.0.1")) as found:
        yield found


@pytest.fixture
def http_other(_other_served: Running) -> Running:
    """A second server, which is another host for HTTP clients."""
    _other_served.api.reset()
    return _other_served


@pytest.fixture(autouse=True)
def only_published_http(monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps see a connector as its contract does: what they use beside it is an AttributeError."""
    real = sending.Http
    monkeypatch.setattr(sending, "Http", lambda connector: real(published_http(connector)))


Connect = Callable[..., HttpxConnector]


@pytest.fixture
def http_connect(http_api: Running, http_authority: Authority) -> Iterator[Connect]:
    """`http_connect(auth={…}, options={…})`: a connector to the API, closed at the end."""
    opened: list[HttpxConnector] = []

    def make(*, options: dict[str, Any] | None = None, **config: Any) -> HttpxConnector:
        settings = {"base_url": http_api.url, "ca_file": str(http_authority.file), **config}
        opened.append(HttpxConnector(ConnectorInit("api", "rest", "httpx", settings, options or {})))
        return opened[-1]

    yield make
    for connector in opened:
        connector.close()


@pytest.fixture
def rest_api(http_api: Running, http_authority: Authority) -> Callable[..., dict[str, Any]]:
    """`rest_api(options={…}, …)`: the resources of a flow, `api` among them."""

    def make(*, options: dict[str, Any] | None = None, **config: Any) -> dict[str, Any]:
        settings = {"base_url": http_api.url, "ca_file": str(http_authority.file), **config}
        return {"api": {"kind": "rest", "driver": "httpx", "config": settings, "options": options or {}}}

    return make
