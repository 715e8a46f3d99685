"""Decides what a response or a failure means for a request: its error, and whether its effect is known."""

import contextlib

import httpx

from aetherflow.core.api import ConnectorError, HttpCall
from aetherflow_builtins_rest.auth import TokenError
from aetherflow_builtins_rest.bodies import BadBodyError, BodyTooLargeError, start_of
from aetherflow_builtins_rest.call import absolute, shown
from aetherflow_builtins_rest.failures import (
    BEFORE_SENDING,
    StatusError,
    UndecidedRequestError,
    certificate_error,
    reason_of,
    status_fix,
    status_text,
)
from aetherflow_builtins_rest.network import Sockets
from aetherflow_builtins_rest.settings import Options

SHOWN_BODY = 300
MOST_URLS = 256
"""Most cached URLs. Parsing a URL takes a tenth of the time of a small request."""
_ASK = "look at the peer, then resume with --decide; `keyed: true` allows repeats where the peer honours the key"
_UNSENDABLE = (httpx.UnsupportedProtocol, httpx.LocalProtocolError)
_UNDECIDED = frozenset({502, 504})
"""Statuses by which a gateway says that it does not know the outcome of a request."""


class ResponseJudge:
    """Judges responses and failures of one resource's requests; its errors name the resource."""

    def __init__(self, label: str, options: Options, base: httpx.URL, sockets: Sockets) -> None:
        self._label = label
        self._options = options
        self._base = base
        self._sockets = sockets
        self._urls: dict[str, httpx.URL] = {}

    def safe(self, call: HttpCall) -> bool:
        """Whether a request may be sent again, even if it had its effect."""
        return call.repeatable or self._options.retry.unsafe_methods

    def never_sent(self, call: HttpCall, error: Exception) -> bool:
        """Whether the server cannot have received any part of the request."""
        return call.hops == 0 and isinstance(error, (*BEFORE_SENDING, TokenError, *_UNSENDABLE))

    def refused(self, call: HttpCall, response: httpx.Response, text: str, fix: str) -> ConnectorError:
        """The error for a redirect that is not followed. After 301, 302 and 303 a POST may have been carried out."""
        if response.status_code not in (307, 308) and not self.safe(call):
            return UndecidedRequestError(self._text(call, f"{text}; the request may have been carried out"), fix=fix)
        return self.error(call, text, fix)

    def check(self, call: HttpCall, response: httpx.Response) -> None:
        """Raise StatusError for an error status, UndecidedRequestError if the effect of the request is unknown."""
        status = response.status_code
        if call.expect is not None:
            fine = call.expect(status)
        else:
            fine = not self._options.raise_for_status or (status < 400 and not response.has_redirect_location)
        if fine:
            return
        body = ""
        if self._options.show_error_body:
            with contextlib.suppress(httpx.HTTPError, ConnectorError):
                start = start_of(response.iter_bytes(), SHOWN_BODY * 4)
                text = start.decode(response.encoding or "utf-8", "replace")
                body = f": {' '.join(text[:SHOWN_BODY].split())}"
        text = f"answered {status_text(response)}{self._of(call)}{body}"
        moved_on = call.hops > 0 or (response.has_redirect_location and status not in (307, 308))
        if (status in _UNDECIDED or moved_on) and not self.safe(call):
            raise UndecidedRequestError(self._text(call, f"{text}; whether it had its effect is not known"), fix=_ASK)
        asked = response.headers.get("retry-after")
        if asked and status in self._options.retry.retry_on:
            text += f"; it asks to wait {asked[:40]}{'' if not asked.isdecimal() else ' s'}"
        raise StatusError(self._text(call, text), fix=status_fix(response), status=status)

    def _failed(self, call: HttpCall, error: Exception) -> ConnectorError:
        reason, fix = reason_of(error)
        if self._sockets.expired:
            reason, fix = f"not done within {self._options.timeouts.total:g} s", "raise options.timeouts.total"
        return ConnectorError(self._text(call, f"{reason}{_moved(call)}{self._of(call)}"), fix=fix)

    def unfit(self, call: HttpCall, error: BodyTooLargeError | BadBodyError) -> ConnectorError:
        """The error for a response body that is too large or cannot be decompressed."""
        if self.safe(call):
            return type(error)(self._text(call, error.message), fix=error.fix)
        return UndecidedRequestError(self._text(call, f"{error.message}; the request was carried out"), fix=error.fix)

    def end(self, call: HttpCall, error: Exception, sure: bool) -> ConnectorError:
        """The error after the last attempt; `sure`: the request had no effect, or may be sent again."""
        if isinstance(error, TokenError):
            return TokenError(f"{self._label}: {error.message}{self._of(call)}", fix=error.fix)
        if sure:
            return self._failed(call, error)
        reason = reason_of(error)[0]
        text = f"{reason}{_moved(call)}{self._of(call)}; whether the request had its effect is not known"
        return UndecidedRequestError(self._text(call, text), fix=_ASK)

    def error(self, call: HttpCall, text: str, fix: str) -> ConnectorError:
        """A ConnectorError that names the resource and the request."""
        return ConnectorError(self._text(call, text), fix=fix)

    def _text(self, call: HttpCall, text: str) -> str:
        return f"{self._label}: {shown(call, self.url_of(call))}: {text}"

    def _of(self, call: HttpCall) -> str:
        most = self._options.max_attempts if self.safe(call) else call.attempt
        return f" (attempt {call.attempt} of {most})"

    def url_of(self, call: HttpCall) -> httpx.URL:
        """The absolute URL of a call, without its parameters."""
        found = self._urls.get(call.url)
        if found is None:
            if len(self._urls) >= MOST_URLS:
                self._urls.clear()
            found = self._urls[call.url] = self._absolute(call.url)
        return found

    def _absolute(self, path: str) -> httpx.URL:
        try:
            return absolute(self._base, path)
        except httpx.InvalidURL as error:
            raise ConnectorError(f"{self._label}: {error}", fix="check path") from error


def _moved(call: HttpCall) -> str:
    return f" after {call.moved:,} bytes" if call.moved else ""


def permanent(error: Exception) -> bool:
    """Whether another attempt would fail in the same way."""
    if isinstance(error, TokenError):
        return not error.transient
    return isinstance(error, _UNSENDABLE) or certificate_error(error) is not None
