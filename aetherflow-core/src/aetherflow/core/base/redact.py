"""Secrets are replaced by `***` wherever text leaves the run.

A value is registered once and then masked in the forms in which it travels, see `spellings`.
"""

import itertools
import os
import re
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

from aetherflow.core.base.secret_names import is_secret_name

MASK = "***"
MIN_LENGTH = 6
"""Values found by the name of their key are masked from this length on; shorter ones would blank out ordinary text."""
_USER_INFO = r"\w://[^/\s:@]*:([^/\s@]+)@"


def secrets_in(values: Mapping[str, Any]) -> Iterable[str]:
    """Values of a map whose keys are secret names, nested maps and lists included."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from secrets_in(value)
        elif isinstance(value, list):
            yield from (text for item in value if isinstance(item, Mapping) for text in secrets_in(item))
        elif isinstance(value, str) and len(value) >= MIN_LENGTH and is_secret_name(name):
            yield value


def masked_by_name(values: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters as they are shown: without the values of those with secret names."""
    return {name: MASK if value is not None and is_secret_name(name) else value for name, value in values.items()}


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

        for match in re.finditer(_USER_INFO, value):
            if len(match[1]) >= MIN_LENGTH:
                yield from {match[1], unquote(match[1])}


MIN_SECRET = 4
"""Shorter values are no secrets: masking them would blank out letters all over, and tell where they stand."""


class Redactor:
    """Knows the secrets of one run and takes them out of text. Safe to use from several threads."""

    def __init__(self) -> None:
        self._forms: set[str] = set()
        self._encoded: set[str] = set()
        """Forms in base64, in which a line may break anywhere."""
        self._own: tuple[str, ...] = ()
        self._known: _Forms | None = None
        self._lock = threading.Lock()
        self.longest = 0
        """Length of the longest form of a secret."""

    def add(self, values: Iterable[str]) -> None:
        """Register secret values; those of fewer than four characters are ignored."""
        values = [value for value in values if len(value) >= MIN_SECRET]
        if not values:
            return
        from aetherflow.core.base.spellings import encoded, spellings  # only for runs with secrets

        forms = {form for value in values for form in spellings(value)}
        bases = {form for value in values for form in encoded(value)}
        with self._lock:
            if forms <= self._forms and bases <= self._encoded:
                return
            self._forms |= forms
            self._encoded |= bases
            self._known = _Forms(self._forms | self._encoded, self._encoded)
            self.longest = self._known.longest

    def keep(self, texts: Iterable[str]) -> None:
        """Leave these texts of ours alone, such as ids and paths, though a shorter secret stands inside of one."""
        with self._lock:
            self._own = tuple(sorted({*self._own, *filter(None, texts)}))

    def mask(self, text: str) -> str:
        """The text with every registered secret replaced."""
        if (known := self._known) is None or not (spans := self._spans(known, text)):
            return text
        parts, end = [], 0
        for start, stop in spans:
            parts += [text[end:start], MASK]
            end = stop
        return "".join([*parts, text[end:]])

    def _spans(self, known: "_Forms", text: str) -> list[tuple[int, int]]:
        """Start and end of each secret; overlapping ones are merged, so that no part of one remains."""
        spans: list[tuple[int, int]] = []
        for start, stop in self._strange(text, known.spans(text)):
            if spans and start < spans[-1][1]:
                spans[-1] = spans[-1][0], max(stop, spans[-1][1])
            else:
                spans.append((start, stop))
        return spans

    def _strange(self, text: str, spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
        """Without those that lie inside of a longer text of ours."""
        ours = [
            (at, at + len(own))
            for own in self._own
            if spans and own in text
            for at in (found.start() for found in re.finditer(re.escape(own), text))
        ]
        return [
            (start, stop)
            for start, stop in spans
            if not any(at <= start and stop <= end and stop - start < end - at for at, end in ours)
        ]

    def mask_all(self, value: Any) -> Any:
        """A copy of the value with every text masked, including keys; the same object if no secret is registered."""
        if self._known is None or value is None or isinstance(value, int | float):
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
        known = self._known
        if known is None:
            return len(text)
        for at in range(max(0, len(text) - self.longest + 1), len(text)):
            if known.begins(text[at:]):
                # a complete secret that spans the cut must not be split
                return next((start for start, stop in self._spans(known, text) if start < at < stop), at)
        return len(text)


class _Forms:
    """The forms of all secrets, and where they stand in a text."""

    def __init__(self, forms: set[str], encoded: set[str]) -> None:
        self._all = _TextFinder(forms)
        self._encoded = _TextFinder(encoded)
        self._by_first: dict[str, list[tuple[str, bool]]] = {}
        for form in forms:
            self._by_first.setdefault(form[0], []).append((form, form in encoded))
        # lines of 64 or 76, each with up to two characters at its end
        self.longest = max(len(form) + (len(form) // 32 + 1) * 2 * (form in encoded) for form in forms)

    def spans(self, text: str) -> list[tuple[int, int]]:
        """Start and end of every one, by start; they may overlap."""
        found = list(self._all.spans(text))
        if "\n" in text and (broken := list(self._encoded.spans(_one_line(text)))):
            places = [at for at, char in enumerate(text) if char not in "\r\n"]
            found += [(places[start], places[stop - 1] + 1) for start, stop in broken]
        return sorted(set(found))

    def begins(self, text: str) -> bool:
        """Whether it is the beginning of one."""
        forms = self._by_first.get(text[0], ())
        return any(
            (len(form) > len(text) and form.startswith(text)) or (broken and form.startswith(_one_line(text)))
            for form, broken in forms
        )


HEAD = 8
"""Characters of a text that a pattern looks for: one of whole private keys would take 50 ms to compile."""


class _TextFinder:
    """Finds some texts inside of others."""

    def __init__(self, texts: set[str]) -> None:
        self._texts = texts

    @cached_property
    def _by_head(self) -> dict[str, list[str]]:
        """First characters to the texts that may stand where these do, the longest first."""
        found: dict[str, list[str]] = {}
        for text in sorted(self._texts, key=len, reverse=True):
            found.setdefault(text[:HEAD], []).append(text)
        short = [head for head in found if len(head) < HEAD]
        return {
            head: [*texts, *(each for each in short if head[: len(each)] == each != head)]
            for head, texts in found.items()
        }

    @cached_property
    def _heads(self) -> re.Pattern[str]:
        return re.compile(_alternatives(sorted(self._by_head)))

    def spans(self, text: str) -> Iterator[tuple[int, int]]:
        """Start and end of the longest one at each place where one stands."""
        at = 0
        while (head := self._heads.search(text, at)) is not None:
            start, at = head.start(), head.start() + 1
            if found := next((each for each in self._by_head[head[0]] if text.startswith(each, start)), ""):
                yield start, start + len(found)


def _alternatives(forms: Sequence[str]) -> str:
    """A pattern for sorted texts, the longest first; what they have in common is tried once: ten times as fast."""
    start = os.path.commonprefix([forms[0], forms[-1]])  # noqa: RUF071 of characters: these are no paths
    rest = [form[len(start) :] for form in forms]
    parts = [_alternatives(list(texts)) for first, texts in itertools.groupby(rest, key=lambda text: text[:1]) if first]
    ends = [""] if rest[0] == "" else []
    branches = "|".join([*parts, *ends])
    return re.escape(start) + (f"(?:{branches})" if branches else "")


def _one_line(text: str) -> str:
    return text.replace("\r", "").replace("\n", "")
