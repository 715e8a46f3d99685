"""From a template to one file: styles and script stand in it, and its policy lets nothing else run or be fetched."""

import base64
import hashlib
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from aetherflow_builtins_reports.pages import texts

TEMPLATES = Path(__file__).with_name("templates")
SHAPES = {
    "ok": ("SUCCESS", "ok"),
    "bad": ("FAILED", "UNKNOWN", "MISSED", "REFUSED", "GONE", "UNREADABLE", "failed", "unknown", "gone", "unreadable"),
    "stop": ("INTERRUPTED", "UNFINISHED", "LATE", "BLOCKED", "interrupted", "older"),
    "run": ("RUNNING", "running"),
    "wait": ("WAITING", "waiting", "paused"),
}
"""Class of a status to its words; all others are `none`."""
_CLASS = {word: name for name, words in SHAPES.items() for word in words}
MARKS = {"ok": "✔", "bad": "✖", "stop": "■", "run": "▶", "wait": "◷", "none": "○"}
"""The shape of a status: nothing is told by colour alone."""


class Budget:
    """How many bytes of a page its long parts may still take, counted as they are written."""

    def __init__(self, most: int) -> None:
        self.left = most

    def lines(self, found: Iterable[str], most: int, width: int) -> tuple[list[str], int]:
        """The last lines that fit, each at most `width` characters long, and how many were left out before them."""
        every = list(found)
        kept: list[str] = []
        for line in reversed(every[-most:]):
            text = texts.cut(texts.visible(line[: 2 * width]), width)
            if not self.takes(text):
                break
            kept.append(text)
        return kept[::-1], len(every) - len(kept)

    def rows(self, found: Iterable[Any], most: int, size: int = 0) -> tuple[list[Any], int]:
        """The first rows that fit, and how many were left out; `size` is that of their markup."""
        every = list(found)
        kept: list[Any] = []
        for row in every[:most]:
            if not self.takes(texts.as_text(row), size):
                break
            kept.append(row)
        return kept, len(every) - len(kept)

    def takes(self, text: str, more: int = 8) -> bool:
        """Whether a text still fits; then it is counted, with `more` bytes of markup."""
        needed = len(str(escape(texts.visible(text))).encode()) + more
        if needed > self.left:
            return False
        self.left -= needed
        return True


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
