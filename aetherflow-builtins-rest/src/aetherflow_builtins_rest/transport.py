"""The transport between httpx and httpcore: adds credentials by origin, decompresses and limits bodies."""

import ssl
from collections.abc import Callable, Iterable, Iterator
from typing import TypeAlias

import httpcore
import httpx

from aetherflow.core.api import HttpCall
from aetherflow_builtins_rest.auth import Credentials, RequestAddition
from aetherflow_builtins_rest.bodies import ReceivedStream, limited, start_of, unpacked
from aetherflow_builtins_rest.failures import SlowError
from aetherflow_builtins_rest.network import Sockets, TooSlow
from aetherflow_builtins_rest.settings import Pool
from aetherflow_builtins_rest.uploads import MultipartBody

Origin: TypeAlias = tuple[str, str, int | None]
Refuse: TypeAlias = Callable[[str, Iterable[str]], None]
"""Raises if one of the texts may not go to a host in clear text."""
MOST_TEXT = 200
"""Characters of an error's text; h11 quotes whatever the peer has sent."""
REFUSAL_BYTES = 64 * 1024
"""The most that is read of an answer that wants other credentials."""
_PORTS = {"http": 80, "https": 443}
CALL, LIMIT, LIMIT_FIX, TRUSTED = "aetherflow_call", "aetherflow_limit", "aetherflow_limit_fix", "aetherflow_trusted"
"""Keys of request extensions: the call, the limit of the response in bytes, the limit's name and advice, and whether
the request goes to the resource's own origin."""


def origin_of(url: httpx.URL) -> Origin:
    """Scheme, host and port of a URL. Credentials must not be sent to another origin."""
    return url.scheme, url.host, url.port or _PORTS.get(url.scheme)


def httpcore_pool(sockets: Sockets, context: ssl.SSLContext, pool: Pool, proxy: str | None) -> httpcore.ConnectionPool:
    """A connection pool, through a proxy if given; ValueError if the proxy's scheme is not http or https."""
    keepalive = pool.max_keepalive_connections
    if not proxy:
        return httpcore.ConnectionPool(
            ssl_context=context,
            max_connections=pool.max_connections,
            max_keepalive_connections=keepalive,
            keepalive_expiry=pool.keepalive_seconds,
            network_backend=sockets,
        )
    parsed = httpx.Proxy(proxy)
    if parsed.url.scheme not in ("http", "https"):
        raise ValueError("proxy must begin with http:// or https://")
    return httpcore.HTTPProxy(
        proxy_url=httpcore.URL(
            scheme=parsed.url.raw_scheme, host=parsed.url.raw_host, port=parsed.url.port, target=parsed.url.raw_path
        ),
        proxy_auth=parsed.raw_auth,
        ssl_context=context,
        max_connections=pool.max_connections,
        max_keepalive_connections=keepalive,
        keepalive_expiry=pool.keepalive_seconds,
        network_backend=sockets,
    )


class Transport(httpx.BaseTransport):
    """Sends requests; those to the resource's own origin get its headers and credentials."""

    def __init__(
        self,
        sockets: Sockets,
        pool: httpcore.ConnectionPool,
        headers: dict[str, str],
        credentials: Credentials | None,
        refuse: Refuse,
    ) -> None:
        """`sockets` are those of the pool; `refuse` gets what is about to be sent without TLS."""
        self._sockets = sockets
        self._pool = pool
        self._headers = [
            (name.encode(), value.encode("utf-8"), name.lower().encode()) for name, value in headers.items()
        ]
        self._credentials = credentials
        self._refuse = refuse

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request, repeated once if the credentials demand it; the response's body is not read yet."""
        if not request.extensions.get(TRUSTED) or (self._credentials is None and not self._headers):
            return self._send(request, RequestAddition(), [])
        given = {name.lower() for name, _ in request.headers.raw}
        headers = [(name, value) for name, value, lower in self._headers if lower not in given]
        if self._credentials is None or b"authorization" in given:  # the step sets its own Authorization header
            return self._send(request, RequestAddition(), headers)
        flow = self._credentials.flow(request)
        response = self._send(request, next(flow), headers)
        while True:
            response.request = request  # httpx.DigestAuth reads it
            try:
                again = flow.send(response)
            except StopIteration:
                return response
            except BaseException:
                response.close()
                raise
            start_of(response.stream, REFUSAL_BYTES)  # type: ignore[arg-type]  # synchronous; read, the connection stays
            response.close()
            response = self._send(request, again, headers)

    def _send(
        self, request: httpx.Request, added: RequestAddition, headers: list[tuple[bytes, bytes]]
    ) -> httpx.Response:
        url, target = request.url, request.url.raw_path
        if added.query:
            target += (b"&" if b"?" in target else b"?") + added.query.encode("ascii")
        own = [added.header] if added.header else []
        sent = httpcore.Request(
            method=request.method,
            url=httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=target),
            headers=[*request.headers.raw, *headers, *own],
            content=request.stream,
            extensions=request.extensions,
        )
        if url.scheme == "http":
            self._refuse(url.host, texts_of(target, sent.headers, request))
        try:
            with self._sockets.head():
                found = self._pool.handle_request(sent)
        except httpcore.UnsupportedProtocol as error:
            raise httpx.UnsupportedProtocol(str(error)) from error
        except _FAILURES as error:
            raise in_httpx(error) from error
        return _received(found, request)

    def close(self) -> None:
        self._pool.close()


def texts_of(target: bytes, headers: Iterable[tuple[bytes, bytes]], request: httpx.Request) -> Iterator[str]:
    """What a request shows to the network: its target, its headers, and its body without the content of files."""
    yield target.decode("latin-1")
    for _, value in headers:
        yield value.decode("utf-8", "replace")
    try:
        body = request.content
    except httpx.RequestNotRead:
        body = b"".join(_pieces(request))
    yield body.decode("utf-8", "replace")


def _pieces(request: httpx.Request) -> Iterator[bytes]:
    """The parts of a multipart body that are not files: of ours, or of httpx."""
    call = request.extensions.get(CALL)
    if call is not None and isinstance(call.content, MultipartBody):
        yield from call.content.written
    for field in getattr(request.stream, "fields", ()):
        yield field.render_headers()
        if isinstance(value := getattr(field, "value", None), bytes):
            yield value
        elif value is not None:
            yield str(value).encode()


def _received(found: httpcore.Response, request: httpx.Request) -> httpx.Response:
    encoding, headers = b"", found.headers
    for name, value in headers:
        if name.lower() == b"content-encoding":
            encoding = b", ".join([encoding, value]) if encoding else value
    chunks = _mapped(found, request.extensions.get(CALL))
    if encoding and request.method != "HEAD" and found.status not in (204, 304):
        # decompressed here with a limit; without these headers httpx does not decompress again
        headers = [pair for pair in headers if pair[0].lower() not in (b"content-encoding", b"content-length")]
        chunks = unpacked(chunks, encoding.decode("latin-1"))
    limit = request.extensions.get(LIMIT)
    if limit is not None:
        chunks = limited(chunks, limit, *request.extensions[LIMIT_FIX])
    extensions = {**found.extensions, "packed": bool(encoding)}
    return httpx.Response(
        found.status, headers=headers, stream=ReceivedStream(chunks, found.close), extensions=extensions
    )


def _mapped(found: httpcore.Response, call: HttpCall | None) -> Iterator[bytes]:
    try:
        for chunk in found.stream:  # type: ignore[union-attr]  # a synchronous response has a synchronous stream
            if call is not None:
                call.moved += len(chunk)
            yield chunk
    except _FAILURES as error:
        raise in_httpx(error) from error


_FAILURES = (httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError, httpcore.ProxyError)


def in_httpx(error: Exception) -> httpx.TransportError:
    """Convert an error of httpcore to the httpx error with the same name."""
    if isinstance(error, TooSlow):
        return SlowError(str(error))
    kind = getattr(httpx, type(error).__name__, httpx.TransportError)
    return kind(str(error)[:MOST_TEXT] or type(error).__name__)
