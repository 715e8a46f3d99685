"""Logs in to an SMTP server with UTF-8 credentials; smtplib's own login supports ASCII passwords only."""

import base64
import hmac
import smtplib
from collections.abc import Callable

Reply = tuple[int, bytes]
CODES = range(200, 600)
_CONTINUE, _ACCEPTED = 334, (235, 503)  # 503: already logged in


def whole(answer: Reply) -> Reply:
    """Return a complete answer; SMTPServerDisconnected for a truncated code, such as `25`, which smtplib accepts."""
    if answer[0] not in CODES:
        raise smtplib.SMTPServerDisconnected("the connection broke within an answer")
    return answer


def log_in(smtp: smtplib.SMTP, username: str, password: str, *, encrypted: bool) -> None:
    """Log in by the first method that both sides support.

    Without encryption CRAM-MD5, which does not reveal the password, is preferred. SMTPAuthenticationError with the
    server's message if it refuses, SMTPNotSupportedError if there is no common method.
    """
    offered = smtp.esmtp_features.get("auth", "").upper().split()
    methods: dict[str, Callable[[smtplib.SMTP, bytes, bytes], Reply]] = {
        "PLAIN": _plain,
        "LOGIN": _login,
        "CRAM-MD5": _cram_md5,
    }
    order = list(methods) if encrypted else ["CRAM-MD5", "PLAIN", "LOGIN"]
    usable = [name for name in order if name in offered]
    if not usable:
        raise smtplib.SMTPNotSupportedError("the server offers no way to log in that is known here")
    code, words = whole(methods[usable[0]](smtp, username.encode(), password.encode()))
    if code not in _ACCEPTED:
        raise smtplib.SMTPAuthenticationError(code, words)


def _plain(smtp: smtplib.SMTP, username: bytes, password: bytes) -> Reply:
    secret = _base64(b"\0" + username + b"\0" + password)
    return smtp.docmd("AUTH", f"PLAIN {secret}")


def _login(smtp: smtplib.SMTP, username: bytes, password: bytes) -> Reply:
    code, words = smtp.docmd("AUTH", "LOGIN")
    if code == _CONTINUE:
        code, words = smtp.docmd(_base64(username))
    if code == _CONTINUE:
        code, words = smtp.docmd(_base64(password))
    return code, words


def _cram_md5(smtp: smtplib.SMTP, username: bytes, password: bytes) -> Reply:
    code, words = smtp.docmd("AUTH", "CRAM-MD5")
    if code != _CONTINUE:
        return code, words
    digest = hmac.new(password, base64.b64decode(words), "md5").hexdigest()
    return smtp.docmd(_base64(username + b" " + digest.encode()))


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
