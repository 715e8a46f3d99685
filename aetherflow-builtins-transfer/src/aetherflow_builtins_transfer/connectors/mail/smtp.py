"""The mail driver `smtp`: an SMTP server (RFC 5321)."""

import smtplib
import ssl
import threading
import time
from collections.abc import Mapping
from email.message import EmailMessage
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import AliasChoices, Field, SecretStr, ValidationError, model_validator

from aetherflow.core.api import (
    AssetPath,
    Backoff,
    ConnectorInit,
    Envelope,
    Flag,
    Holds,
    InsecureWhen,
    MailError,
    MailReceipt,
    MailUnknownError,
    PlainText,
    StepInputs,
)
from aetherflow_builtins_transfer.connectors.mail.base import MailBase, MailConfig, MailOptions
from aetherflow_builtins_transfer.mail.message import POLICY, texts_of
from aetherflow_builtins_transfer.mail.patient_smtp import Line, PatientSmtp
from aetherflow_builtins_transfer.mail.smtp_auth import CODES
from aetherflow_builtins_transfer.mail.smtp_session import (
    TEMPORARY,
    MaybeAcceptedError,
    RefusedError,
    Server,
    Tls,
    begin,
    hand_over,
    is_alive,
)
from aetherflow_builtins_transfer.opening import open_unless

_ENCRYPT = "set tls: starttls or implicit; config.allow_plaintext_auth: true accepts the risk"
_IMPLICIT_PORT, _SUBMISSION_PORT = 465, 587


class Config(MailConfig):
    """Address of the server, and account."""

    host: Annotated[str, Holds.HOST] = Field(
        min_length=1, description="Name of the server; its certificate must be for this name."
    )
    port: int = Field(_SUBMISSION_PORT, ge=1, le=65535, description="Its port.")
    username: PlainText | None = Field(
        None,
        min_length=1,
        validation_alias=AliasChoices("username", "user"),
        description="Account to log in with. Also spelt `user`.",
    )
    password: SecretStr | None = Field(None, description="Its password.")
    tls: Annotated[Tls | None, InsecureWhen("none")] = Field(
        None,
        description="`starttls`: encryption after the greeting, required; `implicit`: encryption from the first byte; "
        "`none`. Default: implicit on port 465, starttls on 587, else none.",
    )
    starttls: Annotated[Flag | None, InsecureWhen(False)] = Field(
        None, description="Older key for `tls`: true is `starttls`, false `none`."
    )
    verify: Annotated[Flag, InsecureWhen(False)] = Field(True, description="Check the server's certificate and name.")
    ca_file: AssetPath | None = Field(
        None, min_length=1, description="Certificates to trust instead of the system's, relative to the flow file."
    )
    allow_plaintext_auth: Annotated[Flag, InsecureWhen(True)] = Field(
        False, description="Log in, and send mails that hold secrets, on a connection that is not encrypted."
    )

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        if self.starttls is not None and self.tls is not None and self.starttls != (self.tls == "starttls"):
            raise ValueError("tls and starttls are both given and differ")
        if (self.username is None) != (self.password is None):
            missing = "password" if self.password is None else "username"
            raise ValueError(f"{missing} is missing: give both or neither")
        return self

    @property
    def encryption(self) -> Tls:
        if self.tls is not None:
            return self.tls
        if self.starttls:
            return "starttls"
        if self.port == _IMPLICIT_PORT:
            return "implicit"
        return "starttls" if self.port == _SUBMISSION_PORT and self.starttls is None else "none"


class MailRetry(StepInputs):
    """Attempts after a mail was certainly not accepted."""

    max_attempts: int = Field(1, ge=1, description="Maximum number of attempts.")
    backoff_seconds: float = Field(
        1.0, ge=0, description="Wait before the second attempt; doubled each time up to 5 s."
    )

    @property
    def backoff(self) -> Backoff:
        """These settings as a Backoff that doubles up to 5 s."""
        return Backoff(**self.model_dump(), backoff_multiplier=2, max_backoff_seconds=5)


class Options(MailOptions):
    timeout: float = Field(
        30.0,
        gt=0,
        validation_alias=AliasChoices("timeout", "timeout_seconds"),
        description="Seconds to wait for each answer of the server. Also spelt `timeout_seconds`.",
    )
    retry: MailRetry = Field(
        default_factory=MailRetry,
        description="Attempts after a failed connection or a temporary refusal (4xx); never after a permanent refusal, "
        "nor if the server may have accepted the mail.",
    )
    retries: int | None = Field(None, ge=0, description="Older key: number of further attempts after the first.")

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        given = "retry" in self.model_fields_set and self.retries is not None
        if given and self.retry.max_attempts != self.attempts:
            raise ValueError("retry and retries are both given and differ: retries are those after the first try")
        return self

    @property
    def attempts(self) -> int:
        return self.retry.max_attempts if self.retries is None else self.retries + 1


class SmtpConnector(MailBase[Config, Options]):
    """A mail server.

    One connection serves the whole run and is opened again if the server closed it. The certificate is checked, and a
    password is never sent over an unencrypted connection, except with settings that `explain` shows as INSECURE.

        resources:
          post:
            kind: mail
            driver: smtp
            config:
              host: smtp.example.com
              username: reports
              password: "{{env.SMTP_PASSWORD}}"
              from_addr: '"Nightly reports" <reports@example.com>'
    """

    def __init__(self, init: ConnectorInit) -> None:
        super().__init__(init)
        self._lock = threading.RLock()
        self._smtp: PatientSmtp | None = None
        self._line: Line | None = None
        """The connection of the session, also while that begins."""
        self._interrupts = 0

    @classmethod
    def clear_text(cls, config: Mapping[str, Any], options: Mapping[str, Any]) -> tuple[str, str] | None:
        del options
        try:
            conf = Config.model_validate(config)
        except ValidationError:  # of `validate`, which knows only some of the values
            return None
        return (conf.host, _ENCRYPT) if conf.encryption == "none" and not conf.allow_plaintext_auth else None

    @property
    def sender(self) -> str | None:
        """`from_addr`, or else the user name if it is an address."""
        if self.conf.from_addr or not self.conf.username or "@" not in self.conf.username:
            return self.conf.from_addr
        return self.conf.username

    def client(self) -> PatientSmtp:
        """The open connection, logged in; opened again if the server closed it. MailError if that fails."""
        with self._lock:
            return self._client("connecting")

    def probe(self) -> None:
        """Connect, log in, and check that the server answers; MailError if that fails."""
        with self._lock:
            if not is_alive(self._client("connecting")):
                self._drop()
                self._client("connecting")

    def close(self) -> None:
        with self._lock:
            if self._smtp is not None:
                try:
                    self._smtp.quit()
                except (OSError, smtplib.SMTPException):
                    pass
            self._drop()

    def interrupt(self) -> None:
        """Cut the connection, so that a thread that waits on it gets an error; called from another thread."""
        self._interrupts += 1
        if (line := self._line) is not None:
            line.cut()

    def send(self, message: EmailMessage, envelope: Envelope) -> MailReceipt:
        """Send a mail, and again after a temporary refusal, if `options.retry` allows."""
        if (found := self.clear_text(self.config, self.options)) is not None:
            self.refuse_clear_text(found[0], texts_of(message), fix=found[1])
        recipients = list(envelope.recipients)
        attempts, interrupts = self.opts.attempts, self._interrupts
        for attempt in range(1, attempts + 1):
            what = f"sending to {', '.join(recipients)}" + (f", try {attempt} of {attempts}" if attempts > 1 else "")
            try:
                with self._lock:
                    smtp = self._client(what)
                    return hand_over(
                        smtp, message, envelope.sender, recipients, POLICY, all_or_none=envelope.all_or_none
                    )
            except MaybeAcceptedError as error:
                self._drop()
                raise MailUnknownError(
                    f"{self._where(what)}: the connection broke before the server's answer ({error}); it may have "
                    f"taken the mail {message['Message-ID']}",
                    fix="ask the recipients or look into the server's log before it is sent again",
                ) from error
            except RefusedError as error:
                failure, again = MailError(f"{self._where(what)}: {error}", fix=error.fix), error.temporary
                failure.__cause__ = error
            except MailError as error:
                failure, again = error, _is_temporary(error.__cause__)
            except (OSError, smtplib.SMTPException) as error:
                self._drop()
                failure, again = self._failed(what, error), _is_temporary(error)
            if not again or attempt == attempts or self._interrupts != interrupts:
                raise failure
            time.sleep(self.opts.retry.backoff.wait_before(attempt + 1))
        raise AssertionError("unreachable")

    def _client(self, what: str) -> PatientSmtp:
        if self._smtp is not None and is_alive(self._smtp):  # the server may have closed it meanwhile
            return self._smtp
        self._drop()
        conf = self.conf
        server = Server(
            conf.host,
            conf.port,
            conf.encryption,
            self.opts.timeout,
            conf.username,
            conf.password.get_secret_value() if conf.password else None,
            conf.allow_plaintext_auth,
        )
        context, interrupts = self._tls_context(), self._interrupts
        try:
            self._line = open_unless(
                lambda: Line(conf.host, conf.port, self.opts.timeout), lambda: self._check(interrupts)
            )
            self._check(interrupts)  # what was cut before this line is another connection
            self._smtp = begin(self._line, server, context)
        except RefusedError as error:
            raise MailError(f"{self._where(what)}: {error}", fix=error.fix) from error
        except (OSError, smtplib.SMTPException) as error:
            raise self._failed(what, error) from error
        return self._smtp

    def _check(self, interrupts: int) -> None:
        if self._interrupts != interrupts:
            raise MailError(f"{self._where('connecting')}: the run is being stopped")

    def _tls_context(self) -> ssl.SSLContext:
        """An SSL context for TLS 1.2 or newer; certificate and name are checked if `verify` is true."""
        ca_file = self.conf.ca_file
        path = self.ctx.asset_path(ca_file) if ca_file and self.ctx else ca_file
        try:
            context = ssl.create_default_context(cafile=path)
        except (OSError, ssl.SSLError) as error:
            reason = getattr(error, "strerror", None) or "it holds no certificates"
            raise self.refuse(f"ca_file {ca_file} cannot be read: {reason}", f"looked at {Path(path or '')}") from error
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if not self.conf.verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context

    def _drop(self) -> None:
        if self._smtp is not None:
            self._smtp.close()
            self._smtp = None
        if self._line is not None:
            self._line.close()
            self._line = None

    def _where(self, what: str) -> str:
        return f"{self.label}: {self.conf.host}:{self.conf.port}: {what}"

    def _failed(self, what: str, error: Exception) -> MailError:
        failure = MailError(f"{self._where(what)}: {_told(error)}", fix=_fix_for(error))
        failure.__cause__ = error
        return failure


def _is_temporary(error: BaseException | None) -> bool:
    """Whether another attempt may succeed; refused certificates and logins stay refused."""
    if isinstance(error, RefusedError):
        return error.temporary
    if isinstance(error, smtplib.SMTPResponseException):
        if isinstance(error, smtplib.SMTPAuthenticationError):
            return False
        return error.smtp_code in TEMPORARY or error.smtp_code not in CODES  # an incomplete code
    if isinstance(error, ssl.SSLCertVerificationError):
        return False
    return isinstance(error, OSError | smtplib.SMTPServerDisconnected)


def _told(error: Exception) -> str:
    if isinstance(error, smtplib.SMTPAuthenticationError):
        return f"the login was refused: {error.smtp_code} {_words(error.smtp_error)}"
    if isinstance(error, smtplib.SMTPResponseException):
        return f"{error.smtp_code} {_words(error.smtp_error)}"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not accepted: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"no encrypted connection: {error.reason or error}"
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return " ".join(str(error).split())


def _fix_for(error: Exception) -> str:
    if isinstance(error, smtplib.SMTPAuthenticationError):
        return "check config.username and config.password"
    if isinstance(error, ssl.SSLCertVerificationError):
        return "check config.host, and config.ca_file for a certificate of your own authority"
    if isinstance(error, ssl.SSLError):
        return "check config.tls and config.port: 587 is usually starttls, 465 implicit; TLS 1.2 is the least"
    if isinstance(error, TimeoutError):
        return "check host, port and network, or raise options.timeout"
    if isinstance(error, smtplib.SMTPNotSupportedError):
        return "leave username and password out if the server wants no login"
    return "check config.host, config.port and config.tls, and whether the server is up"


def _words(said: bytes | str) -> str:
    text = said.decode("utf-8", "replace") if isinstance(said, bytes) else said
    return " ".join(text.split())
