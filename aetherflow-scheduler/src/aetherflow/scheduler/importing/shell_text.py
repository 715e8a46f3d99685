"""Takes the command of a crontab apart, as far as it can be done without running a shell."""

import re
from typing import NamedTuple

_REDIRECT = re.compile(r"(?:&>>?|[0-9]*(?:>>|>&|>\||>|<<<|<<|<&|<>|<))")
_CONTROL = re.compile(r"&&|\|\||;;|\|&|[;|&()\n]")
_LOGS = re.compile(r"/dev/null|/var/log/.+|.+\.log")
_RESERVED = frozenset({"{", "!", "[[", "if", "for", "while", "until", "case", "select", "function", "time", "coproc"})
_NESTED = {"$(": ")", "${": "}", "`": "`"}


class Token(NamedTuple):
    """A part of a command: a word, an operator between commands, a redirection, or a comment."""

    kind: str
    raw: str
    start: int
    end: int
    value: str | None = None
    """A word without its quotes; None if the shell would expand something in it."""


class Ending(NamedTuple):
    """What is taken off the end of a command, since a run has it anyway."""

    text: str
    logs: tuple[str, ...]
    """The files to which the output went."""
    background: bool
    """Whether it ended with `&`."""
    comment: str
    """The comment behind it, without `#`."""


def tokens(text: str) -> list[Token] | None:
    """The parts of a command; None if its quotes or parentheses are not closed, or it has a here document."""
    found: list[Token] = []
    at = 0
    while at < len(text):
        if text[at] in " \t":
            at += 1
        elif text[at] == "#":
            found.append(Token("comment", text[at:], at, len(text)))
            at = len(text)
        elif match := _REDIRECT.match(text, at):
            if match[0].endswith("<<"):
                return None
            found.append(Token("redirect", match[0], at, match.end()))
            at = match.end()
        elif match := _CONTROL.match(text, at):
            found.append(Token("control", match[0], at, match.end()))
            at = match.end()
        else:
            word = _word(text, at)
            if word is None:
                return None
            found.append(word)
            at = word.end
    return found


def _word(text: str, start: int) -> Token | None:
    """The word that begins at an index; None if a quote or a substitution in it is not closed."""
    at, value, plain = start, "", True
    while at < len(text) and text[at] not in " \t;|&()<>\n":
        letter = text[at]
        if letter == "'":
            end = text.find("'", at + 1)
            if end < 0:
                return None
            value += text[at + 1 : end]
            at = end + 1
        elif letter == '"':
            found = _quoted(text, at)
            if found is None:
                return None
            inner, at = found
            plain = plain and not re.search(r"[$`]", inner)
            value += re.sub(r"\\([\\\"])", r"\1", inner)
        elif letter == "\\":
            if at + 1 >= len(text):
                return None
            value += text[at + 1]
            at += 2
        elif (opening := next((each for each in _NESTED if text.startswith(each, at)), None)) is not None:
            end = _closing(text, at + len(opening), _NESTED[opening])
            if end < 0:
                return None
            plain, at = False, end + 1
        else:
            plain = plain and letter not in "$*?[~"
            value += letter
            at += 1
    return Token("word", text[start:at], start, at, value if plain else None)


def _quoted(text: str, at: int) -> tuple[str, int] | None:
    """What stands between double quotes, and the index behind them; None if they are not closed."""
    begin = at = at + 1
    while at < len(text) and text[at] != '"':
        at += 2 if text[at] == "\\" else 1
    return (text[begin:at], at + 1) if at < len(text) else None


def _closing(text: str, at: int, letter: str) -> int:
    """The index of what closes a substitution; -1 if nothing does."""
    depth = 0
    while at < len(text):
        if text[at] == letter and depth == 0:
            return at
        if text[at] == "\\":
            at += 1
        elif text[at] == "'" and letter != "}":
            at = text.find("'", at + 1)
            if at < 0:
                return -1
        elif letter != "`" and text[at] in "({":
            depth += 1
        elif letter != "`" and text[at] in ")}":
            depth -= 1
        at += 1
    return -1


def is_simple(parts: list[Token]) -> bool:
    """Whether a text is one command, without pipes, lists and groups."""
    return bool(parts) and parts[0].raw not in _RESERVED and not any(each.kind == "control" for each in parts)


def without_ending(text: str) -> Ending:
    """Take `&`, a comment, and redirections to logs off the end of a command."""
    text = text.strip()
    parts = tokens(text)
    comment, background = "", False
    if parts and parts[-1].kind == "comment":
        comment = parts.pop().raw.lstrip("# \t")
    if parts and len(parts) > 1 and parts[-1].raw == "&":
        background = True
        parts.pop()
    if not parts:
        return Ending(text, (), background=False, comment="")
    kept, logs = _without_logs(parts)
    return Ending(text[: kept[-1].end], logs, background, comment)


def _without_logs(parts: list[Token]) -> tuple[list[Token], tuple[str, ...]]:
    """The tokens without the redirections at their end, and their files, if all of these are logs."""
    end = len(parts)
    while end >= 2 and parts[end - 1].kind == "word" and parts[end - 2].kind == "redirect":
        end -= 2
    pairs = [(parts[at].raw, parts[at + 1]) for at in range(end, len(parts), 2)]
    files = [word.value or word.raw for sign, word in pairs if not sign.endswith("&")]
    if not files or end == 0 or any("<" in sign for sign, _ in pairs):
        return parts, ()
    if any(sign.endswith("&") and word.raw not in ("1", "2") for sign, word in pairs):
        return parts, ()
    if not (all(_LOGS.fullmatch(file) for file in files) or _is_of_both(pairs)):
        return parts, ()
    return parts[:end], tuple(dict.fromkeys(files))


def _is_of_both(pairs: list[tuple[str, Token]]) -> bool:
    """Whether both outputs are appended to one file: that is a log, whatever its name."""
    signs = [sign for sign, _ in pairs]
    return signs == ["&>>"] or (signs in (["1>>", "2>&"], [">>", "2>&"]) and pairs[1][1].raw == "1")
