"""A message as a mail: plain text and HTML, with the ids by which mail programs know it again and make a thread."""

import html
from collections.abc import Callable, Iterator
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, getaddresses
from typing import Any

from aetherflow.core.base.errors import ConnectorError
from aetherflow.core.contracts.kinds.mail import Envelope, MailConnector
from aetherflow.core.contracts.notification import Notification
from aetherflow.core.runtime.notify.due import Message, message_id
from aetherflow.core.runtime.notify.log_tail import whole_log
from aetherflow.core.runtime.notify.text import MessagePart, Text

POLICY = SMTP.clone(cte_type="7bit")
"""As `mail_send` writes mails: without the server's extension 8BITMIME."""
MOST_LOG_BYTES = 5 * 1024 * 1024
MOST_PAGES = 5
MakesPage = Callable[[Notification], bytes | None]
"""Gives the page of the run of a notification; None where there is none."""


class PartlySentError(ConnectorError):
    """A mail that the server refused for some recipients; `accepted` are those who have it."""

    def __init__(self, message: str, accepted: tuple[str, ...]) -> None:
        super().__init__(message, fix="correct `recipients`")
        self.accepted = accepted


def send_mail(
    connector: Any, message: Message, text: Text, mask: Callable[[str], str], page_of: MakesPage | None = None
) -> None:
    """Send the message by a connector of kind mail: one of the contract, or with `send_html` or `send_plaintext`.

    Raises PartlySentError, and what the connector raises.
    """
    recipients = [each for each in message.rule.spec.recipients if each not in message.accepted]
    published = isinstance(connector, MailConnector)
    sender = connector.sender if published else _sender_of(connector)
    if published and sender is None:
        raise ConnectorError(f"resource {connector.name}: no sender is named", fix="set config.from_addr")
    if not published:
        _send_by_minimum(connector, recipients, sender, text)
        return
    mail = build(message, text, str(sender), mask, connector.max_bytes, page_of)
    ((_, plain),) = getaddresses([str(sender)])
    receipt = connector.send(mail, Envelope(_wire(plain), tuple(_wire(each) for each in recipients)))
    if not receipt.accepted:
        raise ConnectorError(f"resource {connector.name}: every recipient was refused", fix="correct `recipients`")
    refused = {each: why for each in recipients if (why := receipt.refused.get(_wire(each))) is not None}
    if refused:
        named = "; ".join(f"{each} ({why})" for each, why in refused.items())
        accepted = (*message.accepted, *(each for each in recipients if each not in refused))
        raise PartlySentError(f"resource {connector.name}: refused, and only sent to the others: {named}", accepted)


def build(
    message: Message,
    text: Text,
    sender: str,
    mask: Callable[[str], str],
    max_bytes: int | None = None,
    page_of: MakesPage | None = None,
) -> EmailMessage:
    """The mail: the same headers whenever it is built again."""
    mail = EmailMessage(policy=POLICY)
    domain = _wire(getaddresses([sender])[0][1]).rpartition("@")[2]
    mail["From"] = sender
    mail["To"] = ", ".join(message.rule.spec.recipients)
    mail["Subject"] = text.subject
    mail["Date"] = format_datetime(max(each.at for each in message.notifications))
    mail["Message-ID"] = f"<{message.id}@{domain}>"
    mail["Auto-Submitted"] = "auto-generated"  # no out-of-office notes (RFC 3834)
    first = message.firsts[0] if len(message.notifications) == 1 and message.firsts else None
    if message.reminder and first is None:
        first = message.notifications[0]
    if first is not None:
        mail["References"] = mail["In-Reply-To"] = f"<{message_id(message.rule, [first])}@{domain}>"
    mail.set_content(text.plain)
    mail.add_alternative(as_html(text), subtype="html")
    if message.rule.spec.attach == "log":
        _attach(mail, message, mask, max_bytes)
    elif message.rule.spec.attach == "page" and page_of is not None:
        _attach_pages(mail, message, mask, page_of)
    return mail


def _attach_pages(mail: EmailMessage, message: Message, mask: Callable[[str], str], page_of: MakesPage) -> None:
    """The page of each run, of a few: each is as large as a picture."""
    runs = {(each.flow, each.run_id): each for each in message.notifications if each.run_id}
    for each in list(runs.values())[:MOST_PAGES]:
        if (page := page_of(each)) is not None:
            data = mask(page.decode(errors="replace")).encode(errors="replace")
            mail.add_attachment(data, "text", "html", filename=f"{each.run_id}.html", params={"charset": "utf-8"})


def _attach(mail: EmailMessage, message: Message, mask: Callable[[str], str], max_bytes: int | None) -> None:
    room = MOST_LOG_BYTES if max_bytes is None else min(MOST_LOG_BYTES, max(0, max_bytes - 100_000) * 2 // 3)
    for each in {notification.log: notification for notification in message.notifications if notification.log}.values():
        log = whole_log(each, room, mask)
        if log is not None:
            name, content = log
            data = content.encode(errors="replace")
            mail.add_attachment(data, "text", "plain", filename=name, params={"charset": "utf-8"})
            room -= len(data)


def as_html(text: Text) -> str:
    """The message as a page that needs no style sheet and names no other address than the runbook."""
    parts = "<hr>".join("".join(_elements(part)) for part in text.parts)
    more = f"<p>and {text.more} more</p>" if text.more else ""
    return f"<!doctype html>\n<html><body>\n{parts}{more}</body></html>\n"


def _elements(part: MessagePart) -> Iterator[str]:
    yield f"<h3>{html.escape(part.title)}</h3>\n"
    if part.cause:
        yield f"<p>{html.escape(part.cause).replace(chr(10), '<br>')}</p>\n"
    if part.next:
        yield f"<p>next:</p>\n<pre>{html.escape(part.next)}</pre>\n"
    rows = "".join(
        f"<tr><td>{html.escape(name)}</td><td>{_value(part, value)}</td></tr>\n" for name, value in part.facts
    )
    yield f"<table>\n{rows}</table>\n"
    if part.tail:
        lines = html.escape("\n".join(part.tail))
        yield f"<p>last lines:</p>\n<pre>{lines}</pre>\n"


def _value(part: MessagePart, value: str) -> str:
    shown = html.escape(value)
    return f'<a href="{shown}">{shown}</a>' if value == part.runbook else shown


def _wire(address: str) -> str:
    """The address for the envelope, with its domain in ASCII."""
    found = Address(addr_spec=address)
    try:
        domain = found.domain if found.domain.isascii() else found.domain.encode("idna").decode()
    except UnicodeError as error:
        raise ConnectorError(f"{address}: {found.domain} is no domain name", fix="correct the address") from error
    return Address(username=found.username, domain=domain).addr_spec


# Connectors of other hands


def _sender_of(connector: Any) -> str | None:
    config = getattr(connector, "config", None) or {}
    found = config.get("from_addr") or config.get("username") or config.get("user")
    return str(found) if found else None


def _send_by_minimum(connector: Any, recipients: list[str], sender: str | None, text: Text) -> None:
    who = {"to": recipients, "cc": [], "bcc": [], "from_addr": sender, "subject": text.subject}
    if callable(getattr(connector, "send_html", None)):
        connector.send_html(html=as_html(text), text=text.plain, **who)
    elif callable(getattr(connector, "send_plaintext", None)):
        connector.send_plaintext(body=text.plain, **who)
    else:
        label = f"{type(connector).__module__}.{type(connector).__qualname__}"
        raise ConnectorError(f"{label} is no MailConnector, and lacks send_plaintext()", fix="take another driver")
