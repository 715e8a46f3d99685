"""How a message reads: composed once, of harmless text, for every sink that shows it."""

import datetime as dt
import re
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import PurePath
from typing import NamedTuple

from aetherflow.core.contracts.notification import Notification
from aetherflow.core.runtime.notify.due import Message
from aetherflow.core.runtime.notify.log_tail import last_lines
from aetherflow.core.runtime.notify.rules import RECOVERED, SIGNALS, Rule

MOST_PARTS = 30
"""Of one message; more are counted."""
WIDTH, LONG, TAIL_WIDTH = 300, 2000, 200
_ANSI = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")
_JOINERS = "\u200c\u200d"
_INERT = {"Cc", "Cf", "Cs", "Co", "Cn"}
"""Categories of characters that steer a terminal, the direction of writing, or nothing that can be seen."""


class MessagePart(NamedTuple):
    """One notification, as it reads in a message."""

    title: str
    cause: str
    facts: tuple[tuple[str, str], ...]
    next: str | None
    runbook: str | None
    tail: tuple[str, ...]
    """The last lines of the output of the step, or of the run's log."""


class Text(NamedTuple):
    """A whole message: its subject, its notifications, and how much it only counts."""

    subject: str
    parts: tuple[MessagePart, ...]
    more: int = 0
    """How many notifications are only counted."""

    @property
    def plain(self) -> str:
        """The message as plain text."""
        blocks = ["\n".join(_lines(part)) for part in self.parts]
        if len(self.parts) > 1 or self.more:
            blocks.insert(0, self.subject)
        if self.more:
            blocks.append(f"and {self.more} more")
        return "\n\n\n".join(blocks) + "\n"


def _lines(part: MessagePart) -> Iterator[str]:
    yield part.title
    if part.cause:
        yield from ("", part.cause)
    if part.next:
        yield from ("", "next:", f"  {part.next}")
    if part.facts:
        yield ""
        yield from (f"{name}: {value}" for name, value in part.facts)
    if part.tail:
        yield from ("", "last lines:", *(f"  {line}" for line in part.tail))


def compose(message: Message, mask: Callable[[str], str]) -> Text:
    """The text of a message. `mask` takes secrets out of it."""
    firsts = message.firsts or (None,) * len(message.notifications)
    shown = list(zip(message.notifications, firsts, strict=True))[:MOST_PARTS]
    parts = tuple(
        _part(notification, first, message, mask, tail=len(message.notifications) == 1) for notification, first in shown
    )
    more = len(message.notifications) - len(parts)
    return Text(parts[0].title if len(parts) == 1 else mask(one_line(mask(_counted(message)))), parts, more)


def _part(
    notification: Notification, first: Notification | None, message: Message, mask: Callable[[str], str], *, tail: bool
) -> MessagePart:
    def shown(text: str | None, most: int = WIDTH) -> str | None:
        return shown_by(mask, text, most)

    recovered = notification.event == RECOVERED
    was = first if recovered and first is not None else None
    cause = _why(notification)
    if was is not None:
        cause = f"it had {_past(was)}: {_why(was)}"
    runbook = shown(notification.runbook_url)
    return MessagePart(
        title=shown(_title(notification, message)) or "",
        cause=as_written(mask, cause).strip(),
        facts=tuple(
            (name, found) for name, text in _facts(notification, first, message.rule) if (found := shown(text))
        ),
        next=as_written(mask, notification.next) if notification.next and not recovered else None,
        runbook=runbook if runbook and _is_address(runbook) else None,
        tail=()
        if notification.event in (RECOVERED, "started") or not tail
        else tuple(as_line(mask, line) for line in last_lines(notification)),
    )


def _name(notification: Notification) -> str:
    return (
        notification.item
        or notification.flow
        or (PurePath(notification.flow_file).name if notification.flow_file else "a flow")
    )


def _title(notification: Notification, message: Message) -> str:
    words = [*(["STILL"] if message.reminder else []), notification.event.upper(), _name(notification)]
    if notification.job and notification.event != RECOVERED:
        words += ["in", f"{notification.job}.{notification.step}" if notification.step else notification.job]
    if notification.slot and notification.event in ("missed", "late"):
        words += ["slot", notification.slot]
    return " ".join(words)


def _counted(message: Message) -> str:
    """`2 FAILED, 1 RECOVERED: load, nightly`."""
    counts: dict[str, int] = {}
    names: dict[str, None] = {}
    for each in message.notifications:
        counts[each.event.upper()] = counts.get(each.event.upper(), 0) + 1
        names[_name(each)] = None
    listed = ", ".join(list(names)[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
    return f"{', '.join(f'{count} {word}' for word, count in counts.items())}: {listed}"


def _past(notification: Notification) -> str:
    where = f" in {notification.job}.{notification.step}" if notification.job and notification.step else ""
    return {"late": "been late", "unknown": "ended UNKNOWN", "refused": "been refused", "missed": "missed a slot"}.get(
        notification.event, notification.event
    ) + where


def _why(notification: Notification) -> str:
    # codes of errors are looked up; those of reasons only repeat what the message says
    code = notification.code if notification.code is not None and notification.code.startswith("AF") else None
    return " ".join(filter(None, (code, notification.message)))


def _facts(notification: Notification, first: Notification | None, rule: Rule) -> Iterator[tuple[str, str | None]]:
    if notification.event == RECOVERED:
        yield "since", _time(notification.at, rule)
        if first is not None:
            yield "broken", f"{span(notification.at - first.at)}, from {_time(first.at, rule)} on"
    elif notification.event in SIGNALS:
        yield "at", _time(notification.at, rule)
    else:
        yield "since", _time(first.at if first is not None else notification.at, rule)
        if first is not None:
            yield "last", _time(notification.at, rule)
        yield "failures", f"{notification.failures} in a row" if notification.failures > 1 else None
    yield "owner", notification.owner
    yield "runbook", notification.runbook_url
    yield "item", notification.item
    yield (
        "flow",
        f"{notification.flow} ({notification.flow_file})"
        if notification.flow and notification.flow_file
        else notification.flow or notification.flow_file,
    )
    yield "slot", notification.slot
    yield "run", notification.run_id
    yield "log", notification.log


def _time(at: dt.datetime, rule: Rule) -> str:
    return f"{at.astimezone(rule.zone):%Y-%m-%d %H:%M %Z}"


def span(length: dt.timedelta) -> str:
    """A time in words: `3 h 12 min`, `2 d 4 h`."""
    minutes = max(0, round(length.total_seconds() / 60))
    days, hours, minutes = minutes // 1440, minutes // 60 % 24, minutes % 60
    if days:
        return f"{days} d {hours} h" if hours else f"{days} d"
    return " ".join(filter(None, (f"{hours} h" if hours else "", f"{minutes} min" if minutes or not hours else "")))


# Third-party text in it


def harmless(text: str) -> str:
    r"""The text with every invisible or steering character escaped: `\x1b`; colours of a terminal are dropped."""
    lines = _ANSI.sub("", text).replace("\r\n", "\n").replace("\u2028", "\n").replace("\u2029", "\n")
    return "".join(_escaped(letter) for letter in lines)


def _escaped(letter: str) -> str:
    if (letter.isascii() and letter.isprintable()) or letter in "\n\t" or letter in _JOINERS:
        return letter
    if unicodedata.category(letter) not in _INERT:
        return letter
    code = ord(letter)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def limited(text: str, most: int) -> str:
    """The text without its middle, if it is longer than so many characters."""
    half = most // 2 - 3
    return text if len(text) <= most else f"{text[:half].rstrip()} ... {text[-half:].lstrip()}"


def shown_by(mask: Callable[[str], str], text: str | None, most: int = WIDTH) -> str | None:
    """The text on one line, harmless and without secrets; None for none."""
    # masked once more at the end: what was between the letters of a secret is gone then
    return mask(one_line(mask(text), most)) if text else None


def as_written(mask: Callable[[str], str], text: str) -> str:
    """The text, harmless and without secrets, with its blanks and lines: a command must work when it is typed."""
    return mask(limited(harmless(limited(mask(text), 8 * LONG)), LONG))


def as_line(mask: Callable[[str], str], line: str) -> str:
    """A line of a log, harmless and without secrets, with its indentation."""
    shown = harmless(limited(mask(line), 8 * TAIL_WIDTH)).replace("\n", " ").expandtabs(4)
    return mask(limited(shown.rstrip(), TAIL_WIDTH))


def one_line(text: str, most: int = WIDTH) -> str:
    """The text, harmless, on one line of limited length."""
    # what is far too long is cut before it is looked at letter by letter
    return limited(" ".join(harmless(limited(text, 8 * most)).split()), most)


def _is_address(text: str) -> bool:
    return re.fullmatch(r"https?://[!-~]+", text) is not None and not set(text) & set("<>\"'`()[]{}|\\^*")
