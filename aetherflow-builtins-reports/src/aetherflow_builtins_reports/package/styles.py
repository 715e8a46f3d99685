"""Cell formats: new ones are appended; those of the template are neither changed nor renumbered."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from aetherflow_builtins_reports.errors import WorkbookError
from aetherflow_builtins_reports.package.markup import Edits, Element, MarkupError, parse, prefix_of, start_tag, whole

MAX_FORMATS = 64_000
"""Excel refuses workbooks with more cell formats."""
GENERAL = "General"
DATE, DATETIME, TIME = "yyyy-mm-dd", "yyyy-mm-dd h:mm:ss", "h:mm:ss"

_FIRST_OWN_FORMAT = 164
_BUILTIN: dict[str, int] = {
    GENERAL: 0, "0": 1, "0.00": 2, "#,##0": 3, "#,##0.00": 4, "0%": 9, "0.00%": 10, "0.00E+00": 11, "@": 49,
}  # fmt: skip
_BUILTIN_DATES = frozenset({*range(14, 23), *range(27, 37), 45, 46, 47, *range(50, 59)})
_NO_CODE = re.compile(r'"[^"]*"|\\.|\[[^\]]*\]|_.|\*.')
_ORDER = ("numFmts", "fonts", "fills", "borders", "cellStyleXfs", "cellXfs")


@dataclass(frozen=True, slots=True)
class Look:
    """Changes to a cell format; None and False leave a property unchanged."""

    number_format: str | None = None
    bold: bool = False
    fill: str | None = None
    """Colour of the background as RRGGBB."""
    color: str | None = None
    """Colour of the text as RRGGBB."""
    wrap: bool = False
    top_border: bool = False


_Key: TypeAlias = tuple[int, Look]


@dataclass(slots=True)
class _Group:
    """One list of the styles part, such as `fonts`: its element, and the XML to append."""

    element: Element | None
    new: list[bytes] = field(default_factory=list)

    @property
    def count(self) -> int:
        return (len(self.element.children) if self.element else 0) + len(self.new)

    def add(self, data: bytes) -> int:
        if data in self.new:
            return self.count - len(self.new) + self.new.index(data)
        self.new.append(data)
        return self.count - 1


class Styles:
    """The styles part; its methods return format indexes for cells, and add formats as needed."""

    def __init__(self, data: bytes, name: str) -> None:
        self._data, self._name = data, name
        try:
            self._root = parse(data)
            self._prefix = prefix_of(self._root)
        except MarkupError as error:
            raise WorkbookError(f"{name} cannot be read: its styles: {error}") from error
        self._groups = {local: _Group(self._root.first(local)) for local in _ORDER}
        self._xfs = list(self._children("cellXfs"))
        self._codes = {
            whole(each.attributes.get("numFmtId", "0")): each.attributes.get("formatCode", GENERAL)
            for each in self._children("numFmts")
        }
        self._new_codes: dict[str, int] = {}
        self._memo: dict[_Key, int] = {}
        if not self._xfs:
            raise WorkbookError(f"{name} is damaged: its styles hold no cell format")

    def _children(self, local: str) -> list[Element]:
        element = self._groups[local].element
        return element.children if element else []

    def number_format(self, style: int) -> str:
        """The code of a format's number format. For a built-in date it is DATE; for an unknown built-in, its number."""
        number = whole(self._xf(style).attributes.get("numFmtId", "0"))
        if number in self._codes:
            return self._codes[number]
        if number in _BUILTIN_DATES:
            return DATE
        return next((code for code, known in _BUILTIN.items() if known == number), str(number))

    def is_date(self, style: int) -> bool:
        """Whether a format displays numbers as dates or times."""
        number = whole(self._xf(style).attributes.get("numFmtId", "0"))
        if number in self._codes:
            return bool(re.search(r"[dmyhs]", _NO_CODE.sub("", self._codes[number]), re.IGNORECASE))
        return number in _BUILTIN_DATES

    def _xf(self, style: int) -> Element:
        return self._xfs[style] if style < len(self._xfs) else self._xfs[0]

    def with_date(self, style: int, code: str, *, keep: bool) -> int:
        """The format with the number format `code`, unless it already displays dates.

        With `keep`, any number format other than General is kept, too.
        """
        if self.is_date(style) or (keep and self.number_format(style) != GENERAL):
            return style
        return self.derive(style, Look(number_format=code))

    def derive(self, style: int, look: Look) -> int:
        """Index of a format that is `style` with the changes of `look`; WorkbookError above MAX_FORMATS."""
        if look == Look():
            return style
        found = self._memo.get((style, look))
        if found is None:
            found = self._memo[style, look] = self._clone(self._xf(style), look)
        return found

    def _clone(self, base: Element, look: Look) -> int:
        attributes = dict(base.attributes)
        if look.number_format is not None:
            attributes |= {"numFmtId": str(self._code(look.number_format)), "applyNumberFormat": "1"}
        if look.bold or look.color:
            attributes |= {"fontId": str(self._font(whole(attributes.get("fontId", "0")), look)), "applyFont": "1"}
        if look.fill:
            attributes |= {"fillId": str(self._fill(look.fill)), "applyFill": "1"}
        if look.top_border:
            attributes |= {"borderId": str(self._border()), "applyBorder": "1"}
        inner = self._data[base.tag_end : base.inner_end]
        if look.wrap:
            attributes["applyAlignment"] = "1"
            inner = self._wrapped(base)
        name = f"{self._prefix}xf"
        data = start_tag(name, attributes, empty=not inner) + (inner + f"</{name}>".encode() if inner else b"")
        index = self._groups["cellXfs"].add(data)
        if index >= MAX_FORMATS:
            raise WorkbookError(f"{self._name} would need more than {MAX_FORMATS} cell formats, which Excel refuses")
        return index

    def _wrapped(self, base: Element) -> bytes:
        alignment = base.first("alignment")
        attributes = {**(alignment.attributes if alignment else {}), "wrapText": "1", "vertical": "center"}
        rest = b"".join(self._data[each.start : each.end] for each in base.children if each is not alignment)
        return start_tag(f"{self._prefix}alignment", attributes, empty=True) + rest

    def _code(self, code: str) -> int:
        if code in _BUILTIN:
            return _BUILTIN[code]
        for number, known in self._codes.items():
            if known == code:
                return number
        if code not in self._new_codes:
            first = max([_FIRST_OWN_FORMAT - 1, *self._codes]) + 1
            self._new_codes[code] = first + len(self._new_codes)
        return self._new_codes[code]

    def _font(self, base: int, look: Look) -> int:
        fonts, p = self._children("fonts"), self._prefix
        parts: dict[str, bytes] = {}
        for child in fonts[base].children if base < len(fonts) else ():
            parts[child.local] = self._data[child.start : child.end]
        if look.color:
            parts["color"] = start_tag(f"{p}color", {"rgb": f"FF{look.color}"}, empty=True)
        bold = parts.pop("b", b"")
        if look.bold:
            bold = f"<{p}b/>".encode()
        # Excel expects <b> first, and <color> before <name>.
        order = ["i", "strike", "condense", "extend", "outline", "shadow", "u", "vertAlign", "sz", "color", "name"]
        inner = bold + b"".join(parts.pop(name) for name in order if name in parts) + b"".join(parts.values())
        return self._groups["fonts"].add(f"<{p}font>".encode() + inner + f"</{p}font>".encode())

    def _fill(self, color: str) -> int:
        p = self._prefix
        solid = f'<{p}patternFill patternType="solid"><{p}fgColor rgb="FF{color}"/></{p}patternFill>'
        return self._groups["fills"].add(f"<{p}fill>{solid}</{p}fill>".encode())

    def _border(self) -> int:
        p = self._prefix
        inner = f'<{p}left/><{p}right/><{p}top style="thin"><{p}color auto="1"/></{p}top><{p}bottom/><{p}diagonal/>'
        return self._groups["borders"].add(f"<{p}border>{inner}</{p}border>".encode())

    @property
    def is_changed(self) -> bool:
        """Whether a format was added."""
        return bool(self._groups["cellXfs"].new)

    def changed(self) -> bytes:
        """The part with the new formats appended to its lists."""
        edits, p = Edits(self._data), self._prefix
        self._groups["numFmts"].new = [
            start_tag(f"{p}numFmt", {"numFmtId": str(number), "formatCode": code}, empty=True)
            for code, number in self._new_codes.items()
        ]
        for local, group in self._groups.items():
            if not group.new:
                continue
            counted: Mapping[str, str] = {"count": str(group.count)}
            if group.element is not None:
                edits.append(group.element, b"".join(group.new), **counted)
            else:
                tag = start_tag(f"{p}{local}", counted)
                edits.insert(self._place(local), tag + b"".join(group.new) + f"</{p}{local}>".encode())
        return edits.apply()

    def _place(self, local: str) -> int:
        earlier = _ORDER[: _ORDER.index(local)]
        ends = [child.end for child in self._root.children if child.local in earlier]
        return max(ends, default=self._root.tag_end)
