"""One SMTP session: connecting, encryption, login, and sending a mail (RFC 5321)."""

import smtplib
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from email.message import EmailMessage
from email.policy import Policy
from typing import Literal, TypeAlias

from aetherflow.core.api import MailReceipt
from aetherflow_builtins_transfer.mail.patient_smtp import Line, PatientSmtp
from aetherflow_builtins_transfer.mail.smtp_auth import log_in, whole

Tls: TypeAlias = Literal["none", "starttls", "implicit"]

TEMPORARY = range(400, 500)
_OK = (250, 251)
_DATA_GO = 354
_CLOSING = 421
_SLOWEST = 10_000
"""Bytes of a mail per second that a server has to take at least."""


@dataclass(frozen=True, slots=True)
class Server:
    """Address, encryption and account of an SMTP server; `timeout` in seconds."""

    host: str
    port: int
    tls: Tls
    timeout: float
    username: str | None = None
    password: str | None = None
    allow_plaintext_auth: bool = False


class RefusedError(Exception):
    """The server refused, so the mail was not sent; `temporary`: a later attempt may succeed."""

    def __init__(self, said: str, *, temporary: bool, fix: str = "") -> None:
        super().__init__(said)
        self.temporary = temporary
        self.fix = fix


class MaybeAcceptedError(Exception):
    """The connection broke between the end of the mail and the server's answer."""


def begin(line: Line, server: Server, context: ssl.SSLContext) -> PatientSmtp:
    """Begin a session on a new connection, encrypted and logged in as `server` requires.

    Raises OSError (including ssl.SSLError), SMTPException and RefusedError.
    """
    implicit = context if server.tls == "implicit" else None
    smtp = PatientSmtp(line, server.host, server.timeout, implicit)
    try:
        _greet(smtp)
        if server.tls == "starttls":
            _start_tls(smtp, context)
        if server.username is not None and server.password is not None:
            encrypted = server.tls != "none"
            if not encrypted and not server.allow_plaintext_auth:
                raise RefusedError(
                    "it would send the password unencrypted",
                    temporary=False,
                    fix="set tls: starttls or implicit, or config.allow_plaintext_auth: true for a server on this host",
                )
            log_in(smtp, server.username, server.password, encrypted=encrypted)
    except BaseException:
        smtp.close()
        raise
    return smtp


def _greet(smtp: smtplib.SMTP) -> None:
    code, words = smtp.ehlo()
    if code not in _OK:
        code, words = whole(smtp.helo())
    if code not in _OK:
        raise _refusal("the greeting", code, words)


def _start_tls(smtp: PatientSmtp, context: ssl.SSLContext) -> None:
    if not smtp.has_extn("starttls"):
        raise RefusedError(
            "the server does not offer STARTTLS: it cannot encrypt, or a third party in between removed the offer",
            temporary=False,
            fix="ask for the server's encrypted port (tls: implicit, often 465); tls: none sends everything readable",
        )
    try:
        with smtp.in_time():
            smtp.starttls(context=context)
    except smtplib.SMTPResponseException as error:
        raise _refusal("STARTTLS", error.smtp_code, error.smtp_error) from error
    _greet(smtp)


def hand_over(
    smtp: PatientSmtp,
    message: EmailMessage,
    sender: str,
    recipients: Sequence[str],
    policy: Policy,
    *,
    all_or_none: bool,
) -> MailReceipt:
    """Send one mail.

    RefusedError, SMTPServerDisconnected and OSError mean that it was not sent; MaybeAcceptedError that the outcome is
    unknown. With `all_or_none`, one refused recipient prevents the delivery to all.
    """
    data = _dotted(message.as_bytes(policy=policy))
    _check_size(smtp, len(data))
    options = [f"SIZE={len(data)}"] if smtp.has_extn("size") else []
    _expect(smtp, "the sender", smtp.mail(sender, options))
    refused: dict[str, str] = {}
    temporary = True
    for recipient in recipients:
        code, words = whole(smtp.rcpt(recipient))
        if code == _CLOSING:
            raise _refusal("a recipient", code, words)
        if code not in _OK:
            refused[recipient] = _said(code, words)
            temporary &= code in TEMPORARY
    accepted = tuple(recipient for recipient in recipients if recipient not in refused)
    if refused and (all_or_none or not accepted):
        _reset(smtp)
        named = "; ".join(f"{address} ({said})" for address, said in refused.items())
        raise RefusedError(
            f"recipients refused: {named}; nobody got the mail",
            temporary=temporary,
            fix="correct the addresses" + ("" if not accepted else ", or let on_refused: report send it to the others"),
        )
    code, words = whole(smtp.docmd("DATA"))
    if code != _DATA_GO:
        _reset(smtp)
        raise _refusal("DATA", code, words)
    _send_data(smtp, data)
    return MailReceipt(str(message["Message-ID"]), accepted, refused, len(data))


def _send_data(smtp: PatientSmtp, data: bytes) -> None:
    """Send the content. The server cannot have accepted the mail before the last byte of the end mark was sent."""
    with smtp.in_time(len(data) / _SLOWEST):
        smtp.send(data[:-1])
    try:
        smtp.send(data[-1:])
        code, words = whole(smtp.getreply())
    except (OSError, smtplib.SMTPException) as error:
        smtp.close()
        raise MaybeAcceptedError(str(error)) from error
    if code not in _OK:
        raise _refusal("the mail", code, words)


def _dotted(content: bytes) -> bytes:
    """The content for DATA (RFC 5321, 4.5.2): CRLF line ends, leading dots doubled, and the end mark."""
    lines = content.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
    if lines and not lines[-1]:
        lines.pop()
    return b"\r\n".join(b"." + line if line.startswith(b".") else line for line in lines) + b"\r\n.\r\n"


def _check_size(smtp: smtplib.SMTP, size: int) -> None:
    limit = smtp.esmtp_features.get("size", "")
    if limit.isdigit() and 0 < int(limit) < size:
        raise RefusedError(
            f"the mail has {size:,} bytes, and the server takes {int(limit):,}",
            temporary=False,
            fix="attach less: zip the files, or send a link to them",
        )


def _expect(smtp: smtplib.SMTP, what: str, answer: tuple[int, bytes]) -> None:
    code, words = whole(answer)
    if code not in _OK:
        _reset(smtp)
        raise _refusal(what, code, words)


def _reset(smtp: smtplib.SMTP) -> None:
    """Reset the session for another mail; errors are ignored, because the refusal is already known."""
    try:
        smtp.rset()
    except (OSError, smtplib.SMTPException):
        smtp.close()


def _refusal(what: str, code: int, words: bytes | str) -> RefusedError:
    fix = "try again later" if code in TEMPORARY else "see what the server says"
    return RefusedError(f"the server refused {what}: {_said(code, words)}", temporary=code in TEMPORARY, fix=fix)


def _said(code: int, words: bytes | str) -> str:
    text = words if isinstance(words, str) else words.decode("utf-8", "replace")
    return f"{code} {' '.join(text.split())}".strip()


def is_alive(smtp: smtplib.SMTP) -> bool:
    """Whether the server still answers on this connection."""
    try:
        return smtp.noop()[0] == 250
    except (OSError, smtplib.SMTPException):
        return False
