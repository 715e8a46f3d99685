"""Reads pages as a browser would, as far as that needs no browser: structure, policy, what could run or be fetched."""

import base64
import hashlib
import re
from html.parser import HTMLParser
from pathlib import Path

VOID = frozenset({"meta", "br", "input", "hr", "link", "img"})
URLS = ("href", "src", "srcset", "action", "formaction", "data", "poster", "xlink:href", "ping", "manifest")
OURS = re.compile(
    "html|head|meta|title|style|body|a|header|main|section|footer|nav|ul|li|h[123]|p|span|strong|bdi|time|code|pre|div|button"
    "|label|input|table|caption|thead|tbody|tr|th|td|dl|dt|dd|details|summary|script|svg|path|rect|text|polyline"
)
MOST_BYTES = 300_000
HIDDEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


class PageReader(HTMLParser):
    """A page, read from its text; what is wrong with it is in `wrong`."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.wrong: list[str] = []
        self.ids: set[str] = set()
        self.names: set[str] = set()
        self.links: set[str] = set()
        self.policy = ""
        self.parts: dict[str, list[str]] = {"script": [], "style": [], "title": [], "pre": [], "code": []}
        self.text = ""
        self._open: list[str] = []
        self.feed(text)
        self.close()
        self.wrong += [f"<{tag}> is not closed" for tag in self._open]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Look at an element."""
        given = dict(attrs)
        self.names.add(tag)
        if not OURS.fullmatch(tag):
            self.wrong.append(f"<{tag}> is none of ours")
        if len(given) != len(attrs):
            self.wrong.append(f"<{tag}> has an attribute twice")
        for name, value in attrs:
            if name.startswith("on") or name in ("style", "srcdoc"):
                self.wrong.append(f"<{tag} {name}>")
            if name in URLS:
                self.links.add(value or "")
        if (own := given.get("id")) is not None:
            self.wrong += [f"id {own} twice"] if own in self.ids else []
            self.ids.add(own)
        if given.get("http-equiv") == "Content-Security-Policy":
            self.policy = given["content"] or ""
        if tag not in VOID:
            self._open.append(tag)
            if tag in self.parts:
                self.parts[tag].append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """An element of SVG without content."""
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        """Close the innermost open element; a finding if that is another one."""
        if not self._open or self._open.pop() != tag:
            self.wrong.append(f"</{tag}> where {self._open[-1:]} is open")

    def handle_data(self, data: str) -> None:
        """Keep a text."""
        for tag in self.parts:
            if tag in self._open:
                self.parts[tag][-1] += data
        if not {"script", "style"} & set(self._open):
            self.text += data


def read_page(data: bytes) -> PageReader:
    """A page that was read; fails for one that is not well-formed, could fetch or run something, or hides a text."""
    assert len(data) <= MOST_BYTES
    text = data.decode()
    assert text.startswith("<!doctype html>\n")
    page = PageReader(text)
    assert page.wrong == []
    assert HIDDEN.search(page.text) is None
    assert [link for link in page.links if not link.startswith("#") or link[1:] not in page.ids] == []
    assert "url(" not in text
    assert "@import" not in text
    assert len(page.parts["script"]) == len(page.parts["style"]) == 1
    rules = dict(rule.strip().split(" ", 1) for rule in page.policy.split(";"))
    assert rules == {
        "default-src": "'none'",
        "style-src": f"'{_hash(page.parts['style'][0])}'",
        "script-src": f"'{_hash(page.parts['script'][0])}'",
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    return page


def page_commands(path: Path) -> list[str]:
    """The commands that a page names, each once; not the one that started the run, which is a fact."""
    page = read_page(path.read_bytes())
    named = [text for tag in ("pre", "code") for text in page.parts[tag] if re.match("aetherflow (?!run )", text)]
    return list(dict.fromkeys(named))


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
