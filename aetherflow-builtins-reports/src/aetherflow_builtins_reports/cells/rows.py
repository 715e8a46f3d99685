"""Writes cells as XML: whole chunks of rows with one format string, or single cells."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from aetherflow_builtins_reports.cells.columns import Column
from aetherflow_builtins_reports.package.refs import letters

StyleOf = Callable[[str, int], int]
"""Maps a cell's kind and its column in the block, from 0, to the index of its format."""


class Surroundings(NamedTuple):
    """XML of rows around the cells of a block. `%s` stands for a row number; the offsets are added to each of them."""

    start: str
    """The start tag of a row, with one `%s`."""
    before: str = ""
    before_offsets: Sequence[int] = ()
    behind: str = ""
    behind_offsets: Sequence[int] = ()


_OPEN = {"b": ' t="b"', "t": ' t="inlineStr"', "p": ' t="inlineStr"'}
_BEFORE = {"f": "<{0}f>", "t": "<{0}is><{0}t>", "p": '<{0}is><{0}t xml:space="preserve">'}
_BEHIND = {"f": "</{0}f></{0}c>", "t": "</{0}t></{0}is></{0}c>", "p": "</{0}t></{0}is></{0}c>"}


class Markup:
    """Writes cells with the namespace prefix of the sheet."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self._before = {kind: _BEFORE.get(kind, "<{0}v>").format(prefix) for kind in "nbtpdshf"}
        self._behind = {kind: _BEHIND.get(kind, "</{0}v></{0}c>").format(prefix) for kind in "nbtpdshf"}

    def _around(self, kind: str, style: int) -> tuple[str, str]:
        """The XML between a cell's reference and its content, and the XML after the content."""
        styled = f' s="{style}"' if style else ""
        return f'"{styled}{_OPEN.get(kind, "")}>{self._before[kind]}', self._behind[kind]

    def cell(self, row: int, column: int, kind: str, content: str, style: int) -> str:
        """The XML of one cell; a blank cell has its format only, and is empty text without one."""
        if not kind:
            return f'<{self.prefix}c r="{letters(column)}{row}" s="{style}"/>' if style else ""
        before, behind = self._around(kind, style)
        return f'<{self.prefix}c r="{letters(column)}{row}{before}{content}{behind}'

    def rows(
        self,
        first_row: int,
        first_column: int,
        columns: Sequence[Column],
        count: int,
        style_of: StyleOf,
        around: Surroundings | None = None,
    ) -> str:
        """The XML of `count` rows from encoded columns."""
        numbers = list(map(str, range(first_row, first_row + count)))
        around = around or Surroundings(f'<{self.prefix}row r="%s">')

        def moved(offsets: Sequence[int]) -> list[list[str]]:
            known = {0: numbers}
            for offset in set(offsets) - {0}:
                known[offset] = list(map(str, range(first_row + offset, first_row + offset + count)))
            return [known[offset] for offset in offsets]

        template, arguments = [around.start, around.before], [numbers, *moved(around.before_offsets)]
        for index, column in enumerate(columns):
            name = letters(first_column + index)
            if column.kind and column.whole:
                before, behind = self._around(column.kind, style_of(column.kind, index))
                template.append(f'<{self.prefix}c r="{name}%s{before}%s{behind}')
                arguments += [numbers, column.contents]  # type: ignore[list-item]  # whole: no None
            else:
                cells = self._cells(name, numbers, column, index, style_of)
                if cells is not None:
                    template.append("%s")
                    arguments.append(cells)
        template += [around.behind, f"</{self.prefix}row>"]
        arguments += moved(around.behind_offsets)
        return "".join(map("".join(template).__mod__, zip(*arguments, strict=True)))

    def _cells(self, name: str, numbers: list[str], column: Column, index: int, style_of: StyleOf) -> list[str] | None:
        """The cells of a column that has blanks or several kinds; None if all are blank and have no format."""
        start, blank_style = f'<{self.prefix}c r="{name}', style_of("", index)
        blank_end = f'" s="{blank_style}"/>' if blank_style else ""
        if column.kind:
            if not blank_style and not any(column.contents):
                return None
            before, behind = self._around(column.kind, style_of(column.kind, index))
            if not blank_end:
                return [
                    "" if content is None else f"{start}{number}{before}{content}{behind}"
                    for number, content in zip(numbers, column.contents, strict=True)
                ]
            return [
                f"{start}{number}{blank_end}" if content is None else f"{start}{number}{before}{content}{behind}"
                for number, content in zip(numbers, column.contents, strict=True)
            ]
        around = {kind: self._around(kind, style_of(kind, index)) for kind in set(column.kinds) - {"", "-"}}
        blank = {"": blank_end, "-": ""}
        found = []
        for number, kind, content in zip(numbers, column.kinds, column.contents, strict=True):
            if kind in around:
                before, behind = around[kind]
                found.append(f"{start}{number}{before}{content}{behind}")
            else:
                found.append(f"{start}{number}{blank[kind]}" if blank[kind] else "")
        return found
