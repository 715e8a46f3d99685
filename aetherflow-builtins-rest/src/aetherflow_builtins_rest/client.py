"""Sends requests: applies the rate limit, follows redirects, and repeats attempts that are safe to repeat."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import httpx

from aetherflow.core.api import ClearTextError, HttpCall
from aetherflow_builtins_rest.auth import TokenError, credentials_of
from aetherflow_builtins_rest.bodies import BadBodyError, BodyTooLargeError
from aetherflow_builtins_rest.call import limit_words, shown, shown_url
from aetherflow_builtins_rest.failures import UndecidedRequestError, reason_of, status_text
from aetherflow_builtins_rest.judge import ResponseJudge, permanent
from aetherflow_builtins_rest.network import Sockets
from aetherflow_builtins_rest.rate_limit import RateLimit, retry_after, wait
from aetherflow_builtins_rest.settings import Config, Options
from aetherflow_builtins_rest.tls import context_of
from aetherflow_builtins_rest.transport import (
    CALL,
    LIMIT,
    LIMIT_FIX,
    TRUSTED,
    Refuse,
    Transport,
    httpcore_pool,
    origin_of,
)

_OF_A_BODY = ("content-length", "content-type", "transfer-encoding")
_TO_OTHERS = ("accept", "accept-encoding", "user-agent", "range", "if-range")
"""Headers that are kept in a redirect to another origin."""


class Wire:
    """The connections and rules of one resource. Thread-safe."""

    def __init__(
        self, label: str, config: Config, options: Options, path: Callable[[str], str], refuse: Refuse
    ) -> None:
        self.options = options
        self.refuse = refuse
        self.sockets = Sockets()
        proxy = config.proxy.get_secret_value() if config.proxy else None
        self.context = context_of(config, verify=options.verify_ssl, identity=True, path=path)
        self._pool = httpcore_pool(self.sockets, self.context, options.pool, proxy)
        self._others = self._pool
        if config.client_cert is not None:  # other hosts must not see the client certificate
            plain = context_of(config, verify=options.verify_ssl, identity=False, path=path)
            self._others = httpcore_pool(self.sockets, plain, options.pool, proxy)
        self.credentials = credentials_of(config.credentials, self._post)
        limits = options.timeouts
        phase = options.timeout if limits.total is None else min(options.timeout, limits.total)
        self.timeout = httpx.Timeout(
            connect=limits.connect or phase,
            read=limits.read or phase,
            write=limits.write or phase,
            pool=limits.pool or phase,
        )
        self._content_type = next((v for k, v in config.headers.items() if k.lower() == "content-type"), None)
        self._base = httpx.URL(config.base_url)
        self._judge = ResponseJudge(label, options, self._base, self.sockets)
        self.home = origin_of(self._base) if config.base_url else None
        self.client = self._client(
            Transport(self.sockets, self._pool, config.headers, self.credentials, refuse),
            config.base_url,
            config.headers,
        )
        self._foreign = self._client(Transport(self.sockets, self._others, {}, None, refuse), "", {})
        self._pace = RateLimit(options.requests_per_second, options.burst) if options.requests_per_second else None

    def _client(self, transport: Transport, base_url: str, own: Mapping[str, str]) -> httpx.Client:
        # Accept only encodings that `bodies` decodes within limits. trust_env: ignore the environment and .netrc.
        headers = {"User-Agent": "aetherflow", "Accept": "*/*", "Accept-Encoding": "gzip, deflate"}
        hooks = {"request": [self._mark]}
        client = httpx.Client(
            transport=transport,
            base_url=base_url,
            headers=headers,
            timeout=self.timeout,
            trust_env=False,
            event_hooks=hooks,
        )
        for name in own:  # the resource's headers win over these defaults
            client.headers.pop(name, None)
        return client

    def _mark(self, request: httpx.Request) -> None:
        """Mark whether a request goes to the resource's own origin."""
        request.extensions[TRUSTED] = self.home is None or origin_of(request.url) == self.home

    def close(self) -> None:
        self.client.close()
        self._foreign.close()

    def secrets(self) -> Iterator[str]:
        return self.credentials.secrets() if self.credentials else iter(())

    # One request

    def send(self, call: HttpCall) -> httpx.Response:
        """Send a request, repeat it by the resource's rules, and return the response; its body has been read.

        `call.consume`, if given, reads the body; it is called again in every attempt. Raises ConnectorError if no
        response arrives or it is an error, UndecidedRequestError if the effect of the request is unknown.
        """
        most, retry = self.options.max_attempts, self.options.retry
        safe = self._judge.safe(call)
        interrupts = self.sockets.interrupts
        while True:
            call.attempt += 1
            call.moved = call.hops = 0
            if self._pace:
                self._pace.take(call.check)
            last = call.attempt >= most
            try:
                with self.sockets.deadline(self.options.timeouts.total):
                    response = self._follow(call)
                    pause = None if last or not safe else self._pause(call, response)
                    if pause is None:
                        return self._taken(call, response)
                response.close()
                reason = f"status {status_text(response)}"
            except (BodyTooLargeError, BadBodyError) as error:
                raise self._judge.unfit(call, error) from error
            except (httpx.TransportError, TokenError) as error:
                call.check()  # a cancelled step must end as cancelled, not with the error of the closed connection
                harmless = self._judge.never_sent(call, error)
                last = last or self.sockets.interrupts != interrupts
                if last or not (harmless or safe) or permanent(error):
                    raise self._judge.end(call, error, harmless or safe) from error
                pause = retry.wait_before(call.attempt + 1)
                reason = error.message if isinstance(error, TokenError) else reason_of(error)[0]
            self._again(call, pause, reason)

    def _pause(self, call: HttpCall, response: httpx.Response) -> float | None:
        """Seconds until the next attempt; None if the response is no reason for one."""
        retry = self.options.retry
        if response.status_code not in retry.retry_on or (
            call.expect is not None and call.expect(response.status_code)
        ):
            return None
        asked = retry_after(response.headers.get("retry-after"))
        if asked is None:
            return retry.wait_before(call.attempt + 1)
        return asked if asked <= retry.max_retry_after_seconds else None

    def _taken(self, call: HttpCall, response: httpx.Response) -> httpx.Response:
        """Check the response, let `call.consume` read it, and return it."""
        try:
            self._judge.check(call, response)
            if call.consume is not None:
                call.consume(response)
        finally:
            response.close()
        return response

    def _again(self, call: HttpCall, seconds: float, reason: str) -> None:
        if call.log is not None:
            of = f"attempt {call.attempt} of {self.options.max_attempts}"
            call.log.warning("%s: %s: %s; again in %.1f s", shown(call, self.url_of(call)), of, reason, seconds)
        wait(seconds, call.check)

    # Redirects

    def _follow(self, call: HttpCall) -> httpx.Response:
        """Send the request and follow the redirects that the resource allows."""
        request, stream = self._build(call), call.consume is not None
        client = self.client
        while True:
            if not self._at_home(request.url, call):
                client = self._foreign  # stays: a foreign host must not redirect back to a request with credentials
            try:
                response = client.send(request, stream=stream, follow_redirects=False)
            except ClearTextError as error:
                if call.hops and not self._judge.safe(call):  # the request before the redirect was carried out
                    raise UndecidedRequestError(error.message, fix=error.fix) from error
                raise
            if self.options.redirects == "never" or not response.has_redirect_location:
                return response
            response.close()
            if call.hops >= self.options.max_redirects:
                raise self._judge.refused(
                    call, response, f"more than {self.options.max_redirects} redirects", "check path"
                )
            request = self._redirected(call, request, response)
            call.hops += 1

    def _build(self, call: HttpCall) -> httpx.Request:
        extensions: dict[str, Any] = {CALL: call}
        limit = self.options.max_body_bytes if call.limit is None else call.limit
        if limit >= 0:
            extensions |= {LIMIT: limit, LIMIT_FIX: limit_words(call)}
        headers = dict(call.headers or {})
        if call.prepare is not None:
            headers |= call.prepare()
        if self._content_type and not any(each.lower() == "content-type" for each in headers):
            headers["Content-Type"] = self._content_type  # otherwise httpx sets one by the kind of body
        name = self.options.idempotency_header
        if call.idempotency_key and name and call.method in ("POST", "PATCH"):
            headers.setdefault(name, call.idempotency_key)
        try:
            return self.client.build_request(
                call.method,
                self.url_of(call),
                params=call.params or None,
                headers=headers,
                json=call.json,
                data=call.data,
                files=call.files,
                content=call.content,
                timeout=self.timeout if call.timeout is None else call.timeout,
                extensions=extensions,
            )
        except (httpx.InvalidURL, UnicodeEncodeError, ValueError, TypeError) as error:
            raise self._judge.error(
                call, f"the request cannot be built: {error}", "check path, params and headers"
            ) from error

    def _redirected(self, call: HttpCall, request: httpx.Request, response: httpx.Response) -> httpx.Request:
        try:
            target = request.url.join(response.headers["location"])
        except httpx.InvalidURL as error:
            raise self._judge.refused(
                call, response, "redirected to an address that is none", "ask those who run the peer"
            ) from error
        shown = shown_url(target, hide_path=call.secret_path)
        if request.url.scheme == "https" and target.scheme != "https":
            raise self._judge.refused(
                call, response, f"redirected from https to {shown}, in clear text", "this is never followed"
            )
        abroad = origin_of(target) != origin_of(request.url)
        if abroad and self.options.redirects == "same_host":
            raise self._judge.refused(
                call, response, f"redirected to another host, {shown}", "options.redirects: any allows that"
            )
        method, keep = request.method, response.status_code in (307, 308)
        if not keep and (response.status_code == 303 or method == "POST"):
            method = method if method in ("GET", "HEAD") else "GET"
        with_body = keep and method not in ("GET", "HEAD")
        if with_body and abroad:
            raise self._judge.refused(
                call, response, f"redirected with its body to another host, {shown}", "this is never followed"
            )
        extensions = {key: value for key, value in request.extensions.items() if key != TRUSTED}
        if abroad:
            headers = [(name, value) for name, value in request.headers.items() if name in _TO_OTHERS]
        else:
            dropped = ("host", "cookie") if with_body else ("host", "cookie", *_OF_A_BODY)
            headers = [(name, value) for name, value in request.headers.multi_items() if name not in dropped]
        if with_body:  # httpx adds no Host header to a request that is made from a stream
            headers.append(("host", target.netloc.decode("ascii")))
        stream = request.stream if with_body else None
        cookies = None if abroad else self.client.cookies
        return httpx.Request(method, target, headers=headers, cookies=cookies, stream=stream, extensions=extensions)

    def _at_home(self, url: httpx.URL, call: HttpCall) -> bool:
        home = self.home or origin_of(self.url_of(call))
        return origin_of(url) == home

    def url_of(self, call: HttpCall) -> httpx.URL:
        """The absolute URL of a call, without its parameters."""
        return self._judge.url_of(call)

    def _post(self, url: str, body: bytes, headers: list[tuple[bytes, bytes]]) -> httpx.Response:
        """Send a form to a token server, without the resource's headers and client certificate; read the response."""
        request = httpx.Request("POST", url, headers=headers, content=body)
        request.extensions = {
            "timeout": self.timeout.as_dict(), LIMIT: 1 << 20, LIMIT_FIX: ("the limit", "check auth.token_url"),
        }  # fmt: skip
        response = Transport(self.sockets, self._others, {}, None, self.refuse).handle_request(request)
        try:
            response.read()
        finally:
            response.close()
        return response
