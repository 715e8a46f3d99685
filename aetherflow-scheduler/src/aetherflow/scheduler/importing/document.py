"""Writes what was imported as the text of a scheduler document."""

import re
from collections.abc import Iterable, Iterator
from typing import Any

from aetherflow.scheduler.importing.drafts import Draft, Imported

_PLAIN = re.compile(r"-{0,2}[A-Za-z/][A-Za-z0-9/_.@+=-]*\Z")
_NO_TEXT = {"true", "false", "yes", "no", "on", "off", "null", "y", "n"}
_WIDTH = 110
_LEAST_ROOM = 4
_OVERLAP = {
    "allow": "cron does; `skip` leaves out a slot while the run before goes on",
    "skip": "systemd does, which starts no service that runs",
}


def written(found: Imported) -> str:
    """The document; it starts nothing until its line `launcher: observe` is taken away."""
    room = max(_LEAST_ROOM, len(found.drafts))
    lines = [*_comments(found.head), f"timezone: {found.zone}"]
    lines += [f"max_running: {room}  # cron and systemd have no limit", ""]
    lines += [
        "defaults:",
        "  launcher: observe  # starts nothing; take this line away when the old one is switched off",
    ]
    lines.append(f"  overlap: {found.overlap}  # as {_OVERLAP[found.overlap]}")
    if found.mail_to:
        lines += ["", *_comments(_mail(found.mail_to))]
    lines += ["", "items:" if found.drafts else "items: []"]
    for draft in found.drafts:
        lines += [*_item(draft), ""]
    lines += _comments(found.tail, "  ")
    return "\n".join(lines).rstrip("\n") + "\n"


def _mail(addresses: Iterable[str]) -> list[str]:
    told = ", ".join(scalar(each) for each in addresses)
    return [
        "Cron mailed what commands printed. To get mails about failures, with a resource `mail` of the project file:",
        "notify:",
        f"  - {{to: mail, recipients: [{told}]}}",
    ]


def _item(draft: Draft) -> Iterator[str]:
    yield from _comments(draft.comments, "  ")
    yield f"  - id: {draft.id}"
    yield f"    cron: {scalar(draft.cron)}"
    for key, value in draft.keys.items():
        yield f"    {key}: {scalar(value)}"
    words = [scalar(word) for word in draft.command]
    line = f"    command: [{', '.join(words)}]"
    if len(line) <= _WIDTH:
        yield line
        return
    yield "    command:"
    yield from (f"      - {word}" for word in words)


def _comments(texts: Iterable[str], indent: str = "") -> list[str]:
    return [f"{indent}# {_visible(text)}".rstrip() if text else "" for text in texts]


def _visible(text: str) -> str:
    return "".join(letter if letter.isprintable() else _escape(letter) for letter in text.expandtabs(1))


def scalar(value: Any) -> str:
    """A value as YAML in one line; text is quoted unless it can be nothing but text."""
    if not isinstance(value, str):
        return str(value).lower() if isinstance(value, bool) else f"{value}"
    if _PLAIN.match(value) and value.lower() not in _NO_TEXT:
        return value
    quoted = value.replace("\\", "\\\\").replace('"', '\\"')
    if "\\" in quoted and value.isprintable():
        return "'" + value.replace("'", "''") + "'"
    return '"' + "".join(letter if letter.isprintable() else _escape(letter) for letter in quoted) + '"'


def _escape(letter: str) -> str:
    known = {"\n": "\\n", "\t": "\\t"}.get(letter)
    if known is not None:
        return known
    code = ord(letter)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
