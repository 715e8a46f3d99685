"""Any HTTP connector as the steps use it: of its own rules (SendsCalls), or with `request` alone."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from aetherflow.core.api import AetherflowError, ConnectorError, HttpCall, HttpConnector, Lack, SendsCalls, wrong_result
from aetherflow_builtins_rest.call import absolute, limit_words, shown
from aetherflow_builtins_rest.failures import StatusError, UndecidedRequestError, status_fix, status_text

if TYPE_CHECKING:
    import httpx

MAX_BODY_BYTES = 32 * 1024 * 1024
"""Most bytes of a response, where neither the call nor the connector has a limit."""
_UNDECIDED = frozenset({502, 504})
_BLOCK = 1 << 18
_ASK = "look at the peer, then resume with --decide; `keyed: true` allows repeats where the peer honours the key"
_OF_THE_WIRE = ("content-encoding", "content-length", "transfer-encoding")


def lacks_of(connector: type) -> Iterator[Lack]:
    """What a connector class lacks for sending requests."""
    if not callable(getattr(connector, "request", None)):
        yield Lack("is no HttpConnector, and lacks request(): nothing can be sent")
    elif not hasattr(connector, "send"):
        yield Lack("lacks send(): a response is held in memory as a whole, and nothing is retried", refused=False)


class Http:
    """An HTTP connector, of whichever of the two kinds."""

    def __init__(self, connector: Any) -> None:
        self.connector = connector
        self._published = isinstance(connector, HttpConnector)

    @property
    def label(self) -> str:
        """The name of this resource in messages."""
        who = self.connector
        return f"resource {who.name} ({who.kind}:{who.driver})"

    @property
    def base_url(self) -> "httpx.URL":
        """The URL below which paths are."""
        import httpx

        if self._published:
            return httpx.URL(self.connector.base_url)
        config = getattr(self.connector, "config", None) or {}
        return httpx.URL(str(config.get("base_url") or "").rstrip("/"))

    def url_of(self, call: HttpCall) -> "httpx.URL":
        """The absolute URL of a call, without its parameters; ConnectorError if it is none."""
        import httpx

        try:
            return absolute(self.base_url, call.url)
        except httpx.InvalidURL as error:
            raise ConnectorError(f"{self.label}: {error}", fix="check path") from error

    def secrets(self) -> Iterable[str]:
        """Secrets that are in no setting."""
        found: Iterable[str] = self.connector.secrets() if self._published else ()
        return found

    def without_key(self, url: "httpx.URL") -> "httpx.URL":
        """The URL without what the connector itself adds to every query."""
        found: httpx.URL = self.connector.without_key(url) if self._published else url
        return found

    @property
    def follows_abroad(self) -> bool:
        """Whether next pages may be on another host."""
        return self._published and bool(self.connector.follows_abroad)

    def send(self, call: HttpCall) -> "httpx.Response":
        """Send a call. Raises ConnectorError, and UndecidedRequestError if the effect is unknown."""
        if isinstance(self.connector, SendsCalls):
            return self.connector.send(call)
        call.attempt += 1
        call.check()
        response = self._requested(call)
        call.moved = len(response.content)
        self._judge(call, response)
        limit = MAX_BODY_BYTES if call.limit is None else call.limit
        if 0 <= limit < call.moved:
            name, fix = limit_words(call)
            text = f"the response has {call.moved:,} bytes; {name} is {limit:,}"
            raise self._error(call, text, fix, undecided=not call.repeatable)
        if call.consume is not None:
            call.consume(_again(response))
        return response

    def _requested(self, call: HttpCall) -> "httpx.Response":
        import httpx

        headers = {**(call.headers or {}), **(call.prepare() if call.prepare is not None else {})}
        if call.idempotency_key and call.method in {"POST", "PATCH"}:
            headers.setdefault("Idempotency-Key", call.idempotency_key)
        given = {name: getattr(call, name) for name in ("json", "data", "files", "content", "timeout")}
        more = {name: value for name, value in given.items() if value is not None}
        try:
            response: Any = self.connector.request(
                call.method, call.url, params=call.params or None, headers=headers, **more
            )
        except AetherflowError:
            call.check()  # a cancelled step must end as cancelled
            raise
        except Exception as error:
            call.check()
            text = ": ".join(filter(None, (type(error).__name__, " ".join(str(error).split()))))
            if not call.repeatable:
                text += "; whether the request had its effect is not known"
            raise self._error(call, text, "check the address and the network", undecided=not call.repeatable) from error
        if not isinstance(response, httpx.Response):
            wrong = wrong_result(self.connector, "request", response, "a response of httpx")
            raise wrong if call.repeatable else UndecidedRequestError(wrong.message, fix=wrong.fix)
        try:
            response.request  # noqa: B018 it raises where the connector has made the response itself
        except RuntimeError:
            response.request = httpx.Request(call.method, self.url_of(call))
        response.read()
        return response

    def _judge(self, call: HttpCall, response: "httpx.Response") -> None:
        status = response.status_code
        if call.expect(status) if call.expect is not None else status < 400 and not response.has_redirect_location:
            return
        text = f"answered {status_text(response)}"
        if status in _UNDECIDED and not call.repeatable:
            raise self._error(call, f"{text}; whether it had its effect is not known", _ASK, undecided=True)
        name = f"{self.label}: {shown(call, self.url_of(call))}"
        raise StatusError(f"{name}: {text}", fix=status_fix(response), status=status)

    def _error(self, call: HttpCall, text: str, fix: str, *, undecided: bool) -> ConnectorError:
        kind = UndecidedRequestError if undecided else ConnectorError
        return kind(f"{self.label}: {shown(call, self.url_of(call))}: {text}", fix=fix)


def _again(response: "httpx.Response") -> "httpx.Response":
    """A response that has been read, as one whose body is still to come."""
    import httpx

    class Body(httpx.SyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            view = response.content
            for start in range(0, len(view), _BLOCK):
                yield view[start : start + _BLOCK]

    headers = [(name, value) for name, value in response.headers.multi_items() if name.lower() not in _OF_THE_WIRE]
    return httpx.Response(
        response.status_code, headers=headers, stream=Body(), request=response.request, extensions={"packed": False}
    )
