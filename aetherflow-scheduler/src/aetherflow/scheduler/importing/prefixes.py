"""Takes `flock` and `timeout` off the front of a command: an item has keys for what they do."""

import re
from collections.abc import Mapping
from typing import NamedTuple

from aetherflow.scheduler.importing.shell_text import Token, is_simple, tokens

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "": 1}


class Lock(NamedTuple):
    """The lock that `flock` was to hold."""

    file: str
    at_once: bool
    """Whether it gives up if the lock is held: `-n`."""
    wait: str | None
    """The seconds after which it gives up, as they are written; None if it waits without end."""


class Limit(NamedTuple):
    """The limit that `timeout` was to keep, and how."""

    seconds: float
    signal: str | None
    """The signal that it sends, if it is another one than TERM."""


class Prefixes(NamedTuple):
    """A command without what stood before it."""

    text: str
    lock: Lock | None
    limit: Limit | None


class _Options(NamedTuple):
    """The options of a program that stand before its first operand."""

    given: dict[str, str]
    rest: list[Token]


def without_prefixes(text: str) -> Prefixes:
    """Take `flock` and `timeout` off, as long as they hold for the whole command and nothing else is asked of them."""
    lock: Lock | None = None
    limit: Limit | None = None
    while (parts := tokens(text)) and is_simple(parts):
        program = (parts[0].value or "").rpartition("/")[2]
        if program == "flock" and lock is None and (locked := _flock(text, parts[1:])) is not None:
            lock, text = locked
        elif program == "timeout" and limit is None and (limited := _timeout(text, parts[1:])) is not None:
            limit, text = limited
        else:
            break
    return Prefixes(text, lock, limit)


def _flock(text: str, parts: list[Token]) -> tuple[Lock, str] | None:
    names = {"n": "n", "nb": "n", "nonblock": "n", "x": "x", "e": "x", "exclusive": "x", "o": "o", "close": "o"}
    names |= {"F": "o", "no-fork": "o", "v": "o", "verbose": "o"}
    valued = {"w": "w", "wait": "w", "timeout": "w", "E": "E", "conflict-exit-code": "E"}
    found = _options(parts, names, valued)
    if found is None or not found.rest or not found.rest[0].value or found.rest[0].value.isdigit():
        return None
    file, *rest = found.rest
    if rest and rest[0].raw in ("-c", "--command"):
        if len(rest) < 2 or rest[1].value is None or len(rest) > 2:
            return None
        command = rest[1].value
    else:
        command = _from(text, rest)
    at_once = "n" in found.given or _is_zero(found.given.get("w"))
    return (Lock(file.value or "", at_once, found.given.get("w")), command) if command.strip() else None


def _timeout(text: str, parts: list[Token]) -> tuple[Limit, str] | None:
    names = {"foreground": "o", "preserve-status": "o", "v": "o", "verbose": "o", "f": "o", "p": "o"}
    valued = {"k": "k", "kill-after": "k", "s": "s", "signal": "s"}
    found = _options(parts, names, valued)
    if found is None or len(found.rest) < 2:
        return None
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)([smhd]?)", found.rest[0].value or "")
    if match is None or not 0 < (seconds := float(match[1]) * _UNITS[match[2]]) <= 10**9:
        return None
    signal = found.given.get("s", "TERM").upper().removeprefix("SIG")
    return Limit(seconds, None if signal in ("TERM", "15") else f"SIG{signal}"), _from(text, found.rest[1:])


def _from(text: str, parts: list[Token]) -> str:
    return text[parts[0].start :] if parts else ""


def _is_zero(text: str | None) -> bool:
    return text is not None and re.fullmatch(r"0+(\.0*)?", text) is not None


def _options(parts: list[Token], names: Mapping[str, str], valued: Mapping[str, str]) -> _Options | None:
    """Read options in both forms, up to the first operand; None if one is not known, or the shell expands something."""
    given: dict[str, str] = {}
    rest = list(parts)
    while rest and (word := rest[0].value) is not None and word.startswith("-") and word != "-":
        if word in ("-c", "--command"):
            return None  # before the file: a form that nobody writes
        del rest[0]
        if word == "--":
            break
        found = _option(word, names, valued)
        if found is None:
            return None
        name, value = found
        if value is None:
            if not rest or rest[0].value is None:
                return None
            value = rest.pop(0).value
        given |= dict.fromkeys(name[:-1], "") | {name[-1]: value or ""}
    return _Options(given, rest)


def _option(word: str, names: Mapping[str, str], valued: Mapping[str, str]) -> tuple[list[str], str | None] | None:
    """The names in a word of options, and the value of the last one; None as the value: it is the next word."""
    if word.startswith("--"):
        name, mark, value = word[2:].partition("=")
        if name in names and not mark:
            return [names[name]], ""
        return ([valued[name]], value if mark else None) if name in valued else None
    found: list[str] = []
    for index, letter in enumerate(word[1:], 1):
        if letter in valued:
            return [*found, valued[letter]], word[index + 1 :] or None
        if letter not in names:
            return None
        found.append(names[letter])
    return found, ""
