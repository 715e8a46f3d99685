"""Errors of requests, and their messages and advice."""

import ssl

import httpx

from aetherflow.core.api import ConnectorError, UndecidedStepError

BEFORE_SENDING = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError)
"""Errors after which no part of the request has reached the server."""


class PartError(httpx.RemoteProtocolError):
    """The server did not send the requested part of a file; the request is repeated as after a broken connection."""


class SlowError(httpx.ReadTimeout):
    """An answer came, but too slowly for too long."""


class StatusError(ConnectorError):
    """The server's response has an error status, `status`."""

    def __init__(self, message: str, *, fix: str, status: int) -> None:
        super().__init__(message, fix=fix)
        self.status = status


class UndecidedRequestError(ConnectorError, UndecidedStepError):
    """A request that must not be repeated was sent, and its effect is unknown."""

    code = UndecidedStepError.code


def certificate_error(error: BaseException | None) -> ssl.SSLError | None:
    """The TLS error behind an error, None if there is none. Another attempt would fail, too."""
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return error
        # a connection that broke has another number, whatever its reason says, or the library SYS
        if isinstance(error, ssl.SSLError) and (error.library, error.errno) == ("SSL", ssl.SSL_ERROR_SSL):
            return error
        error = error.__cause__ or error.__context__
    return None


def reason_of(error: Exception) -> tuple[str, str]:
    """The message for a transport error, and the advice."""
    tls = certificate_error(error)
    if isinstance(tls, ssl.SSLCertVerificationError):
        return (
            f"the peer's certificate is not accepted: {tls.verify_message or tls.reason}",
            "check the host name of base_url and config.ca_file; options.verify_ssl: false gives the check up",
        )
    if tls is not None:
        return f"TLS failed: {tls.reason or tls}", "the peer must offer TLS 1.2 or newer; check the port of base_url"
    text = " ".join(str(error).split()) or type(error).__name__
    match error:
        case PartError():
            return text, "options.retry.max_attempts tries again"
        case httpx.ConnectTimeout():
            return "no connection within the time limit", "check host, port and network, or raise options.timeout"
        case httpx.ProxyError():
            return f"the proxy refused: {text}", "check config.proxy"
        case httpx.ConnectError():
            return f"no connection: {text}", "check host and port of base_url, and whether the peer runs"
        case httpx.PoolTimeout():
            return "no connection of the pool became free", "raise options.pool.max_connections"
        case httpx.ReadTimeout():
            reason = text if isinstance(error, SlowError) else "no answer within the time limit"
            return reason, "raise options.timeout or options.timeouts.read"
        case httpx.WriteTimeout():
            return "the peer took nothing more within the time limit", "raise options.timeouts.write"
        case httpx.UnsupportedProtocol():
            return f"not an http or https URL: {text}", "check base_url and path"
        case httpx.LocalProtocolError():  # its own text quotes the header, which may hold a token
            return "the request cannot be sent: a header is not allowed to be so", (
                "check headers and tokens: a line break at the end, say, as a file has it"
            )
        case _:
            return f"the connection broke: {text}", "options.retry.max_attempts tries again"


def status_text(response: httpx.Response) -> str:
    """Status and phrase: `503 Service Unavailable`."""
    return f"{response.status_code} {response.reason_phrase}".strip()


def status_fix(response: httpx.Response) -> str:
    """The advice for an error status."""
    status = response.status_code
    if response.has_redirect_location:
        return "set options.redirects of the resource, or ask for the new address"
    hints = {
        401: "check the credentials of the resource",
        403: "these credentials may not do this",
        404: "check base_url and path",
        405: "check the method",
        407: "check the user and password in config.proxy",
        413: "send less at once",
        415: "check the Content-Type of the request",
        429: "set options.requests_per_second, or options.retry.max_attempts",
    }
    fallback = "options.retry.max_attempts tries again" if status in (502, 503, 504) else "ask those who run the peer"
    return hints.get(status, "check what is sent" if status < 500 else fallback)
