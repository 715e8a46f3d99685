"""A mail in the form of the API: its parts as JSON, files in base64."""

import base64
from collections.abc import Iterator
from email.message import EmailMessage
from typing import Any

from aetherflow.core.api import Envelope

OF_MIME = ("content-", "mime-version")
"""Headers that the API makes itself from the parts."""
SEALED = ("multipart/signed", "multipart/encrypted", "message/")
"""What the API would break, since it puts the parts together again."""


class NotInThisFormError(Exception):
    """The API has no field for a part of the mail."""


def form_of(message: EmailMessage, envelope: Envelope) -> dict[str, Any]:
    """The body of the request. Raises NotInThisFormError."""
    bodies = {kind: message.get_body((kind,)) for kind in ("plain", "html")}
    found: dict[str, Any] = {
        "from": envelope.sender,
        "recipients": list(envelope.recipients),
        "all_or_none": envelope.all_or_none,
        "headers": [[name, str(value)] for name, value in message.items() if not name.lower().startswith(OF_MIME)],
        "attachments": [_file(part) for part in _leaves(message) if part not in bodies.values()],
    }
    for kind, name in (("plain", "text"), ("html", "html")):
        if (body := bodies[kind]) is not None:
            found[name] = body.get_content()
    return found


def _leaves(message: EmailMessage) -> Iterator[EmailMessage]:
    for part in message.walk():
        kind = part.get_content_type()
        if kind.startswith(SEALED):
            raise NotInThisFormError(f"a part of type {kind} cannot be sent")
        if not part.is_multipart():
            yield part


def _file(part: EmailMessage) -> dict[str, Any]:
    content = part.get_payload(decode=True)
    if not isinstance(content, bytes):
        raise NotInThisFormError(f"the content of a part of type {part.get_content_type()} cannot be read")
    return {
        "filename": part.get_filename(),
        "content_type": part.get_content_type(),
        "charset": part.get_content_charset(),
        "content_id": part["Content-ID"],
        "content": base64.b64encode(content).decode(),
    }
