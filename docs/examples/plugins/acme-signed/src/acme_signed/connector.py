"""The connector `rest:acme_signed`: an HTTP API that wants each request signed."""

import hashlib
import hmac
import threading
import time
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, SecretStr

from aetherflow.core.api import (
    ConnectorConfig,
    ConnectorError,
    ConnectorInit,
    ConnectorOptions,
    Holds,
    HttpConnector,
    PlainText,
    UndecidedStepError,
)

if TYPE_CHECKING:
    import httpx

HARMLESS = ("GET", "HEAD", "OPTIONS")


class Config(ConnectorConfig):
    """Which API, and who asks."""

    base_url: Annotated[str, Holds.HOST] = Field(min_length=1, description="The URL below which all paths are.")
    account: PlainText = Field(min_length=1, description="The account, for the header X-Acme-Account.")
    secret: SecretStr = Field(description="The secret that signs the requests; it is never sent.")


class Options(ConnectorOptions):
    """How the connector behaves."""

    timeout_seconds: float = Field(30, gt=0, description="Longest wait for the server.")


class AcmeSigned(HttpConnector[Config, Options]):
    """An HTTP API whose requests are signed with HMAC-SHA256 over time, method, path, query and body.

    resources:
      api:
        kind: rest
        driver: acme_signed
        config: {base_url: "https://api.example.com/v1", account: acme, secret: "{{env.ACME_SECRET}}"}
    """

    requires = ("httpx",)

    def __init__(self, init: ConnectorInit) -> None:
        super().__init__(init)
        self._lock = threading.Lock()
        self._client: httpx.Client | None = None

    def probe(self) -> None:
        """Reach the server once and change nothing; any answer will do."""
        self.request("HEAD", "")

    def request(self, method: str, url: str, **given: Any) -> "httpx.Response":
        import httpx

        given = {name: value for name, value in given.items() if value is not None}
        target = httpx.URL(self.base_url + "/").join(url.lstrip("/"))
        client = self._connected()
        try:
            request = client.build_request(method, target, **given)
            if target.host == httpx.URL(self.base_url).host:  # which an absolute URL may not be
                request.headers.update(self._signature(request))
            return client.send(request)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.InvalidURL) as error:
            raise self._error(error) from error
        except httpx.HTTPError as error:
            if method in HARMLESS:
                raise self._error(error) from error
            raise UndecidedStepError(f"{method} {url}: no answer arrived: {error}") from error  # a person decides

    def close(self) -> None:
        """Close the connections; twice is fine."""
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            client.close()

    def interrupt(self) -> None:
        """End the requests that run in other threads."""
        self.close()

    def _connected(self) -> "httpx.Client":
        import httpx

        with self._lock:
            if self._client is None:
                self._client = httpx.Client(timeout=self.opts.timeout_seconds)
            return self._client

    def _signature(self, request: "httpx.Request") -> dict[str, str]:
        now, body = str(int(time.time())), hashlib.sha256(request.read()).hexdigest()
        text = f"{now}\n{request.method}\n{request.url.raw_path.decode()}\n{body}"
        signed = hmac.new(self.conf.secret.get_secret_value().encode(), text.encode(), "sha256").hexdigest()
        return {"X-Acme-Account": self.conf.account, "X-Acme-Time": now, "X-Acme-Signature": signed}

    def _error(self, error: Exception) -> ConnectorError:
        text = " ".join(str(error).split()) or type(error).__name__
        message = f"resource {self.name} ({self.kind}:{self.driver}): {text}"
        return ConnectorError(message, fix="check config.base_url, and that the server runs")
