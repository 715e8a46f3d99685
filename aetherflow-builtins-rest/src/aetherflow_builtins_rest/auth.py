"""Credentials. They are added below the client, so requests that are logged, shown or redirected never hold them."""

import base64
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator
from typing import Any, TypeAlias
from urllib.parse import quote, quote_plus, urlencode

import httpx

from aetherflow.core.api import ConnectorError
from aetherflow_builtins_rest.auth_settings import ApiKeyAuth, Auth, BasicAuth, BearerAuth, DigestAuth, OAuth2Auth
from aetherflow_builtins_rest.bodies import BadBodyError, BodyTooLargeError

_KEPT_TOKENS, _UNTOLD_SECONDS = 100, 300.0
"""Tokens that `secrets` still names; and how long one is used if the server doesn't say how long it lives."""


class RequestAddition:
    """What to add to a request: a header, a part of the query, or nothing."""

    __slots__ = ("header", "query")

    def __init__(self, header: tuple[bytes, bytes] | None = None, query: str = "") -> None:
        self.header = header
        self.query = query


Post: TypeAlias = Callable[[str, bytes, list[tuple[bytes, bytes]]], httpx.Response]
"""Posts a form body with headers to a URL."""
Flow: TypeAlias = Generator[RequestAddition, httpx.Response, None]
"""A generator: yields what to add to the request, receives the response, and ends or yields again for a second try."""


class Credentials:
    """Base class of the kinds of credentials; adds nothing."""

    def flow(self, request: httpx.Request) -> Flow:
        del request
        yield RequestAddition()

    def secrets(self) -> Iterator[str]:
        """The secrets known so far, which must be masked."""
        return iter(())


class StaticCredentials(Credentials):
    """Adds the same to every request."""

    def __init__(self, added: RequestAddition, *secrets: str) -> None:
        self._added = added
        self._secrets = secrets

    def flow(self, request: httpx.Request) -> Flow:
        del request
        yield self._added

    def secrets(self) -> Iterator[str]:
        return iter(self._secrets)


class Digest(Credentials):
    """HTTP digest (RFC 7616): the first request gets 401 with a challenge and is sent again with the answer."""

    def __init__(self, auth: DigestAuth) -> None:
        self._password = auth.password.get_secret_value()
        self._auth = httpx.DigestAuth(auth.username, self._password)

    def flow(self, request: httpx.Request) -> Flow:
        """Add the answer to the challenge, as soon as there was one."""
        scratch = httpx.Request(request.method, request.url)
        inner = self._auth.auth_flow(scratch)
        next(inner)
        while True:
            value = scratch.headers.get("authorization")
            response = yield RequestAddition((b"Authorization", value.encode("latin-1")) if value else None)
            try:
                scratch = inner.send(response)
            except StopIteration:
                return

    def secrets(self) -> Iterator[str]:
        yield self._password


class TokenError(ConnectorError):
    """No token was obtained, so the request itself was not sent; `transient`: another attempt may succeed."""

    def __init__(self, message: str, *, fix: str = "", transient: bool = False) -> None:
        super().__init__(message, fix=fix)
        self.transient = transient


class OAuth2(Credentials):
    """A token from a token server, used by all requests until it expires or is refused. Thread-safe."""

    def __init__(self, auth: OAuth2Auth, post: Post) -> None:
        """`post` sends a form to the token server."""
        self._auth = auth
        self._post = post
        self._lock = threading.Lock()
        self._token = ""
        self._until = 0.0
        self._given: deque[str] = deque(maxlen=_KEPT_TOKENS)

    def flow(self, request: httpx.Request) -> Flow:
        """Add the token; if a cached token gets 401, renew it once."""
        del request
        token, fresh = self._current()
        response = yield RequestAddition((b"Authorization", f"Bearer {token}".encode()))
        if response.status_code == 401 and not fresh:
            with self._lock:
                if self._token == token:
                    self._until = 0.0
            yield RequestAddition((b"Authorization", f"Bearer {self._current()[0]}".encode()))

    def secrets(self) -> Iterator[str]:
        """The client's secret and the tokens received last; a run masks each from its first request on."""
        yield self._auth.client_secret.get_secret_value()
        yield from list(self._given)

    def _current(self) -> tuple[str, bool]:
        """The token, and whether it was requested just now."""
        with self._lock:
            if time.monotonic() < self._until:
                return self._token, False
            self._token, seconds = self._new()
            self._given.append(self._token)
            # a token that lives shorter than the leeway serves for half of its life, not for one request
            self._until = time.monotonic() + seconds - min(self._auth.leeway_seconds, seconds / 2)
            return self._token, True

    def _new(self) -> tuple[str, float]:
        auth, secret = self._auth, self._auth.client_secret.get_secret_value()
        form = {"grant_type": "client_credentials", "scope": auth.scope, "audience": auth.audience}
        headers = [(b"Content-Type", b"application/x-www-form-urlencoded"), (b"Accept", b"application/json")]
        if auth.client_auth == "body":
            form |= {"client_id": auth.client_id, "client_secret": secret}
        else:  # id and secret are form-encoded first (RFC 6749, 2.3.1)
            pair = f"{quote_plus(auth.client_id)}:{quote_plus(secret)}".encode()
            headers.append((b"Authorization", b"Basic " + base64.b64encode(pair)))
        body = urlencode({name: value for name, value in form.items() if value is not None}).encode()
        try:
            response = self._post(auth.token_url, body, headers)
        except httpx.TransportError as error:
            raise TokenError(
                f"no token from {_place(auth.token_url)}: {error}", fix="check auth.token_url", transient=True
            ) from error
        except (BodyTooLargeError, BadBodyError) as error:
            raise TokenError(f"no token from {_place(auth.token_url)}: {error.message}", fix=error.fix) from error
        return self._read(response)

    def _read(self, response: httpx.Response) -> tuple[str, float]:
        where = _place(self._auth.token_url)
        status = response.status_code
        try:
            found: Any = response.json()
        except (ValueError, RecursionError):
            found = None
        found = found if isinstance(found, dict) else {}
        if status != 200 or not isinstance(found.get("access_token"), str):
            reason = found.get("error") if isinstance(found.get("error"), str) else "no token in the answer"
            raise TokenError(
                f"no token from {where}: status {status}, {str(reason)[:80]}",
                fix="check client_id, client_secret and scope",
                transient=status == 429 or status >= 500,
            )
        try:
            seconds = float(found.get("expires_in") or 0)
        except (TypeError, ValueError, OverflowError):
            seconds = 0.0
        return found["access_token"], seconds if 0 < seconds < math.inf else _UNTOLD_SECONDS


def _place(url: str) -> str:
    parsed = httpx.URL(url)
    return f"{parsed.scheme}://{parsed.netloc.decode()}{parsed.path}"


def credentials_of(auth: Auth | None, post: Post) -> Credentials | None:
    """The Credentials for these settings, None without any; `post` sends a form to the token server."""
    match auth:
        case BearerAuth():
            token = auth.token.get_secret_value()
            return StaticCredentials(RequestAddition((b"Authorization", f"Bearer {token}".encode())), token)
        case BasicAuth():
            password = auth.password.get_secret_value()
            pair = base64.b64encode(f"{auth.username}:{password}".encode())
            return StaticCredentials(RequestAddition((b"Authorization", b"Basic " + pair)), password, pair.decode())
        case ApiKeyAuth():
            key = auth.api_key.get_secret_value()
            if auth.place == "query":
                return StaticCredentials(RequestAddition(query=f"{quote(auth.name)}={quote(key, safe='')}"), key)
            return StaticCredentials(RequestAddition((auth.name.encode(), key.encode())), key)
        case DigestAuth():
            return Digest(auth)
        case OAuth2Auth():
            return OAuth2(auth, post)
        case _:
            return None
