"""Reads what a service of systemd starts: ExecStart, Environment, and spans of time."""

import re
import shlex
from collections.abc import Sequence

_WORD = re.compile(r"""(?:[^\s"'\\]|\\.|"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')+""", re.DOTALL)
_PART = re.compile(r"""[^\s"'\\]+|\\.|"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'""", re.DOTALL)
_ESCAPES = {"n": "\n", "t": "\t", "s": " ", "a": "\a", "b": "\b", "f": "\f", "r": "\r", "v": "\v"}
_SPAN = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([a-z]*)")
_UNITS = {
    **dict.fromkeys(("", "s", "sec", "second", "seconds"), 1.0),
    **dict.fromkeys(("m", "min", "minute", "minutes"), 60.0),
    **dict.fromkeys(("h", "hr", "hour", "hours"), 3600.0),
    **dict.fromkeys(("d", "day", "days"), 86400.0),
    **dict.fromkeys(("w", "week", "weeks"), 604800.0),
    "ms": 0.001,
}
_VARIABLE = re.compile(r"\$\$|\$\{(\w+)\}|\$(\w+)", re.ASCII)


def words_of(text: str) -> list[str] | None:
    """The words of a line, without their quotes; None if a quote is not closed, or it has a specifier."""
    found: list[str] = []
    at = 0
    while at < len(text):
        if text[at].isspace():
            at += 1
            continue
        match = _WORD.match(text, at)
        if match is None or (match.end() < len(text) and not text[match.end()].isspace()):
            return None
        found.append("".join(_part(part) for part in _PART.findall(match[0])))
        at = match.end()
    if any(re.search(r"%[^%]|%\Z", word.replace("%%", "")) for word in found):
        return None
    return [word.replace("%%", "%") for word in found]


def _part(part: str) -> str:
    inner = part[1:-1] if part[0] in "\"'" else part
    return re.sub(r"\\(.)", lambda match: _ESCAPES.get(match[1], match[1]), inner, flags=re.DOTALL)


def has_variables(words: Sequence[str]) -> bool:
    """Whether systemd would replace a variable in a word."""
    return any(match[0] != "$$" for word in words for match in _VARIABLE.finditer(word))


def plain(words: Sequence[str]) -> list[str]:
    """Words without variables, as a program gets them."""
    return [word.replace("$$", "$") for word in words]


def as_shell(words: Sequence[str]) -> str:
    """Words as the text of a shell, which replaces the variables as systemd does."""
    return " ".join(_shell_word(word) for word in words)


def _shell_word(word: str) -> str:
    if (match := _VARIABLE.fullmatch(word)) is not None and match[2]:
        return f"${match[2]}"  # alone and without braces it is split at blanks
    shown, at = "", 0
    for match in _VARIABLE.finditer(word):
        name = match[1] or match[2]
        before = word[at : match.start()]
        shown += (shlex.quote(before) if before else "") + (f'"${{{name}}}"' if name else "'$'")
        at = match.end()
    rest = word[at:]
    return shown + (shlex.quote(rest) if rest or not shown else "")


def seconds_of(text: str) -> float | None:
    """A span such as `1h 30min` in seconds; None for `infinity`, 0, and what cannot be read."""
    total, at = 0.0, 0
    text = text.strip()
    while at < len(text):
        match = _SPAN.match(text, at)
        if match is None or match[2] not in _UNITS:
            return None
        total += float(match[1]) * _UNITS[match[2]]
        at = match.end()
        while at < len(text) and text[at].isspace():
            at += 1
    return total if 0 < total <= 10**9 else None
