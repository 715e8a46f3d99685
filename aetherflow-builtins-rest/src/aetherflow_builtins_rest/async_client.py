import asyncio
from collections.abc import AsyncGenerator

import httpx

from aetherflow_builtins_rest.auth import Credentials, Flow, RequestAddition
from aetherflow_builtins_rest.client import Wire
from aetherflow_builtins_rest.settings import Config, Options
from aetherflow_builtins_rest.transport import Origin, origin_of, texts_of


class HomeAuth(httpx.Auth):
    """Adds the resource's headers and credentials to requests for the resource's own origin."""

    requires_response_body = True

    def __init__(self, headers: dict[str, str], credentials: Credentials | None, home: Origin | None) -> None:
        self._headers = headers
        self._credentials = credentials
        self._home = home

    async def async_auth_flow(self, request: httpx.Request) -> AsyncGenerator[httpx.Request, httpx.Response]:
        """Add headers and credentials; a request for a token runs in a thread."""
        if self._home is not None and origin_of(request.url) != self._home:
            yield request
            return
        for name, value in self._headers.items():
            request.headers.setdefault(name, value)
        if self._credentials is None:
            yield request
            return
        flow = self._credentials.flow(request)
        added = await asyncio.to_thread(next, flow)
        while True:
            if added.header:
                request.headers[added.header[0].decode()] = added.header[1].decode()
            if added.query:
                request.url = request.url.copy_merge_params(httpx.QueryParams(added.query))
            response = yield request
            try:
                added = await asyncio.to_thread(_send, flow, response)
            except _Done:
                return


class _Done(Exception):  # noqa: N818 - replaces StopIteration, which asyncio.to_thread cannot raise
    pass


def _send(flow: Flow, response: httpx.Response) -> RequestAddition:
    try:
        return flow.send(response)
    except StopIteration:
        raise _Done from None


def make_async_client(wire: Wire, config: Config, options: Options) -> httpx.AsyncClient:
    """An httpx.AsyncClient with the wire's TLS, proxy, headers, credentials and timeouts; it does not retry."""
    pool = options.pool

    async def check(request: httpx.Request) -> None:
        if request.url.scheme == "http":  # after HomeAuth, and for each redirect
            wire.refuse(request.url.host, texts_of(request.url.raw_path, request.headers.raw, request))

    return httpx.AsyncClient(
        base_url=config.base_url,
        auth=HomeAuth(config.headers, wire.credentials, wire.home),
        verify=wire.context,
        proxy=config.proxy.get_secret_value() or None if config.proxy else None,
        timeout=wire.timeout,
        limits=httpx.Limits(
            max_connections=pool.max_connections,
            max_keepalive_connections=pool.max_keepalive_connections,
            keepalive_expiry=pool.keepalive_seconds,
        ),
        headers={"User-Agent": "aetherflow", "Accept-Encoding": "gzip, deflate"},
        trust_env=False,
        event_hooks={"request": [check]},
    )
