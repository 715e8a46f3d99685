"""The body of a mail: text in the flow, or template files with values and tables."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from html.parser import HTMLParser
from string import Template
from typing import Any, ClassVar

from aetherflow.core.api import RunContext, StepInputError
from aetherflow_builtins_transfer.mail.tables import Table

_VERBATIM = "\x1f"
"""Marks a line whose blanks are kept."""
_PAGE = '<div style="font-family:Arial,Helvetica,sans-serif;font-size:14px;">\n{}\n</div>'


@dataclass(frozen=True, slots=True)
class Body:
    """The plain text and the optional HTML form of a body; mail programs show one of them."""

    text: str
    html: str | None = None


class _Placeholders(Template):
    """`$name` and `${name}` are placeholders; `$$`, and `$` before anything but a letter (`$5`), is a dollar sign."""

    flags = re.ASCII
    pattern: ClassVar[Any] = r"""
    \$(?:
      (?P<escaped>\$) |
      (?P<named>[A-Za-z_]\w*) |
      \{(?P<braced>[A-Za-z_]\w*)\} |
      (?P<invalid>(?!))
    )
    """


def from_flow(body: str, tables: Mapping[str, Table]) -> Body:
    """A body from a text of the flow, with the tables below it."""
    if not tables:
        return Body(body)
    text = "\n\n".join([body, *[table.as_text() for table in tables.values()]])
    paragraphs = [f"<p>{escape(part.strip()).replace(chr(10), '<br>')}</p>" for part in body.split("\n\n")]
    return Body(text, _PAGE.format("\n".join([*paragraphs, *[table.as_html() for table in tables.values()]])))


class Templates:
    """Fills template files; every value and table must be used by one of them."""

    def __init__(self, ctx: RunContext, values: Mapping[str, Any], tables: Mapping[str, Table]) -> None:
        twice = sorted(values.keys() & tables.keys())
        if twice:
            raise StepInputError(f"values and tables both hold {', '.join(twice)}", fix="give them different names")
        self._ctx = ctx
        self._values = {key: "" if value is None else str(value) for key, value in values.items()}
        self._tables = tables
        self._used: set[str] = set()

    def html(self, path: str) -> Body:
        """The body from an HTML template with escaped values, and a text derived from it; StepInputError."""
        found = {name: escape(value) for name, value in self._values.items()}
        html = self._fill(path, found | {name: table.as_html() for name, table in self._tables.items()})
        plain = {name: f"<pre>{escape(table.as_text())}</pre>" for name, table in self._tables.items()}
        return Body(text_of_html(self._fill(path, found | plain) if plain else html), html)

    def text(self, path: str) -> str:
        return self._fill(path, self._values | {name: table.as_text() for name, table in self._tables.items()})

    def check(self) -> None:
        """Raise StepInputError for a value or table that no template uses."""
        unused = sorted({*self._values, *self._tables} - self._used)
        if unused:
            raise StepInputError(f"no template shows {', '.join(unused)}", fix="write it as $name, or leave it out")

    def _fill(self, path: str, values: Mapping[str, str]) -> str:
        file = self._ctx.asset_path(path)
        try:
            template = _Placeholders(file.read_text(encoding="utf-8-sig"))
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
            raise StepInputError(f"{path} cannot be read: {reason}", fix=f"looked at {file}") from error
        names = template.get_identifiers()
        self._used.update(names)
        if missing := [name for name in names if name not in values]:
            known = ", ".join(sorted(values)) or "nothing"
            raise StepInputError(
                f"{path} asks for ${missing[0]}, which is not given", fix=f"given: {known}; $$ is a plain dollar sign"
            )
        return template.substitute(values)


def text_of_html(html: str) -> str:
    """Plain text from HTML: block elements start lines, table cells are separated."""
    reader = _Words()
    reader.feed(html)
    reader.close()
    lines = [
        line[1:] if line.startswith(_VERBATIM) else " ".join(line.split())
        for line in "".join(reader.pieces).split("\n")
    ]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip() + "\n"


class _Words(HTMLParser):
    _LINES = frozenset({"p", "br", "div", "tr", "table", "h1", "h2", "h3", "h4", "li", "ul", "ol"})
    _SILENT = frozenset({"style", "script", "title"})

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.pieces: list[str] = []
        self._silent = 0
        self._verbatim = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        del attrs
        self._silent += tag in self._SILENT
        self._verbatim += tag == "pre"
        if tag in self._LINES:
            self.pieces.append("\n")
        elif tag in ("td", "th"):
            self.pieces.append("  ")

    def handle_endtag(self, tag: str) -> None:
        self._silent -= tag in self._SILENT
        self._verbatim -= tag == "pre"
        if tag in self._LINES:
            self.pieces.append("\n")

    def handle_data(self, data: str) -> None:
        if self._verbatim:
            self.pieces += ["\n", *(f"{_VERBATIM}{line}\n" for line in data.split("\n"))]
        elif not self._silent:
            self.pieces.append(data.replace("\n", " "))
