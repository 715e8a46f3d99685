"""A mail made ready for any mail connector: sender, message, envelope, size; and connectors with the minimum only."""

from collections.abc import Iterator, Mapping
from email.message import EmailMessage
from email.utils import getaddresses
from typing import Any, TypeAlias

from aetherflow.core.api import (
    AetherflowError,
    ConnectorError,
    Envelope,
    Lack,
    MailConnector,
    MailError,
    MailReceipt,
    MailUnknownError,
    wrong_result,
)
from aetherflow_builtins_transfer.mail.message import Mail, build, envelope_of

AnyMail: TypeAlias = MailConnector[Any, Any]


def label_of(connector: Any) -> str:
    """The name of a resource in messages."""
    return f"resource {connector.name} ({connector.kind}:{connector.driver})"


def sender_of(connector: AnyMail, from_addr: str | None) -> str | None:
    """The sender of a mail; None for that of a connector with the minimum, which has a default of its own.

    Raises ConnectorError if neither the mail nor the resource names one.
    """
    sender = from_addr or connector.sender
    if sender is None and not isinstance(connector, MinimalMail):
        text = f"{label_of(connector)}: no sender is named"
        raise ConnectorError(text, fix="set config.from_addr, or from_addr in the step")
    return sender


def posted(connector: AnyMail, mail: Mail, *, all_or_none: bool = False) -> tuple[EmailMessage, Envelope]:
    """The message and its envelope; MailError if an address is invalid, nobody gets it, or it is too large."""
    label = label_of(connector)
    try:
        message, envelope = build(mail), envelope_of(mail, all_or_none=all_or_none)
    except ValueError as error:
        raise MailError(f"{label}: {error}") from error
    if not envelope.recipients:
        raise MailError(f"{label}: the mail has no recipient", fix="give to, cc or bcc")
    size, most = len(message.as_bytes()), connector.max_bytes
    if most is not None and size > most:
        raise MailError(
            f"{label}: the mail has {size:,} bytes; {most:,} is the most",
            fix="attach less, or raise options.max_bytes if the server takes more",
        )
    return message, envelope


def sent(connector: AnyMail, message: EmailMessage, envelope: Envelope) -> MailReceipt:
    """Send a message. MailUnknownError for a connector that gives no receipt: the mail may have been sent."""
    receipt: object = connector.send(message, envelope)
    if not isinstance(receipt, MailReceipt):
        error = wrong_result(connector, "send", receipt, "a MailReceipt")
        raise MailUnknownError(error.message, fix=error.fix)
    return receipt


# Connectors with the documented minimum: send_plaintext, send_html

_NEEDS_MESSAGE = {
    "attachments": "files cannot be attached",
    "inline_images": "images cannot be shown",
    "headers": "no header can be set",
    "reply_to": "no address for replies can be set",
}


def lacks_of(connector: type, inputs: Mapping[str, Any]) -> Iterator[Lack]:
    """What a connector class lacks for a mail with these inputs."""
    if issubclass(connector, MailConnector):
        return
    if not callable(getattr(connector, "send_plaintext", None)):
        yield Lack("is no MailConnector, and lacks send_plaintext(): nothing can be sent")
        return
    if (inputs.get("html") or inputs.get("html_file")) and not callable(getattr(connector, "send_html", None)):
        yield Lack("lacks send_html(): no HTML can be sent")
    for name, reason in _NEEDS_MESSAGE.items():
        if inputs.get(name):
            yield Lack(f"lacks send(): {reason}")
    if inputs.get("on_refused") == "fail":
        yield Lack("lacks send(): nobody tells which recipients were refused")
    text = "lacks send(): no Message-ID marks a repeated mail, and refused recipients are not reported"
    yield Lack(text, refused=False)


class MinimalMail(MailConnector[Any, Any]):
    """A connector with `send_plaintext` and `send_html` as MailConnector."""

    def __init__(self, plain: Any) -> None:
        self.plain = plain
        self.name, self.kind, self.driver = (str(getattr(plain, name, "?")) for name in ("name", "kind", "driver"))

    @property
    def sender(self) -> str | None:
        """That of its configuration; without one, its own default applies."""
        config = getattr(self.plain, "config", None) or {}
        found = config.get("from_addr") or config.get("username") or config.get("user")
        return str(found) if found else None

    def send(self, message: EmailMessage, envelope: Envelope) -> MailReceipt:
        """Send the bodies of the message; its own headers are lost."""
        to, cc = ([f for _, f in getaddresses(map(str, message.get_all(name, [])))] for name in ("To", "Cc"))
        bcc = [each for each in envelope.recipients if each not in {*to, *cc}]
        sender, subject = message["From"], str(message["Subject"])
        who = {"to": to, "cc": cc, "bcc": bcc, "from_addr": sender and str(sender), "subject": subject}
        html, text = message.get_body(("html",)), message.get_body(("plain",))
        body = "" if text is None else text.get_content()
        try:
            if html is None:
                self.plain.send_plaintext(body=body, **who)
            else:
                self.plain.send_html(html=html.get_content(), text=body, **who)
        except AetherflowError:
            raise
        except Exception as error:
            why = ": ".join(filter(None, (type(error).__name__, " ".join(str(error).split()))))
            raise MailError(f"{label_of(self)}: {why}") from error
        return MailReceipt("", envelope.recipients, {}, len(message.as_bytes()))


def mail_over(connector: Any) -> AnyMail:
    """A connector that implements MailConnector, or has the documented minimum."""
    return connector if isinstance(connector, MailConnector) else MinimalMail(connector)
