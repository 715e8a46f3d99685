"""What the mail connectors do in the same way: the methods of the contract, sizes, recipients."""

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
    from_addr: OneAddress | None = Field(
        None, description='Sender of mails that name none: `"Reports" <r@example.com>`.'
    )


class MailOptions(ConnectorOptions):
    max_bytes: int = Field(
        25 * 1024**2, ge=1, description="The largest mail, attachments included; they grow by a third on the way."
    )


class MailBase(ConnectorBase[ConfigT, OptionsT]):
    """The methods that follow from `send`."""

    @abstractmethod
    def send(self, mail: Mail, *, all_or_none: bool = False) -> MailReceipt:
        """Hand a mail over.

        MailError: nobody got it. MailUnknownError: the server may have taken it. With `all_or_none` one refused
        recipient is enough that nobody gets it; else those that are refused are in the result.
        """

    @property
    def sender(self) -> str | None:
        """The sender of mails that name none."""
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
        """Send HTML, with a text for programs that show none."""
        return self._send(to, subject, Body(text or text_of_html(html), html), from_addr, cc, bcc)

    def sender_of(self, from_addr: str | None) -> str:
        """Who writes; ConnectorError if nobody is named."""
        sender = from_addr or self.sender
        if sender is None:
            raise self.refuse("no sender is named", "set config.from_addr, or from_addr in the step")
        return sender

    def built(self, mail: Mail) -> Any:
        """The message, within its limits; MailError if it cannot be."""
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
        """How messages name this resource."""
        return f"resource {self.name} ({self.kind}:{self.driver})"

    def refuse(self, message: str, fix: str = "") -> ConnectorError:
        """An error that names the resource."""
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
