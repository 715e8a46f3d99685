"""Builds the MIME message of a mail: headers, bodies and attachments."""

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import formatdate
from pathlib import PurePath
from typing import Any

from aetherflow.core.api import Envelope
from aetherflow_builtins_transfer.mail.addresses import parse_addresses, wire_form
from aetherflow_builtins_transfer.mail.bodies import Body
from aetherflow_builtins_transfer.mail.content_type import content_type_of

POLICY = SMTP.clone(cte_type="7bit")
"""7-bit encoding, which works without the server's extension 8BITMIME."""
OWN_HEADERS = frozenset(
    {"from", "to", "cc", "bcc", "subject", "date", "message-id", "reply-to", "mime-version", "sender", "return-path"}
)
_HEADER_NAME = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,76}\Z")
_CID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*\Z")


@dataclass(frozen=True, slots=True)
class Part:
    """A file in a mail: an attachment, or with `cid` an image that the HTML shows as `cid:NAME`."""

    name: str
    content: bytes
    content_type: str | None = None
    cid: str | None = None


@dataclass(frozen=True, slots=True)
class Mail:
    """A mail to be sent, with its addresses, content and files."""

    sender: str | None
    """None: the connector's own sender applies, which only a connector with the documented minimum may have."""
    to: Sequence[str]
    subject: str
    body: Body
    cc: Sequence[str] = ()
    bcc: Sequence[str] = ()
    reply_to: Sequence[str] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    parts: Sequence[Part] = ()
    key: str = ""
    """Equal keys give equal Message-IDs, by which receivers recognize a repeated mail."""

    @property
    def recipients(self) -> list[Address]:
        """All recipients from to, cc and bcc, without duplicates; ValueError if an address is invalid."""
        return parse_addresses([*self.to, *self.cc, *self.bcc])


def envelope_of(mail: Mail, *, all_or_none: bool = False) -> Envelope:
    """Whom the mail is from and for; ValueError if an address is invalid."""
    recipients = tuple(wire_form(address) for address in mail.recipients)
    return Envelope(wire_form(parse_addresses(mail.sender)[0]) if mail.sender else "", recipients, all_or_none)


def message_id(key: str, sender: str | None) -> str:
    """The Message-ID for a key, with the sender's domain."""
    domain = wire_form(parse_addresses(sender)[0]).rpartition("@")[2] if sender else "localhost"
    return f"<{hashlib.sha256(key.encode()).hexdigest()[:40]}@{domain}>"


def check_headers(headers: Mapping[str, str]) -> None:
    """Raise ValueError for a header that another input sets, or that would break the message."""
    for name, value in headers.items():
        if name.lower() in OWN_HEADERS or name.lower().startswith("content-"):
            raise ValueError(f"header {name} is not set by `headers`: it has an input of its own, or none")
        if not _HEADER_NAME.match(name):
            raise ValueError(f"{name!r} is no name of a header")
        check_line(f"header {name}", value)


def check_line(what: str, value: str) -> None:
    """Raise ValueError for a text with control characters, which could inject another header."""
    if any(ord(letter) < 32 and letter != "\t" for letter in value) or "\x7f" in value:
        raise ValueError(f"{what} holds a line break or another control character")


def build(mail: Mail) -> EmailMessage:
    """Build the MIME message; ValueError if a part of it is invalid."""
    message = EmailMessage(policy=POLICY)
    if mail.sender is not None:
        message["From"] = mail.sender
    for name, addresses in (("To", mail.to), ("Cc", mail.cc), ("Reply-To", mail.reply_to)):
        if addresses:
            message[name] = ", ".join(addresses)
    check_line("the subject", mail.subject)
    message["Subject"] = mail.subject
    message["Date"] = formatdate(localtime=True)
    message["Message-ID"] = message_id(mail.key, mail.sender)
    check_headers(mail.headers)
    for name, value in mail.headers.items():
        message[name] = value
    message.set_content(mail.body.text)
    inline = [part for part in mail.parts if part.cid]
    if mail.body.html is not None:
        message.add_alternative(mail.body.html, subtype="html")
        _add_images(message, mail.body.html, inline)
    elif inline:
        raise ValueError("inline images need an HTML body that shows them")
    for part in mail.parts:
        if not part.cid:
            main, _, sub = _type_of(part).partition("/")
            extra: dict[str, Any] = (
                {"params": {"charset": "utf-8"}} if main == "text" and part.content_type is None else {}
            )
            message.add_attachment(part.content, main, sub, filename=PurePath(part.name).name, **extra)
    return message


def texts_of(message: EmailMessage) -> Iterator[str]:
    """What a mail shows to the network: all headers and texts, decoded, without the content of attached files."""
    for part in message.walk():
        yield from map(str, part.values())
        if part.get_content_maintype() == "text" and not part.is_attachment():
            yield part.get_content()


def _add_images(message: EmailMessage, html: str, images: Sequence[Part]) -> None:
    part = message.get_body(("html",))
    for image in images:
        cid = image.cid or ""
        if not _CID.match(cid):
            raise ValueError(f"inline image {cid!r}: use letters, digits, '.', '_' and '-'")
        if f"cid:{cid}" not in html:
            raise ValueError(f'the HTML body does not show inline image {cid}: <img src="cid:{cid}">')
        main, _, sub = _type_of(image).partition("/")
        if main != "image":
            raise ValueError(f"inline image {cid} ({image.name}) is no image but {main}/{sub}")
        assert part is not None  # noqa: S101 it was just added
        part.add_related(
            image.content, main, sub, cid=f"<{cid}>", filename=PurePath(image.name).name, disposition="inline"
        )
    unknown = sorted(set(re.findall(r"""["'(]cid:([^"')\s]+)""", html)) - {image.cid for image in images})
    if unknown:
        raise ValueError(f"the HTML body shows cid:{unknown[0]}, but there is no such inline image")


def _type_of(part: Part) -> str:
    return part.content_type or content_type_of(part.name, part.content)
