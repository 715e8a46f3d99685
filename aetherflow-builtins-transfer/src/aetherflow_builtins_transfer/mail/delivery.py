"""What became of a mail."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from aetherflow.core.api import ConnectorError, UndecidedStepError


@dataclass(frozen=True, slots=True)
class MailReceipt:
    """Who the mail was handed over for, and who was refused with which words."""

    message_id: str
    accepted: tuple[str, ...]
    refused: Mapping[str, str] = field(default_factory=dict)
    size: int = 0


class MailError(ConnectorError):
    """A mail was not handed over; nobody got it."""


class MailUnknownError(ConnectorError, UndecidedStepError):
    """The connection broke after the mail was complete: the server may have taken it, so a person is asked."""

    code = UndecidedStepError.code
