"""A real mail server (aiosmtpd) in a thread of this process, with certificates of a test authority."""

import contextlib
import datetime as dt
import email.policy
import socket
import ssl
import threading
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest

from svc import free_port

USER, PASSWORD = "u", "päss"


@dataclass
class Received:
    """One mail that the server accepted."""

    user: str | None
    encrypted: bool
    sender: str
    recipients: list[str]
    message: EmailMessage
    content: bytes


@dataclass
class Mailbox:
    """The server's behaviour and received mails. It rejects `nobody@…` permanently and `later@…` temporarily."""

    mails: list[Received] = field(default_factory=list)
    answer: str = "250 queued"
    """The server's answer after the mail's data."""
    on_data: Callable[[], None] = lambda: None
    hang_up: bool = False
    """Whether the server accepts the mail, but closes the connection without an answer."""
    logins: list[bool] = field(default_factory=list)
    full: bool = True
    """Whether it rejects `later@…`."""
    sessions: set[object] = field(default_factory=set)
    """What talks to a client right now; empty once the server is done with all that it got."""

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:  # noqa: N802
        if address.startswith("nobody@"):
            return "550 5.1.1 no such user"
        if self.full and address.startswith("later@"):
            return "452 4.2.2 mailbox full"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        self.on_data()
        if self.answer.startswith("2"):
            message = message_from_bytes(envelope.content, policy=email.policy.default)
            assert isinstance(message, EmailMessage)
            transport = server.transport
            self.mails.append(
                Received(
                    session.auth_data, transport.get_extra_info("ssl_object") is not None, envelope.mail_from,
                    list(envelope.rcpt_tos), message, envelope.content,
                )
            )  # fmt: skip
        if self.hang_up:
            self.hang_up = False
            server.transport.abort()
        return self.answer

    def authenticate(self, server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> Any:
        from aiosmtpd.smtp import AuthResult

        ok = (data.login, data.password) == (USER.encode(), PASSWORD.encode())
        self.logins.append(ok)
        return AuthResult(success=ok, handled=False, auth_data=USER if ok else None)  # handled=False: it answers 535


@dataclass(frozen=True)
class MailServer:
    """A running mail server."""

    port: int
    box: Mailbox
    ca_file: Path


@dataclass
class Certificates:
    """An authority, and server certificates: valid, for another name, expired, self-signed."""

    folder: Path

    def __post_init__(self) -> None:
        import trustme

        self.authority = trustme.CA()
        self.ca_file = self.folder / "ca.pem"
        self.authority.cert_pem.write_to_path(str(self.ca_file))

    def context(self, kind: str = "good") -> ssl.SSLContext:
        import trustme

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        past = dt.datetime.now(dt.UTC) - dt.timedelta(days=1)
        if kind == "wrong name":
            self.authority.issue_cert("mail.example.com").configure_cert(context)
        elif kind == "expired":
            self.authority.issue_cert("localhost", not_after=past).configure_cert(context)
        elif kind == "self-signed":
            trustme.CA().issue_cert("localhost").configure_cert(context)
        else:
            self.authority.issue_cert("localhost").configure_cert(context)
        if kind == "TLS 1.1":
            _allow_old_tls(context)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)
                context.maximum_version = ssl.TLSVersion.TLSv1_1
        return context


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


Start = Callable[..., MailServer]


@pytest.fixture
def start_mail_server(certificates: Certificates) -> Iterator[Start]:
    """`start("starttls" | "implicit" | "none", certificate=…, size=…)`; stopped at the end of the test.

    `box` is the `Mailbox` that controls the server; other options go to aiosmtpd.
    """
    from aiosmtpd.controller import Controller
    from aiosmtpd.smtp import SMTP

    class Counted(SMTP):
        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self.event_handler.sessions.add(self)

        def connection_lost(self, error: Exception | None) -> None:
            super().connection_lost(error)
            self.event_handler.sessions.discard(self)

    class AnyTls(Controller):
        def factory(self) -> SMTP:
            return Counted(self.handler, **self.SMTP_kwargs)

        def _trigger_server(self) -> None:
            plain = socket.create_connection((self.hostname, self.port), 5)
            with _any_client().wrap_socket(plain) if self.ssl_context else plain as stream:
                stream.recv(1024)

    with contextlib.ExitStack() as running:

        def start(
            tls: str = "starttls", *, certificate: str = "good", size: int = 0, box: Mailbox | None = None, **more: Any
        ) -> MailServer:
            box, port = box or Mailbox(), free_port()
            context = certificates.context(certificate) if tls != "none" else None
            options: dict[str, Any] = {"authenticator": box.authenticate, "data_size_limit": size or 50_000_000}
            if tls == "starttls":
                options |= {"tls_context": context, "require_starttls": True, "auth_required": True}
            else:  # aiosmtpd does not accept implicit TLS as TLS when it requires TLS
                options["auth_require_tls"] = False
            if tls == "implicit":
                options["ssl_context"] = context
            options |= more
            controller = AnyTls(box, hostname="127.0.0.1", port=port, server_hostname="localhost", **options)
            controller.start()
            running.callback(_stop, controller)
            return MailServer(port, box, certificates.ca_file)

        yield start


def _any_client() -> ssl.SSLContext:
    """A client context that accepts any server certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    _allow_old_tls(context)
    return context


def _allow_old_tls(context: ssl.SSLContext) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")


def _stop(controller: Any) -> None:
    with contextlib.suppress(Exception):
        controller.stop(no_assert=True)
    thread = getattr(controller, "_thread", None)
    if isinstance(thread, threading.Thread):
        thread.join(5)
