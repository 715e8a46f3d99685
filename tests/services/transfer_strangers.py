"""Mail connectors of strangers: a view of ours that shows published names only, and one with the minimum."""

from collections.abc import Sequence
from email.message import EmailMessage
from typing import Any

import pytest

from aetherflow.core.api import (
    ConnectorBase,
    ConnectorConfig,
    ConnectorOptions,
    Envelope,
    MailConnector,
    MailReceipt,
)
from aetherflow_builtins_transfer.mail import posting


class PublishedMail(MailConnector[Any, Any]):
    """A mail connector behind its contract: every other name raises AttributeError."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self.name, self.kind, self.driver = inner.name, inner.kind, inner.driver

    @property
    def sender(self) -> str | None:
        found: str | None = self._inner.sender
        return found

    @property
    def max_bytes(self) -> int | None:
        found: int | None = self._inner.max_bytes
        return found

    def send(self, message: EmailMessage, envelope: Envelope) -> MailReceipt:
        receipt: MailReceipt = self._inner.send(message, envelope)
        return receipt


@pytest.fixture(autouse=True)
def only_published_mail(monkeypatch: pytest.MonkeyPatch) -> None:
    """`mail_send` sees a connector as its contract does: what it uses beside it is an AttributeError."""
    real = posting.mail_over

    def view(connector: Any) -> Any:
        return PublishedMail(connector) if isinstance(connector, MailConnector) else real(connector)

    monkeypatch.setattr(posting, "mail_over", view)


class MinimalConfig(ConnectorConfig):
    from_addr: str | None = None


class NoOptions(ConnectorOptions):
    pass


SENT: list[dict[str, Any]] = []
"""What the connectors below have sent."""


class PlainMail(ConnectorBase[MinimalConfig, NoOptions]):
    """It sends text only."""

    def send_plaintext(
        self,
        *,
        to: str | Sequence[str],
        subject: str,
        body: str,
        from_addr: str | None = None,
        cc: str | Sequence[str] = (),
        bcc: str | Sequence[str] = (),
    ) -> None:
        if "broken@x.test" in to:
            raise OSError("the line\nis broken")
        SENT.append({"to": to, "subject": subject, "body": body, "from": from_addr, "cc": cc, "bcc": bcc})


class MinimalMail(PlainMail):
    """The documented minimum: `send_plaintext`, `send_html`."""

    def send_html(self, *, html: str, text: str | None = None, **who: Any) -> None:
        SENT.append({"html": html, "text": text, **who})
