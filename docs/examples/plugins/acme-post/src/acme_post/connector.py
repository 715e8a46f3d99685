"""The connector `mail.acme_post`."""

import contextlib
import json
import socket
import ssl
import threading
from collections.abc import Mapping
from email.message import EmailMessage
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Annotated, Any
from urllib.parse import quote, urlsplit

from pydantic import Field, SecretStr, field_validator

from acme_post.form import NotInThisFormError, form_of
from aetherflow.core.api import (
    AssetPath,
    ConnectorConfig,
    ConnectorError,
    ConnectorInit,
    ConnectorOptions,
    Envelope,
    Holds,
    InsecureWhen,
    MailConnector,
    MailError,
    MailReceipt,
    MailUnknownError,
    PlainText,
)


def _is_plain(url: object) -> bool:
    return str(url).startswith("http://")


class Config(ConnectorConfig):
    """Address of the API, and account."""

    url: Annotated[str, Holds.HOST, InsecureWhen(_is_plain)] = Field(
        "https://api.post.acme.example", description="Address of the API; the token is sent there."
    )
    token: SecretStr = Field(description="Bearer token of the account.")
    from_addr: PlainText | None = Field(None, min_length=3, description='Default sender: `"Reports" <r@example.com>`.')
    ca_file: AssetPath | None = Field(None, description="Certificates to trust instead of the system's.")

    @field_validator("url")
    @classmethod
    def _has_a_host(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("url must begin with https:// and a host")
        return url.rstrip("/")


class Options(ConnectorOptions):
    """How the API is called."""

    timeout: float = Field(30.0, gt=0, description="Seconds to wait for a connection, and for an answer.")
    max_bytes: int = Field(10_000_000, ge=1, description="Most bytes that a mail may have.")


class NoAnswerError(ConnectorError):
    """The request was sent, at least in part, and its answer was lost."""


class AcmePost(MailConnector[Config, Options]):
    """Sends mails through the HTTP API of Acme Post.

    The Message-ID is the idempotency key: a mail that is handed over again, by whatever run, is delivered once.

        resources:
          post:
            kind: mail
            driver: acme_post
            config: {token: "{{env.ACME_POST_TOKEN}}", from_addr: reports@example.com}
    """

    def __init__(self, init: ConnectorInit) -> None:
        super().__init__(init)
        self._lock = threading.Lock()
        self._calls: set[HTTPConnection] = set()

    @property
    def sender(self) -> str | None:
        """The setting `from_addr`."""
        return self.conf.from_addr

    @property
    def max_bytes(self) -> int | None:
        """The option of that name."""
        return self.opts.max_bytes

    def send(self, message: EmailMessage, envelope: Envelope) -> MailReceipt:
        """One request, whose idempotency key is the Message-ID."""
        message_id = str(message["Message-ID"])
        try:
            body = json.dumps(form_of(message, envelope)).encode()
        except NotInThisFormError as error:
            raise MailError(self._text(str(error)), fix="send it as a file, or by SMTP") from error
        try:
            return _receipt(self._call("POST", "/v1/messages", body, {"Idempotency-Key": message_id}))
        except NoAnswerError as lost:
            fix = "look into the API's list of mails; sent again with the same Message-ID it is delivered once"
            raise MailUnknownError(str(lost), fix=fix) from lost

    def find(self, message_id: str) -> MailReceipt | None:
        """The receipt of a mail that the API has accepted; None if it has none of this Message-ID."""
        found = self._call("GET", f"/v1/messages?message_id={quote(message_id, safe='')}")["messages"]
        return _receipt(found[0]) if found else None

    def delivery(self, message_id: str) -> Mapping[str, str]:
        """Recipient to what became of an accepted mail: `queued`, `delivered` or `bounced`. Raises ConnectorError."""
        found = self._call("GET", f"/v1/messages?message_id={quote(message_id, safe='')}")["messages"]
        if not found:
            raise MailError(self._text(f"no mail {message_id} is known"), fix="look for the Message-ID that was sent")
        return dict(found[0]["deliveries"])

    def probe(self) -> None:
        """Ask for the account."""
        self._call("GET", "/v1/account")

    def interrupt(self) -> None:
        """End the calls that wait."""
        with self._lock:
            for call in self._calls:
                with contextlib.suppress(OSError):  # it has ended meanwhile
                    socket.socket.shutdown(call.sock, socket.SHUT_RDWR)  # wakes who reads, also below TLS

    def _call(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        """The answer. Raises MailError if nothing was sent or it was refused, NoAnswerError for a lost answer."""
        call = self._connection()
        try:
            try:
                call.connect()
            except OSError as error:
                fix = "check config.url, and whether the API can be reached from this machine"
                raise MailError(self._text(f"{self.conf.url} cannot be reached: {error}"), fix=fix) from error
            with self._lock:
                self._calls.add(call)
            try:
                path = urlsplit(self.conf.url).path + path
                call.request(method, path, body, self._headers(body is not None) | dict(headers or {}))
                answer = call.getresponse()
                text = answer.read()
            except (OSError, HTTPException) as error:
                reason = str(error) or type(error).__name__
                raise NoAnswerError(self._text(f"the answer of {self.conf.url} was lost: {reason}")) from error
        finally:
            with self._lock:
                self._calls.discard(call)
            call.close()
        return self._judged(answer.status, text)

    def _judged(self, status: int, text: bytes) -> dict[str, Any]:
        try:
            found = dict[str, Any](json.loads(text))
        except (ValueError, TypeError) as error:
            raise NoAnswerError(self._text(f"{self.conf.url} answered {status} without JSON")) from error
        if status in (200, 201):
            return found
        reason = " ".join(str(found.get("error", "no reason")).split())
        if status >= 500:
            raise NoAnswerError(self._text(f"{self.conf.url} answered {status}: {reason}"))
        fix = "check config.token" if status in (401, 403) else "correct the mail as the reason says"
        raise MailError(self._text(f"{self.conf.url} refused it with {status}: {reason}"), fix=fix)

    def _connection(self) -> HTTPConnection:
        parts = urlsplit(self.conf.url)
        host, timeout = parts.hostname or "", self.opts.timeout
        if parts.scheme == "http":
            return HTTPConnection(host, parts.port, timeout=timeout)
        path = self.conf.ca_file
        file = self.ctx.asset_path(path) if path is not None and self.ctx is not None else path
        return HTTPSConnection(host, parts.port, timeout=timeout, context=ssl.create_default_context(cafile=file))

    def _headers(self, has_body: bool) -> dict[str, str]:
        found = {"Authorization": f"Bearer {self.conf.token.get_secret_value()}", "Accept": "application/json"}
        return found | ({"Content-Type": "application/json"} if has_body else {})

    def _text(self, message: str) -> str:
        return f"resource {self.name} ({self.kind}:{self.driver}): {message}"


def _receipt(found: Mapping[str, Any]) -> MailReceipt:
    return MailReceipt(found["message_id"], tuple(found["accepted"]), dict(found["refused"]), found["size"])
