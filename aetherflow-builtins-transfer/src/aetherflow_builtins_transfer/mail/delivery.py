"""The result of sending a mail, and its errors."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from aetherflow.core.api import ConnectorError, UndecidedStepError


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
