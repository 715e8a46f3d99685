"""The connector of `driver: httpx`."""

import ssl
import threading
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aetherflow.core.api import ClearTextError, ConnectorError, ConnectorInit, HttpConnector, is_loopback
from aetherflow_builtins_rest.auth_settings import ApiKeyAuth, OAuth2Auth
from aetherflow_builtins_rest.settings import Config, Options

if TYPE_CHECKING:
    import httpx

    from aetherflow.core.api import Difference, HttpCall
    from aetherflow_builtins_rest.client import Wire

_ENCRYPT = "use https://; options.allow_plaintext_auth: true accepts the risk"
_SECRET_HEADERS = frozenset({"authorization", "proxy-authorization", "cookie", "x-api-key"})


class HttpxConnector(HttpConnector[Config, Options]):
    """An HTTP API.

    Headers and credentials of the resource are sent to the scheme, host and port of `base_url` only, whatever a
    redirect or a next link says.

        resources:
          api:
            kind: rest
            driver: httpx
            config:
              base_url: https://api.example.com/v1
              auth: {type: bearer, token: "{{env.API_TOKEN}}"}
            options:
              retry: {max_attempts: 4}
    """

    requires = ("httpx", "httpcore")

    def __init__(self, init: ConnectorInit) -> None:
        super().__init__(init)
        self._lock = threading.RLock()
        self._wire: Wire | None = None
        self._async: httpx.AsyncClient | None = None
        self._refuse_plaintext()

    @classmethod
    def secret_values(cls, config: Mapping[str, Any], options: Mapping[str, Any]) -> Iterator[str]:
        """Secrets that their keys do not reveal: authenticating headers, the path of a secret URL, keys of `auth`."""
        del options
        headers = config.get("headers")
        for name, value in headers.items() if isinstance(headers, Mapping) else ():
            if isinstance(value, str) and str(name).lower() in _SECRET_HEADERS:
                yield value
                scheme, _, rest = value.partition(" ")
                if rest and scheme.isalpha():
                    yield rest.strip()
        url = config.get("base_url")
        if isinstance(url, str) and str(config.get("secret_url", "")).strip().lower() in ("true", "yes", "1", "on"):
            path = url if "{{" in url else url.partition("://")[2].partition("/")[2]
            if path:
                yield path
        auth = config.get("auth")
        for name in ("token", "password", "api_key", "client_secret"):
            if isinstance(auth, Mapping) and isinstance(value := auth.get(name), str):
                yield value

    @classmethod
    def differences(cls, config: Mapping[str, Any], options: Mapping[str, Any], version: str) -> "Iterable[Difference]":
        """The number of attempts: `max_attempts` counted further ones."""
        from aetherflow.core.api import Difference  # one command needs it

        del config
        retry = options.get("retry") if version.startswith("0") else None
        if isinstance(retry, Mapping) and (number := retry.get("max_attempts")) is not None:
            yield Difference(
                ("options", "retry", "max_attempts"),
                f"{number} further attempts followed the first one, without regard to the method or the status",
                f"{number} is the number of all attempts, and what may be sent again depends on both",
                f"max_attempts: {number + 1}" if type(number) is int else "one more",
            )

    @property
    def label(self) -> str:
        """The name of this resource in messages."""
        return f"resource {self.name} ({self.kind}:{self.driver})"

    def _refuse_plaintext(self) -> None:
        from urllib.parse import urlsplit

        shown = bool(self.conf.credentials) or any(name.lower() in _SECRET_HEADERS for name in self.conf.headers)
        urls = [self.conf.base_url] if shown else []
        if isinstance(self.conf.auth, OAuth2Auth):
            urls.append(self.conf.auth.token_url)
        for parts in map(urlsplit, urls):
            if parts.scheme != "http" or is_loopback(parts.hostname or "") or self.opts.allow_plaintext_auth:
                continue
            raise ClearTextError(
                f"{self.label}: credentials would go over http:// in clear text",
                fix=_ENCRYPT,
            )

    # Clients

    def wire(self) -> "Wire":
        """The Wire that sends requests; created on first use. ConnectorError if the settings cannot be used."""
        with self._lock:
            if self._wire is None:
                from aetherflow_builtins_rest.client import Wire

                try:
                    self._wire = Wire(self.label, self.conf, self.opts, self._path, self._refuse_secrets)
                except (OSError, ssl.SSLError, ValueError) as error:
                    raise self._unusable(error) from error
            return self._wire

    def client(self) -> "httpx.Client":
        """The underlying httpx.Client: adds the resource's credentials, but neither retries nor checks the status."""
        return self.wire().client

    def async_client(self) -> "httpx.AsyncClient":
        """An httpx.AsyncClient with the same TLS, proxy, headers, credentials and timeouts; it does not retry."""
        with self._lock:
            if self._async is None:
                from aetherflow_builtins_rest.async_client import make_async_client

                try:
                    self._async = make_async_client(self.wire(), self.conf, self.opts)
                except (OSError, ssl.SSLError, ValueError) as error:
                    raise self._unusable(error) from error
            return self._async

    @classmethod
    def clear_text(cls, config: Mapping[str, Any], options: Mapping[str, Any]) -> tuple[str, str] | None:
        from urllib.parse import urlsplit

        try:
            parts = urlsplit(str(config.get("base_url") or ""))
        except ValueError:  # reported by the model
            return None
        if options.get("allow_plaintext_auth") or parts.scheme != "http" or not parts.hostname:
            return None
        return parts.hostname, _ENCRYPT

    def _refuse_secrets(self, host: str, texts: "Iterable[str]") -> None:
        if not self.opts.allow_plaintext_auth:
            self.refuse_clear_text(host, texts, fix=_ENCRYPT)

    def _path(self, path: str) -> str:
        found = self.ctx.asset_path(path) if self.ctx else path
        Path(found).stat()  # the error of a file that is missing names it; that of `ssl` does not
        return found

    def _unusable(self, error: Exception) -> ConnectorError:
        name = getattr(error, "filename", None)
        what = f"{name}: {error.strerror}" if isinstance(error, OSError) and name else f"{error}"
        return ConnectorError(
            f"{self.label}: its settings cannot be used: {what}",
            fix="check ca_file, client_cert, client_key, client_key_password and proxy",
        )

    # Requests

    def request(
        self,
        method: str,
        url: str,
        *,
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        json: Any = None,
        data: Mapping[str, Any] | None = None,
        files: Any = None,
        content: Any = None,
        timeout: float | None = None,
    ) -> "httpx.Response":
        """Send a request by the resource's rules of retry and status; return the response, whose body has been read.

        Raises ConnectorError, and UndecidedRequestError if the effect of the request is unknown.
        """
        from aetherflow.core.api import HttpCall

        call = HttpCall(method.upper(), url, params, headers, json, data, files, content, timeout)
        return self.wire().send(call)

    def send(self, call: "HttpCall") -> "httpx.Response":
        """Send a Call; return the response, whose body has been read. Raises like `request`."""
        return self.wire().send(call)

    def get(self, url: str, **kwargs: Any) -> "httpx.Response":
        """Send a GET request; the arguments are those of `request`."""
        return self.request("GET", url, **kwargs)

    def head(self, url: str, **kwargs: Any) -> "httpx.Response":
        """Send a HEAD request; the arguments are those of `request`."""
        return self.request("HEAD", url, **kwargs)

    def post(self, url: str, **kwargs: Any) -> "httpx.Response":
        """Send a POST request; the arguments are those of `request`."""
        return self.request("POST", url, **kwargs)

    def put(self, url: str, **kwargs: Any) -> "httpx.Response":
        """Send a PUT request; the arguments are those of `request`."""
        return self.request("PUT", url, **kwargs)

    def patch(self, url: str, **kwargs: Any) -> "httpx.Response":
        """Send a PATCH request; the arguments are those of `request`."""
        return self.request("PATCH", url, **kwargs)

    def delete(self, url: str, **kwargs: Any) -> "httpx.Response":
        """Send a DELETE request; the arguments are those of `request`."""
        return self.request("DELETE", url, **kwargs)

    # Secrets and lifecycle

    @property
    def follows_abroad(self) -> bool:
        """Whether `options.redirects` is `any`."""
        return self.opts.redirects == "any"

    @property
    def base_url(self) -> str:
        """The setting of that name."""
        return self.conf.base_url

    def secrets(self) -> Iterator[str]:
        """All secrets known so far, including tokens received meanwhile."""
        yield from self.secret_values(self.config, self.options)
        if self._wire is not None:
            yield from self._wire.secrets()

    def without_key(self, url: "httpx.URL") -> "httpx.URL":
        """The URL without the API key that the resource adds to every query; some servers repeat it in their links."""
        auth = self.conf.auth
        if not isinstance(auth, ApiKeyAuth) or auth.place != "query" or auth.name not in url.params:
            return url
        return url.copy_remove_param(auth.name)

    def probe(self) -> None:
        """Send HEAD to `base_url`; ConnectorError if there is no response, or its status is 401, 403 or 407."""
        from aetherflow.core.api import HttpCall

        if not self.conf.base_url:
            return
        answers = lambda status: status not in (401, 403, 407)  # noqa: E731
        self.wire().send(HttpCall("HEAD", "", expect=answers))

    def interrupt(self) -> None:
        """End all running requests; called from another thread, so it must not wait for the lock."""
        if self._wire is not None:
            self._wire.sockets.interrupt()

    def close(self) -> None:
        """Close all connections; more calls have no effect."""
        with self._lock:
            wire, self._wire, self._async = self._wire, None, None
        if wire is not None:
            wire.close()
