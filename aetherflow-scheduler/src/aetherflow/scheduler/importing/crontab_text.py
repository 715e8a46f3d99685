"""Reads crontabs as Debian's cron does: lines of variables, lines of entries, and what `%` means in a command."""

import re
from typing import NamedTuple

ALIASES = frozenset({"@reboot", "@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly"})
_VARIABLE = re.compile(
    r"""\s*(?:"(?P<n1>[^"]*)"|'(?P<n2>[^']*)'|(?P<n3>[^\s="'][^\s=]*))\s*=\s*"""
    r"""(?:"(?P<v1>[^"]*)"|'(?P<v2>[^']*)'|(?P<v3>(?:[^"'].*?)?))\s*\Z"""
)
_FIELDS = 5


class Variable(NamedTuple):
    name: str
    value: str


class Entry(NamedTuple):
    """A line that starts a command."""

    times: str
    """Five fields, or an alias with `@`."""
    user: str | None
    """None in the crontab of an account."""
    command: str
    """As the shell gets it."""
    stdin: str | None
    """What the command reads; None without `%`."""


class NoEntry(NamedTuple):
    """A line that is neither a variable nor an entry, and why."""

    why: str


def read_line(text: str, *, system: bool) -> Variable | Entry | NoEntry:
    """Read a line that is neither blank nor a comment. `system`: it names an account."""
    if (match := _VARIABLE.match(text)) is not None:
        parts = match.groupdict()
        name, value = (next(v for k, v in parts.items() if k[0] == kind and v is not None) for kind in "nv")
        return Variable(name, value)
    wanted = (1 if text.lstrip().startswith("@") else _FIELDS) + system
    parts_of_line = re.split(r"[ \t]+", text.lstrip(" \t"), maxsplit=wanted)
    if len(parts_of_line) <= wanted or not parts_of_line[-1].strip():
        what = "times, account and command" if system else "times and command"
        return NoEntry(f"it needs {what}")
    *fields, rest = parts_of_line
    user = fields.pop() if system else None
    if user is not None and not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_.-]*\$?", user, re.ASCII):
        return NoEntry(f"{user!r} is no account; is it the crontab of an account, without that column?")
    command, stdin = split_input(rest)
    return Entry(" ".join(fields), user, command, stdin)


def split_input(text: str) -> tuple[str, str | None]:
    r"""The command of an entry and its standard input, which begins at the first `%` without a backslash.

    In the command `\%` and `\\` lose their backslash, in the input `\%` alone does.
    """
    command, at = "", 0
    while at < len(text):
        letter = text[at]
        if letter == "\\" and text[at + 1 : at + 2] in ("%", "\\"):
            command += text[at + 1]
            at += 2
        elif letter == "%":
            return command, _input(text[at + 1 :])
        else:
            command += letter
            at += 1
    return command, None


def _input(text: str) -> str:
    found, escaped = "", False
    for letter in text:
        if escaped and letter != "%":
            found += "\\"
        if letter == "%":
            found += "%" if escaped else "\n"
        elif letter != "\\":
            found += letter
        escaped = letter == "\\"
    return found if not found or found.endswith("\n") else found + "\n"


def as_logged(text: str) -> str:
    """A command as cron writes it to its log: what is not ASCII, or not printable, as octal numbers and `^I`."""
    shown = ""
    for byte in text.encode():
        if byte < 0x20:
            shown += f"^{chr(byte + 64)}"
        elif byte == 0x7F:
            shown += "^?"
        else:
            shown += chr(byte) if byte < 0x7F else f"\\{byte:03o}"
    return shown
