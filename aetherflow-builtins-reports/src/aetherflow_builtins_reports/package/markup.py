"""Edits small XML parts by byte offsets, so that all unedited bytes stay as they were."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from xml.parsers import expat

from aetherflow_builtins_reports.escaping import quoteattr

MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
STRICT = "http://purl.oclc.org/ooxml/spreadsheetml/main"
DOCUMENT_RELS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"

UTF_16 = frozenset({b"\xff\xfe", b"\xfe\xff"})
"""How a part in UTF-16 begins."""
MOST_DIGITS = 18
MOST_WEIGHT, ELEMENT_WEIGHT = 3_000_000, 3
"""Of a part that is held as a tree; an attribute weighs 1, some 100 bytes. The largest styles that Excel opens, with
65,490 formats of cells and as many of styles, stay below."""
MOST_HELD = 64 << 20
"""Bytes of a row, of what stands before or after the rows, or of a tag, which are held in memory."""
_TAG = re.compile(rb"""<(?:[^<>"']|"[^"]*"|'[^']*')*>""")


class MarkupError(ValueError):
    """A part is not the expected XML."""


@dataclass(slots=True)
class Element:
    """One element and its byte offsets in the part."""

    name: str
    """The name as written, with its prefix."""
    attributes: dict[str, str]
    start: int
    tag_end: int
    """Offset of the first byte after the start tag."""
    depth: int
    inner_end: int = 0
    """Offset of the end tag; equal to `end` if there is none."""
    end: int = 0
    children: "list[Element]" = field(default_factory=list)
    text: str = ""

    @property
    def local(self) -> str:
        """The name without its prefix."""
        return self.name.rpartition(":")[2]

    @property
    def empty(self) -> bool:
        """Whether it is written as `<a/>`."""
        return self.inner_end == self.end

    def named(self, local: str) -> "list[Element]":
        """Children of that local name."""
        return [child for child in self.children if child.local == local]

    def first(self, local: str) -> "Element | None":
        """The first child of that local name."""
        return next(iter(self.named(local)), None)

    def walk(self) -> "Iterator[Element]":
        """The element and all below it, in the order of the document."""
        yield self
        for child in self.children:
            yield from child.walk()


def new_parser() -> expat.XMLParserType:
    """An expat parser that refuses DOCTYPE: no part has one, and its entities can expand without limit."""
    parser = expat.ParserCreate("UTF-8")  # whatever a part says, which could be an encoding that nobody knows

    def refuse(*_: object) -> None:
        raise MarkupError("it declares a document type, which no workbook part may")

    parser.StartDoctypeDeclHandler = refuse
    parser.buffer_text = True
    return parser


def parse(data: bytes, depth: int = 99) -> Element:
    """The element tree of a part, without elements deeper than `depth`; MarkupError if it is no XML."""
    if data[:2] in UTF_16:
        raise MarkupError("it is not encoded as UTF-8")
    parser = new_parser()
    root: list[Element] = []
    stack: list[Element] = []
    level = weight = 0

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal level, weight
        level += 1
        if level > depth:
            return
        weight += ELEMENT_WEIGHT + len(attributes)
        if weight > MOST_WEIGHT:
            raise MarkupError(f"it holds more than {MOST_WEIGHT // ELEMENT_WEIGHT:,} elements, with their attributes")
        at = parser.CurrentByteIndex
        tag = _TAG.match(data, at)
        if tag is None:
            raise MarkupError("it is not encoded as UTF-8")
        element = Element(name, attributes, at, tag.end(), level)
        (stack[-1].children if stack else root).append(element)
        stack.append(element)

    def end(_: str) -> None:
        nonlocal level
        level -= 1
        if level >= depth:
            return
        element = stack.pop()
        if data[element.tag_end - 2 : element.tag_end] == b"/>":
            element.inner_end = element.end = element.tag_end
        else:
            element.inner_end = parser.CurrentByteIndex
            element.end = data.index(b">", element.inner_end) + 1

    def text(value: str) -> None:
        if stack and level <= depth:
            stack[-1].text += value

    parser.StartElementHandler, parser.EndElementHandler, parser.CharacterDataHandler = start, end, text
    try:
        parser.Parse(data, True)
    except expat.ExpatError as error:
        raise MarkupError(f"it is no well-formed XML: {error}") from error
    return root[0]


def prefix_of(root: Element, namespace: str = MAIN) -> str:
    """The prefix, with its colon, under which a part uses a namespace; MarkupError if it does not."""
    for name, value in root.attributes.items():
        if value == namespace and (name == "xmlns" or name.startswith("xmlns:")):
            prefix = name[6:]
            if namespace != MAIN or root.name.startswith(f"{prefix}:") or (not prefix and ":" not in root.name):
                return f"{prefix}:" if prefix else ""
    if namespace == MAIN and STRICT in root.attributes.values():
        raise MarkupError("it is in the Strict Open XML format; save the workbook as plain .xlsx")
    raise MarkupError(f"it does not use the namespace {namespace}")


def start_tag(name: str, attributes: Mapping[str, str], *, empty: bool = False) -> bytes:
    listed = "".join(f" {key}={quoteattr(value)}" for key, value in attributes.items())
    return f"<{name}{listed}{'/' if empty else ''}>".encode()


def whole(text: str) -> int:
    """A number of a part, such as an index; MarkupError if it is none."""
    if not text.strip().isdecimal() or len(text) > MOST_DIGITS:
        raise MarkupError(f"{text[:40]!r} is no whole number")
    return int(text)


class Edits:
    """Collects changes to one part, in any order, and applies them together.

    Insertions at the same offset keep the order in which they were added. Ranges must not overlap.
    """

    def __init__(self, data: bytes) -> None:
        self.data = data
        self._changes: list[tuple[int, int, bytes]] = []

    def replace(self, start: int, end: int, new: bytes) -> None:
        """Replace a range of bytes."""
        self._changes.append((start, end, new))

    def insert(self, at: int, new: bytes) -> None:
        self.replace(at, at, new)

    def remove(self, element: Element) -> None:
        self.replace(element.start, element.end, b"")

    def set_attributes(self, element: Element, **values: str | None) -> None:
        """Change attributes of a start tag; None removes one."""
        merged = {**element.attributes, **values}
        kept = {key: value for key, value in merged.items() if value is not None}
        if kept != element.attributes:
            self.replace(element.start, element.tag_end, start_tag(element.name, kept, empty=element.empty))

    def append(self, element: Element, new: bytes, **values: str) -> None:
        """Add bytes as the last children of an element and change its attributes."""
        attributes = {**element.attributes, **values}
        if element.empty:
            closed = start_tag(element.name, attributes) + new + f"</{element.name}>".encode()
            self.replace(element.start, element.end, closed)
        else:
            self.set_attributes(element, **values)
            self.insert(element.inner_end, new)

    def apply(self) -> bytes:
        """The part with all changes."""
        parts, at = [], 0
        for start, end, new in sorted(self._changes, key=lambda change: change[:2]):
            parts += [self.data[at:start], new]
            at = end
        return b"".join([*parts, self.data[at:]])


def after(parent: Element, earlier: Iterable[str]) -> int:
    """The offset for a new child that follows the elements `earlier`: after the last one, or before all children."""
    names = set(earlier)
    ends = [child.end for child in parent.children if child.local in names]
    return max(ends, default=parent.tag_end)
