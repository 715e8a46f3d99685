"""From a template to one file: styles and script stand in it, and its policy lets nothing else run or be fetched."""

import base64
import hashlib
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from aetherflow_builtins_reports.pages import texts

MOST_PAGE = 300_000
"""Bytes of a page: what a mail or a ticket takes without a second thought."""
TEMPLATES = Path(__file__).with_name("templates")
SHAPES = {
    "ok": ("SUCCESS", "ok"),
    "bad": (
        *("FAILED", "UNKNOWN", "MISSED", "REFUSED", "GONE", "UNREADABLE", "OLDER"),
        *("failed", "unknown", "gone", "unreadable"),
    ),
    "stop": ("INTERRUPTED", "UNFINISHED", "LATE", "BLOCKED", "interrupted", "older"),
    "run": ("RUNNING", "running"),
    "wait": ("WAITING", "waiting", "paused"),
}
"""Class of a status to its words; all others are `none`."""
_CLASS = {word: name for name, words in SHAPES.items() for word in words}
MARKS = {"ok": "✔", "bad": "✖", "stop": "■", "run": "▶", "wait": "◷", "none": "○"}
"""The shape of a status: colour alone shows nothing."""


class Budget:
    """How many bytes of a page its long parts may still take, counted as they are written."""

    def __init__(self, most: int) -> None:
        self.most = self.left = most

    def lines(self, found: Sequence[str], most: int, width: int) -> tuple[list[str], int]:
        """The last lines that fit, each at most `width` characters long, and how many were left out before them."""
        kept: list[str] = []
        for line in reversed(found[-most:]):
            text = texts.cut(texts.visible(line[: 2 * width]), width)
            if not self.takes(text):
                break
            kept.append(text)
        return kept[::-1], len(found) - len(kept)

    def rows(
        self, found: Sequence[Any], most: int, size: int = 0, make: Callable[[Any], Any] = lambda row: row
    ) -> tuple[list[Any], int]:
        """The first rows that fit, as `make` makes them, and how many were left out; `size` is that of the markup."""
        kept: list[Any] = []
        for row in found[:most]:
            made = make(row)
            if not self.takes(texts.as_text(made), size):
                break
            kept.append(made)
        return kept, len(found) - len(kept)

    def takes(self, text: str, more: int = 8) -> bool:
        """Whether a text still fits; then it is counted, with `more` bytes of markup."""
        if len(text) + more > self.left:
            return False
        needed = len(str(escape(texts.visible(text))).encode()) + more
        if needed > self.left:
            return False
        self.left -= needed
        return True


def bounded(page: Callable[[Budget], bytes], most: int) -> bytes:
    """A page of at most `MOST_PAGE` bytes: its long parts get `most` bytes, and less where the rest is long, too."""
    data = page(Budget(most))
    while len(data) > MOST_PAGE and most > 1_000:
        most = most * 2 // 3
        data = page(Budget(most))
    return data


def status_class(status: str | None) -> str:
    """The class of a status: its shape and its colour."""
    return _CLASS.get(status or "", "none")


def badge(status: str | None) -> Markup:
    """A status by shape, word and colour."""
    name = status_class(status)
    mark = Markup('<span class="b {}"><span aria-hidden="true">{}</span> {}</span>')
    return mark.format(name, MARKS[name], texts.visible(status or "not recorded"))


def render(template: str, document: Mapping[str, Any], **values: Any) -> bytes:
    """The page as bytes: UTF-8, whatever the texts are."""
    environment, policy = _environment()
    times = texts.Times(document.get("zone") or "UTC", document.get("offset_s") or 0)
    text = environment.get_template(template).render(doc=document, at=times, policy=policy, **values)
    return text.encode("utf-8", "backslashreplace")


@cache
def _environment() -> tuple[Environment, str]:
    environment = Environment(
        autoescape=True,
        finalize=texts.visible,
        loader=FileSystemLoader(TEMPLATES),
        lstrip_blocks=True,
        trim_blocks=True,
        undefined=StrictUndefined,
    )
    style, script = ((TEMPLATES / name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    environment.globals |= {"style": Markup(style), "script": Markup(script), "badge": badge}  # noqa: S704 our own files
    environment.filters |= {
        "took": texts.took,
        "size": texts.size,
        "count": texts.count,
        "as_text": texts.as_text,
        "cut": texts.cut,
        "status_class": status_class,
    }
    ours = f"style-src '{_hash(style)}'; script-src '{_hash(script)}'"
    return environment, f"default-src 'none'; {ours}; base-uri 'none'; form-action 'none'"


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
