"""What receivers over HTTP read: Slack, Mattermost, Teams, ntfy, a ping, any other one.

Third-party text is put only where the receiver shows it letter by letter, or with its markup escaped.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from email.header import Header
from typing import Any, NamedTuple

from aetherflow.core.contracts.notification import Notification
from aetherflow.core.runtime.notify.due import Message
from aetherflow.core.runtime.notify.rules import RECOVERED
from aetherflow.core.runtime.notify.text import MessagePart, Text, limited

MOST_LETTERS = 8000
"""Of a message in a channel: Teams takes 28 KB, Mattermost 16,383 letters."""
NTFY_BYTES, PING_BYTES = 3900, 9000
"""ntfy makes a file of what is longer than 4,096 bytes; healthchecks keeps 10 kB."""
_MARKDOWN = re.compile(r"([\\`*_{}\[\]()<>#+!|~:-])")
_PING = {"started": "start", "succeeded": "", RECOVERED: ""}
"""Event to the path below the address of a ping; all others go to `fail`."""

Shown = Callable[[str | None], str | None]


class Request(NamedTuple):
    """A POST to the resource's address, or below it."""

    path: str = ""
    json: Any = None
    content: bytes | None = None
    headers: Mapping[str, str] = {}


def request_of(message: Message, text: Text, shown: Shown) -> Request:
    """The request of a message in the format of its rule. `shown` makes a text harmless and takes secrets out."""
    match message.rule.spec.format:
        case "slack":
            return Request(json=slack(text))
        case "mattermost":
            return Request(json={"text": mattermost(text)})
        case "teams":
            return Request(json=teams(text))
        case "ntfy":
            return ntfy(message, text)
        case "ping":
            path = _PING.get(message.notifications[-1].event, "fail")
            return Request(path, content=_cut(text.plain, PING_BYTES), headers=_PLAIN)
        case _:
            return Request(json=generic(message, text, shown))


_PLAIN = {"Content-Type": "text/plain; charset=utf-8"}


def generic(message: Message, text: Text, shown: Shown) -> dict[str, Any]:
    """The JSON document that programs read; commands get it, too."""
    firsts = message.firsts or (None,) * len(message.notifications)
    listed = list(zip(message.notifications, firsts, text.parts, strict=False))  # not more than are in the text
    return {
        "id": message.id,
        "reminder": message.reminder,
        "subject": text.subject,
        "text": text.plain,
        "more": text.more,
        "notifications": [_fields(*each, shown) for each in listed],
    }


_NAMES = ("flow", "flow_file", "run_id", "item", "slot", "job", "step", "code", "owner", "runbook_url", "log")


def _fields(notification: Notification, first: Notification | None, part: MessagePart, shown: Shown) -> dict[str, Any]:
    return {
        "id": notification.id,
        "event": notification.event,
        "at": notification.at.isoformat(),
        "since": (first or notification).at.isoformat(),
        "failures": notification.failures,
        **{name: shown(getattr(notification, name)) for name in _NAMES},
        "title": part.title,
        "message": part.cause,
        "next": part.next,
        "tail": list(part.tail),
    }


# Channels


def slack(text: Text) -> dict[str, Any]:
    """A rich text, whose letters Slack takes as they are; `text` is what a notification shows."""
    elements: list[dict[str, Any]] = []
    for part in _within(text):
        elements.append(_section([{"type": "text", "text": part.title, "style": {"bold": True}}]))
        if part.cause:
            elements.append(_section([{"type": "text", "text": part.cause}]))
        if part.next:
            elements.append({"type": "rich_text_preformatted", "elements": [{"type": "text", "text": part.next}]})
        facts = "\n".join(f"{name}: {value}" for name, value in part.facts)
        link: list[dict[str, Any]] = [{"type": "text", "text": "\n"}]
        link.append({"type": "link", "url": part.runbook, "text": "runbook"})
        elements.append(_section([{"type": "text", "text": facts}, *(link if part.runbook else [])]))
        if part.tail:
            lines = [{"type": "text", "text": "\n".join(part.tail)}]
            elements.append({"type": "rich_text_preformatted", "elements": lines})
    if text.more:
        elements.append(_section([{"type": "text", "text": f"and {text.more} more"}]))
    subject = text.subject.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return {"text": subject, "mrkdwn": False, "blocks": [{"type": "rich_text", "elements": elements}]}


def _section(elements: list[dict[str, Any]]) -> dict[str, Any]:
    return {"type": "rich_text_section", "elements": elements}


def mattermost(text: Text) -> str:
    """Markdown, also of Rocket.Chat: a title, and the rest as code, in which nothing is markup and nobody mentioned."""
    first, *rest = text.plain.strip().split("\n")
    body = limited("\n".join(rest).strip().replace("```", "'''"), MOST_LETTERS)
    title = _MARKDOWN.sub(r"\\\1", first).replace("@", "\uff20")
    links = "".join(f"\n[runbook](<{part.runbook}>)" for part in text.parts if part.runbook)
    return f"**{title}**\n```\n{body}\n```{links}"


def teams(text: Text) -> dict[str, Any]:
    """An adaptive card of runs of text, which have no markup, for webhooks of Teams' workflows."""
    body: list[dict[str, Any]] = []
    actions: list[dict[str, Any]] = []
    for part in _within(text):
        body.append(_run(part.title, weight="Bolder", size="Medium"))
        body += [_run(line) for line in part.cause.split("\n") if line.strip()]
        if part.next:
            body.append(_run(part.next, fontType="Monospace"))
        body += [_run(f"{name}: {value}", isSubtle=True) for name, value in part.facts]
        body += [_run(line or " ", fontType="Monospace", size="Small") for line in part.tail]
        if part.runbook and len(actions) < 3:  # a card shows few of them
            actions.append({"type": "Action.OpenUrl", "title": "Runbook", "url": part.runbook})
    if text.more:
        body.append(_run(f"and {text.more} more"))
    card = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "msteams": {"width": "Full"},
        "body": body,
        "actions": actions,
    }
    attachment = {"contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": None, "content": card}
    return {"type": "message", "attachments": [attachment]}


def _run(text: str, **style: Any) -> dict[str, Any]:
    return {"type": "RichTextBlock", "inlines": [{"type": "TextRun", "text": text, **style}]}


def _within(text: Text) -> Iterator[MessagePart]:
    """The parts that a channel takes: at the end of the room without last lines, then without the rest."""
    left = MOST_LETTERS
    for part in text.parts:
        size = len(part.title) + len(part.cause) + sum(len(name) + len(value) + 2 for name, value in part.facts)
        tail = part.tail
        while tail and size + sum(map(len, tail)) > left:
            tail = tail[1:]
        if size <= left:
            yield part._replace(tail=tail)
        else:
            yield MessagePart(part.title, "", (), None, None, ())
        left -= size + sum(map(len, tail))


def ntfy(message: Message, text: Text) -> Request:
    """Plain text to a topic, the rest in headers."""
    good = all(each.event in (RECOVERED, "succeeded", "started") for each in message.notifications)
    subject = text.subject if text.subject.isascii() else Header(text.subject, "utf-8", maxlinelen=10_000).encode()
    headers = {
        **_PLAIN,
        "Title": subject,
        "Priority": "default" if good else "high",
        "Tags": "white_check_mark" if good else "rotating_light",
    }
    if len(text.parts) == 1 and text.parts[0].runbook:
        headers["Click"] = text.parts[0].runbook
    body = text.plain.partition("\n")[2].strip() or text.subject
    return Request(content=_cut(body, NTFY_BYTES), headers=headers)


def _cut(text: str, most: int) -> bytes:
    data = text.encode(errors="replace")
    return data if len(data) <= most else data[: most - 4].decode(errors="ignore").encode() + b" ..."
