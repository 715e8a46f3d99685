"""OpenSSH's file `allowed_signers`: which key may sign for whom, for what, and how long. Read as ssh-keygen reads it.

A line is `PRINCIPALS [OPTIONS] KEYTYPE BASE64 [COMMENT]`. A principal is the id of a bundle: `sales-*` stands for all
bundles whose ids begin so. A principal with `@`, which no id has, is the person to whom the key belongs.
"""

import base64
import datetime as dt
import re
from collections.abc import Iterator
from fnmatch import translate
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from aetherflow.core.base.errors import SpecError
from aetherflow.core.base.location import Location
from aetherflow.core.base.problems import Problem

MAX_BYTES = 1 << 20
_OPTION = re.compile(r'([^\s=,"]+)(?:="((?:[^"\\]|\\.)*)")?')
_TIMES = {8: "%Y%m%d", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S"}


class Line(NamedTuple):
    """A line of the file whose principals match."""

    at: Location
    key: bytes
    """The public key, as on the wire."""
    comment: str = ""
    namespaces: str | None = None
    """A pattern list; None: all."""
    valid_after: dt.datetime | None = None
    valid_before: dt.datetime | None = None
    people: tuple[str, ...] = ()
    """The principals with `@`, in lower case."""

    def person(self) -> str:
        """Return the person to whom the key belongs. SpecError unless the line names exactly one, without a pattern."""
        if len(self.people) == 1 and not set(self.people[0]) & set("*?"):
            return self.people[0]
        message = "the line names no person" if not self.people else f"{', '.join(self.people)} is not one person"
        fix = "write the person next to the ids of bundles, without blanks: nightly,alice@example.com"
        raise _wrong(self.at, f"{message}, and the policy's threshold counts people", fix)

    def why_not_for(self, namespace: str) -> str | None:
        """Why the key may not sign in a namespace; None if it may."""
        if self.namespaces is None or matches(namespace, self.namespaces):
            return None
        return f'{self.at}: the key is allowed for namespaces="{self.namespaces}", not for {namespace}'

    def why_not_at(self, at: dt.datetime) -> str | None:
        """Why the key is not valid at an instant; None if it is."""
        if self.valid_after is not None and at < self.valid_after:
            return f"{self.at}: the key is valid only from {_shown(self.valid_after)} on"
        if self.valid_before is not None and at > self.valid_before:
            return f"{self.at}: the key was valid until {_shown(self.valid_before)}"
        return None


def read_signers(path: Path, principal: str) -> list[Line]:
    """The lines whose principals match. SpecError if the file cannot be read, or for the first of them that is wrong.

    Lines for other principals are not looked at any further, as ssh-keygen does.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise _wrong(Location(str(path)), f"it is larger than {MAX_BYTES:,} bytes")
        text = data.decode()
    except (OSError, UnicodeDecodeError) as error:
        message = f"the signers cannot be read: {error}"
        fix = "correct the path, or write the file; its format is in: man ssh-keygen, ALLOWED SIGNERS"
        raise SpecError(
            [Problem("AF1003", message, Location(str(path)), code="signers:unreadable", fix=fix)]
        ) from error
    return list(_lines(path, text, principal))


def _lines(path: Path, text: str, principal: str) -> Iterator[Line]:
    for number, line in enumerate(text.split("\n"), 1):
        at, rest = Location(str(path), number), line.strip(" \t\r")
        if not rest or rest.startswith("#"):
            continue
        principals, rest = _first_word(at, rest)
        if matches(principal, principals):
            names = {each.strip().lower() for each in principals.split(",")}
            people = sorted(each for each in names if "@" in each and not each.startswith("!"))
            yield _line(at, rest)._replace(people=tuple(people))


def _first_word(at: Location, text: str) -> tuple[str, str]:
    """The principals, which may stand in quotes, and the rest of the line."""
    if text.startswith('"'):
        word, closed, rest = text[1:].partition('"')
        if not closed:
            raise _wrong(at, "a quote is not closed")
        return word, rest.strip(" \t")
    word, _, rest = text.replace("\t", " ").partition(" ")
    if not rest.strip():
        raise _wrong(at, "a line is: PRINCIPALS [OPTIONS] KEYTYPE BASE64")
    return word, rest.strip()


def _line(at: Location, text: str) -> Line:
    found = _key(text)
    if found is not None:
        return Line(at, *found)
    options, rest = _options(at, text)
    found = _key(rest)
    if found is None:
        raise _wrong(at, "no public key follows the principals and the options")
    return Line(at, *found, **options)


def _key(text: str) -> tuple[bytes, str] | None:
    """The public key at the start of a text, and the comment that follows."""
    words = re.split("[ \t]+", text, maxsplit=2)
    if len(words) < 2:
        return None
    try:
        key = base64.b64decode(words[1], validate=True)
    except ValueError:
        return None
    kind = words[0].encode()
    if key[: 4 + len(kind)] != len(kind).to_bytes(4) + kind:
        return None
    return key, words[2].strip() if len(words) > 2 else ""


def _options(at: Location, text: str) -> tuple[dict[str, Any], str]:
    found: dict[str, Any] = {}
    position = 0
    while True:
        match = _OPTION.match(text, position)
        if match is None:
            raise _wrong(at, f"an option or a key is expected, not {text[position : position + 40]!r}")
        name, value = match[1].lower(), match[2]
        if name == "cert-authority":
            raise _wrong(at, "cert-authority is not supported", "name the key itself that signs, in a line of its own")
        if name not in ("namespaces", "valid-after", "valid-before") or value is None:
            message = f"{match[1]!r} is neither an option nor the type of a public key that can be read"
            raise _wrong(at, message, 'options are namespaces="…", valid-after="…", valid-before="…", without blanks')
        key = name.replace("-", "_")
        if key in found:
            raise _wrong(at, f"{name} stands there twice")
        value = re.sub(r'\\"', '"', value)
        found[key] = value if name == "namespaces" else _time(at, name, value)
        position = match.end()
        if text[position : position + 1] != ",":
            break
        position += 1
    if text[position : position + 1] not in (" ", "\t"):
        raise _wrong(at, "a blank, then the key, must follow the options")
    after, before = found.get("valid_after"), found.get("valid_before")
    if after is not None and before is not None and before <= after:
        raise _wrong(at, "valid-before is not after valid-after")
    return found, text[position:].strip()


def _time(at: Location, name: str, text: str) -> dt.datetime:
    """A time of an option, in UTC: it is written so with the ending Z or UTC, else in the time zone of the machine."""
    found = re.fullmatch(r"([0-9]+)(Z|UTC)?", text, re.IGNORECASE)
    form = _TIMES.get(len(found[1])) if found else None
    try:
        if found is None or form is None:
            raise ValueError
        local = dt.datetime.strptime(found[1], form)  # noqa: DTZ007 its zone follows
        return local.replace(tzinfo=dt.UTC) if found[2] else local.astimezone(dt.UTC)
    except (ValueError, OverflowError):  # the latter at the ends of the calendar
        message = f"{name}: {text!r} is not a time"
        raise _wrong(at, message, "write YYYYMMDD, YYYYMMDDHHMM or YYYYMMDDHHMMSS, with Z for UTC") from None


def matches(text: str, patterns: str) -> bool:
    """Whether a text is matched by a pattern list of OpenSSH: commas between, `*` and `?`, `!` excludes."""
    found = False
    for pattern in patterns.split(","):
        if _pattern(pattern.removeprefix("!")).fullmatch(text):
            if pattern.startswith("!"):
                return False
            found = True
    return found


@lru_cache
def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(translate(text.replace("[", "[[]")))


def _shown(at: dt.datetime) -> str:
    return at.strftime("%Y-%m-%d %H:%M:%S UTC")


def _wrong(at: Location, message: str, fix: str = "correct the line; its format is in: man ssh-keygen") -> SpecError:
    return SpecError([Problem("AF1103", message, at, code="signers:line", fix=fix)])
