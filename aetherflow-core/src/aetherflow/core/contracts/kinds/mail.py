"""The contract of a connector of kind `mail`: a way to send mails."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.message import EmailMessage
from typing import Protocol, runtime_checkable

from aetherflow.core.base.errors import ConnectorError, UndecidedStepError
from aetherflow.core.contracts.connector import ConfigT, ConnectorBase, OptionsT


@dataclass(frozen=True, slots=True)
class Envelope:
    """Whom a mail is from and for: plain addresses, with domains in ASCII."""

    sender: str
    recipients: tuple[str, ...]
    """All of them, those of Bcc included, which no header names."""
    all_or_none: bool = False
    """One refused recipient prevents the delivery to all; else refused ones are listed in the receipt."""


@dataclass(frozen=True, slots=True)
class MailReceipt:
    """The accepted recipients, and the refused ones with the server's messages; `size` in bytes."""

    message_id: str
    accepted: tuple[str, ...]
    refused: Mapping[str, str] = field(default_factory=dict)
    size: int = 0


class MailError(ConnectorError):
    """A mail was not sent to any recipient."""


class MailUnknownError(ConnectorError, UndecidedStepError):
    """The connection broke after the mail was complete: the server may have accepted it, so a person must decide."""

    code = UndecidedStepError.code


class MailConnector(ConnectorBase[ConfigT, OptionsT], ABC):
    """A way to send mails. `mail_send` needs nothing else: it makes the message, and is never repeated unasked."""

    @property
    def sender(self) -> str | None:
        """The sender of mails that name none: `"Reports" <r@example.com>`; None if there is none."""
        return None

    @property
    def max_bytes(self) -> int | None:
        """Most bytes that a mail may have; None: no limit is known."""
        return None

    @abstractmethod
    def send(self, message: EmailMessage, envelope: Envelope) -> MailReceipt:
        """Hand a complete message over, once: with its Message-ID, and byte for byte but for the encoding of lines.

        A peer that takes a mail in parts gets all headers, bodies and files; what it would break is a MailError.
        MailError, or another ConnectorError: it was sent to nobody. MailUnknownError: the peer may have accepted it.
        Another attempt of the connector's own is allowed only after a MailError. `interrupt` ends a call that waits.
        """


# Capabilities: a connector has one by having its methods


@runtime_checkable
class FindsMails(Protocol):
    """The peer tells which mails it has accepted: `mail_send` asks it when the answer to a mail was lost."""

    def find(self, message_id: str) -> MailReceipt | None:
        """The receipt of a mail that was accepted; None if the peer has none of this Message-ID, or not yet.

        Raises ConnectorError.
        """
        ...
