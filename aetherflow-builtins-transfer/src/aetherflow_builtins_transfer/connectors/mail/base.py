"""The base class of the mail connectors: what users' own steps call, on top of `send`."""

import time
import uuid
from collections.abc import Sequence
from typing import TypeVar

from pydantic import Field

from aetherflow.core.api import ConnectorConfig, ConnectorError, ConnectorOptions, MailConnector, MailReceipt
from aetherflow_builtins_transfer.mail.addresses import OneAddress
from aetherflow_builtins_transfer.mail.bodies import Body, text_of_html
from aetherflow_builtins_transfer.mail.message import Mail
from aetherflow_builtins_transfer.mail.posting import posted, sender_of

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


class MailBase(MailConnector[ConfigT, OptionsT]):
    """Has the methods that steps of users call, on top of `send` of a subclass."""

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

    @property
    def max_bytes(self) -> int | None:
        """The option of that name."""
        return self.opts.max_bytes

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
        mail = Mail(sender_of(self, from_addr), listed[0], subject, body, listed[1], listed[2], key=key)
        return self.send(*posted(self, mail))
