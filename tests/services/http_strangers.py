"""HTTP connectors of strangers: a view of ours that shows published names only, one of its own, and minimal ones."""

import ssl
from collections.abc import Iterable
from typing import Annotated, Any

import httpx
from pydantic import Field

from aetherflow.core.api import (
    ConnectorBase,
    ConnectorConfig,
    ConnectorError,
    ConnectorInit,
    ConnectorOptions,
    Holds,
    HttpCall,
    HttpConnector,
    ReadPath,
)


class PublishedHttp(HttpConnector[Any, Any]):
    """A connector of ours behind its contract: every other name raises AttributeError."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self.name, self.kind, self.driver = inner.name, inner.kind, inner.driver

    @property
    def base_url(self) -> str:
        return str(self._inner.base_url)

    @property
    def follows_abroad(self) -> bool:
        return bool(self._inner.follows_abroad)

    def request(self, method: str, url: str, **given: Any) -> httpx.Response:
        response: httpx.Response = self._inner.request(method, url, **given)
        return response

    def send(self, call: HttpCall) -> httpx.Response:
        response: httpx.Response = self._inner.send(call)
        return response

    def secrets(self) -> Iterable[str]:
        found: Iterable[str] = self._inner.secrets()
        return found

    def without_key(self, url: httpx.URL) -> httpx.URL:
        found: httpx.URL = self._inner.without_key(url)
        return found


def published_http(inner: Any) -> Any:
    """The view of a connector of ours; another one stays."""
    return PublishedHttp(inner) if isinstance(inner, HttpConnector) and hasattr(inner, "send") else inner


class Place(ConnectorConfig):
    base_url: Annotated[str, Holds.HOST] = Field(description="The URL below which paths are.")
    ca_file: ReadPath | None = Field(None, description="Who signed the peer's certificate.")


class NoOptions(ConnectorOptions):
    pass


def _tls(ca_file: str | None) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=ca_file)


class Minimal(ConnectorBase[Place, NoOptions]):
    """The documented minimum: `request`, in the shapes of httpx."""

    def __init__(self, init: ConnectorInit) -> None:
        super().__init__(init)
        self._client = httpx.Client(base_url=self.conf.base_url, verify=_tls(self.conf.ca_file), trust_env=False)

    def request(self, method: str, url: str, **given: Any) -> httpx.Response:
        return self._client.request(method, url, **given)

    def close(self) -> None:
        self._client.close()


class Stranger(HttpConnector[Place, NoOptions]):
    """The contract's primitive alone."""

    requires = ("httpx",)

    def request(self, method: str, url: str, **given: Any) -> httpx.Response:
        try:
            with httpx.Client(base_url=self.conf.base_url, verify=_tls(self.conf.ca_file), trust_env=False) as client:
                return client.request(method, url, **given)
        except httpx.TransportError as error:
            raise ConnectorError(f"resource {self.name} (rest:stranger): {error}", fix="look at the peer") from error


class Silent(ConnectorBase[Place, NoOptions]):
    """It has nothing."""
