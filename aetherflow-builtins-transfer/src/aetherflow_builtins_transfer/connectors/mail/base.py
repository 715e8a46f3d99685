"""The base class of the mail connectors: contract methods, size limit, sender and recipients."""

import time
import uuid
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, TypeVar

from pydantic import Field

from aetherflow.core.api import ConnectorBase, ConnectorConfig, ConnectorError, ConnectorOptions
from aetherflow_builtins_transfer.mail.addresses import OneAddress
from aetherflow_builtins_transfer.mail.bodies import Body, text_of_html
from aetherflow_builtins_transfer.mail.delivery import MailError, MailReceipt
from aetherflow_builtins_transfer.mail.message import Mail, build

ConfigT = TypeVar("ConfigT", bound="MailConfig")
OptionsT = TypeVar("OptionsT", bound="MailOptions")


class MailConfig(ConnectorConfig):
    from_addr: OneAddress | None = Field(None, description='Default sender: `"Reports" <r@example.com>`.')


class MailOptions(ConnectorOptions):
    max_bytes: int = Field(
        25 * 1024**2,
        ge=1,
        description="Maximum size of a mail in bytes; its encoding makes attachments a third larger.",
    )


class MailBase(ConnectorBase[ConfigT, OptionsT]):
    """Implements the contract methods on top of `send` of a subclass."""

    @abstractmethod
    def send(self, mail: Mail, *, all_or_none: bool = False) -> MailReceipt:
        """Send a mail.

        MailError: it was not sent. MailUnknownError: the server may have accepted it. With `all_or_none`, one refused
        recipient prevents the delivery to all; otherwise refused recipients are listed in the result.
        """

    @property
    def sender(self) -> str | None:
        """The default sender; None if there is none."""
        return self.conf.from_addr

    def send_plaintext(
        self,
        *,
        to: str | Sequence[str],
        subject: str,
        body: str,
        from_addr: str | None = None,
        cc: str | Sequence[str] = (),
        bcc: str | Sequence[str] = (),
    ) -> MailReceipt:
        return self._send(to, subject, Body(body), from_addr, cc, bcc)

    def send_html(
        self,
        *,
        to: str | Sequence[str],
        subject: str,
        html: str,
        text: str | None = None,
        from_addr: str | None = None,
        cc: str | Sequence[str] = (),
        bcc: str | Sequence[str] = (),
    ) -> MailReceipt:
        """Send HTML with an alternative text, by default one derived from the HTML."""
        return self._send(to, subject, Body(text or text_of_html(html), html), from_addr, cc, bcc)

    def sender_of(self, from_addr: str | None) -> str:
        """The sender of a mail; ConnectorError if neither the mail nor the resource names one."""
        sender = from_addr or self.sender
        if sender is None:
            raise self.refuse("no sender is named", "set config.from_addr, or from_addr in the step")
        return sender

    def built(self, mail: Mail) -> Any:
        """Build the message; MailError if an address is invalid, a recipient is missing, or the mail is too large."""
        try:
            message = build(mail)
            recipients = mail.recipients
        except ValueError as error:
            raise MailError(f"{self.label}: {error}") from error
        if not recipients:
            raise MailError(f"{self.label}: the mail has no recipient", fix="give to, cc or bcc")
        size = len(message.as_bytes())
        if size > self.opts.max_bytes:
            raise MailError(
                f"{self.label}: the mail has {size:,} bytes; {self.opts.max_bytes:,} is the most",
                fix="attach less, or raise options.max_bytes if the server takes more",
            )
        return message

    @property
    def label(self) -> str:
        """The name of this resource in messages."""
        return f"resource {self.name} ({self.kind}:{self.driver})"

    def refuse(self, message: str, fix: str = "") -> ConnectorError:
        """A ConnectorError that names the resource, for the caller to raise."""
        return ConnectorError(f"{self.label}: {message}", fix=fix)

    def _send(
        self,
        to: str | Sequence[str],
        subject: str,
        body: Body,
        from_addr: str | None,
        cc: str | Sequence[str],
        bcc: str | Sequence[str],
    ) -> MailReceipt:
        listed = [[given] if isinstance(given, str) else list(given) for given in (to, cc, bcc)]
        key = f"{time.time_ns()}-{uuid.uuid4()}"
        mail = Mail(self.sender_of(from_addr), listed[0], subject, body, listed[1], listed[2], key=key)
        return self.send(mail)
