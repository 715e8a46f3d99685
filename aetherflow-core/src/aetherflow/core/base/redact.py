"""Secrets are replaced by `***` wherever text leaves the run.

A value is registered once and then masked in the forms in which it travels: plain, base64, URL-quoted, JSON-quoted,
shell-quoted. `Stream` masks across the borders of chunks.
"""

import re
import threading
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any

MASK = "***"
MIN_LENGTH = 6
"""Values found by the name of their key are masked from this length on; shorter ones would blank out ordinary text."""
MIN_LINE = 8
"""The single lines of a multi-line secret, such as a private key, are masked too, from this length on."""

MIN_ENCODED = 8
"""The part that a secret has in a longer base64 text is masked from this length on."""

_SECRET_NAME = re.compile(
    r"(?:^|_)(?:PASS|PASSWORD|SECRET|TOKEN|CREDENTIAL|API_KEY|ACCESS_KEY|PRIVATE_KEY)(?:_|$)", re.ASCII
)
_NOT_SECRET = ("_PATH", "_FILE")
_URL_PASSWORD = re.compile(r"\w://[^/\s:@]*:([^/\s@]+)@")


@lru_cache(maxsize=4096)
def is_secret_name(name: str) -> bool:
    """True for a key whose value is masked: it holds PASSWORD, SECRET, TOKEN … as a whole word and names no file."""
    words = re.sub(r"[^A-Z0-9]+", "_", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).upper())
    return bool(_SECRET_NAME.search(words)) and not words.endswith(_NOT_SECRET)


def secrets_in(values: Mapping[str, Any]) -> Iterable[str]:
    """Values of a map whose keys are secret names, nested maps and lists included."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from secrets_in(value)
        elif isinstance(value, list):
            yield from (text for item in value if isinstance(item, Mapping) for text in secrets_in(item))
        elif isinstance(value, str) and len(value) >= MIN_LENGTH and is_secret_name(name):
            yield value


def texts_in(value: Any) -> Iterator[str]:
    """All texts in a value: the value itself, or those in its maps and lists, without keys."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping | list):
        for item in value.values() if isinstance(value, Mapping) else value:
            yield from texts_in(item)


def url_secrets(value: Any) -> Iterable[str]:
    """Passwords inside of URLs, as in `postgres://user:password@host`, in a text or in all texts of a map or list."""
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for item in value:
            yield from url_secrets(item)
    elif isinstance(value, str) and "://" in value:
        from urllib.parse import unquote

        for match in _URL_PASSWORD.finditer(value):
            if len(match[1]) >= MIN_LENGTH:
                yield from {match[1], unquote(match[1])}


def spellings(secret: str) -> set[str]:
    """The forms in which a secret may appear in text."""
    import base64  # imported only for runs with secrets
    import json
    import shlex
    from urllib.parse import quote, quote_plus

    try:
        raw = secret.encode("utf-8", "surrogateescape")  # bytes of an environment that are not UTF-8
    except UnicodeEncodeError:
        raw = secret.encode("utf-8", "surrogatepass")
    forms = {secret, quote(raw, safe=""), quote(raw), quote_plus(raw), shlex.quote(secret), repr(secret)[1:-1]}
    for ascii_only in (True, False):
        forms.add(json.dumps(secret, ensure_ascii=ascii_only)[1:-1])
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        text = encode(raw).decode()
        forms |= {text, text.rstrip("=")}
        for skip in range(3):  # inside of a longer text that is encoded as a whole, such as user:password
            text = encode(b"\0" * skip + raw).decode()
            inner = text[4 if skip else 0 : (skip + len(raw)) // 3 * 4]
            if len(inner) >= MIN_ENCODED:
                forms.add(inner)
    if "\n" in secret:
        forms |= {line.strip() for line in secret.splitlines() if len(line.strip()) >= MIN_LINE}
    return {form for form in forms if form}


class Redactor:
    """Knows the secrets of one run and takes them out of text. Safe to use from several threads."""

    def __init__(self) -> None:
        self._forms: set[str] = set()
        self._pattern: re.Pattern[str] | None = None
        self._everywhere: re.Pattern[str] | None = None
        self._lock = threading.Lock()
        self.longest = 0
        """Length of the longest form of a secret."""

    def add(self, values: Iterable[str]) -> None:
        """Register secret values; empty ones are ignored."""
        new = {form for value in values if value for form in spellings(value)}
        with self._lock:
            if new <= self._forms:
                return
            self._forms |= new
            longest_first = sorted(self._forms, key=len, reverse=True)
            self.longest = len(longest_first[0])
            alternatives = "|".join(map(re.escape, longest_first))
            self._everywhere = re.compile(f"(?=({alternatives}))")
            self._pattern = re.compile(alternatives)

    def mask(self, text: str) -> str:
        """The text with every registered secret replaced."""
        pattern = self._pattern
        if pattern is None or pattern.search(text) is None:
            return text
        parts, end = [], 0
        for start, stop in self._spans(text):
            parts += [text[end:start], MASK]
            end = stop
        return "".join([*parts, text[end:]])

    def _spans(self, text: str) -> list[tuple[int, int]]:
        """Start and end of each secret; overlapping ones are merged, so that no part of one remains."""
        spans: list[tuple[int, int]] = []
        for match in self._everywhere.finditer(text) if self._everywhere else ():
            start, stop = match.span(1)
            if spans and start < spans[-1][1]:
                spans[-1] = spans[-1][0], max(stop, spans[-1][1])
            else:
                spans.append((start, stop))
        return spans

    def mask_all(self, value: Any) -> Any:
        """A copy of the value with every text masked, including keys; the same object if no secret is registered."""
        if self._pattern is None or value is None or isinstance(value, int | float):
            return value
        if isinstance(value, str):
            return self.mask(value)
        if isinstance(value, Mapping):
            return {self.mask(str(key)): self.mask_all(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.mask_all(item) for item in value]
        return value

    def safe_length(self, text: str) -> int:
        """Length of the start of `text` that can be passed on: the rest could be the beginning of a secret."""
        if not self._forms:
            return len(text)
        start = max(0, len(text) - self.longest + 1)
        for at in range(start, len(text)):
            tail = text[at:]
            if any(form.startswith(tail) for form in self._forms if len(form) > len(tail)):
                return self._before_match(text, at)
        return len(text)

    def _before_match(self, text: str, limit: int) -> int:
        # a complete secret that spans the cut must not be split
        return next((start for start, stop in self._spans(text) if start < limit < stop), limit)


class RedactedStream:
    """Masks text that comes in pieces: a secret across a border is masked as a whole."""

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor
        self._held = ""

    def feed(self, text: str) -> str:
        """Take a piece; returns masked text that can be passed on, and keeps the rest."""
        text = self._held + text
        cut = self._redactor.safe_length(text)
        self._held = text[cut:]
        return self._redactor.mask(text[:cut])

    def finish(self) -> str:
        """Return the rest of the text, masked."""
        held, self._held = self._held, ""
        return self._redactor.mask(held)
