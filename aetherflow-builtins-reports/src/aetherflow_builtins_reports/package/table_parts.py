"""Reads and resizes the tables of a workbook (ECMA-376 18.5)."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from aetherflow_builtins_reports.package.archive import Archive
from aetherflow_builtins_reports.package.markup import Edits, Element, MarkupError, parse, whole
from aetherflow_builtins_reports.package.refs import Area, parse_area
from aetherflow_builtins_reports.package.relations import relations

_WAITING = ("insertRow", "insertRowShift")


@dataclass(frozen=True, slots=True)
class TablePart:
    """One table and its part."""

    part: str
    data: bytes
    root: Element
    area: Area
    """The range with header, data and totals row."""

    @property
    def name(self) -> str:
        """The name that formulas use."""
        return self.root.attributes.get("displayName", self.root.attributes.get("name", "?"))

    @property
    def header_rows(self) -> int:
        """1 with a header, 0 without one."""
        return whole(self.root.attributes.get("headerRowCount", "1"))

    @property
    def totals_rows(self) -> int:
        """1 with a totals row, 0 without one."""
        return whole(self.root.attributes.get("totalsRowCount", "0"))

    @property
    def columns(self) -> list[Element]:
        """Its columns, in their order."""
        listed = self.root.first("tableColumns")
        return listed.named("tableColumn") if listed else []

    @property
    def column_names(self) -> list[str]:
        return [each.attributes.get("name", "") for each in self.columns]

    @property
    def waits(self) -> bool:
        """Whether its only row of data is the empty row that Excel keeps for the first entry (`insertRow`)."""
        return any(key in self.root.attributes for key in _WAITING)

    def resized(self, area: Area, *, has_data: bool) -> bytes:
        """The part with another range; the filter covers header and data, but not the totals row."""
        edits = Edits(self.data)
        gone: dict[str, str | None] = dict.fromkeys(_WAITING) if has_data else {}
        edits.set_attributes(self.root, ref=str(area), **gone)
        filtered = Area(area.top, area.left, max(area.bottom - self.totals_rows, area.top), area.right)
        for child in self.root.named("autoFilter"):
            edits.set_attributes(child, ref=str(filtered))
        return edits.apply()


def tables_of(archive: Archive, sheet_part: str, read: Callable[[str], bytes] | None = None) -> Iterator[TablePart]:
    """Yield the tables of a sheet; `read` returns a part's current bytes, by default those of the archive."""
    if sheet_part not in archive:
        return
    for relation in relations(archive, sheet_part):
        if relation.kind != "table" or relation.target not in archive:
            continue
        data = (read or archive.read)(relation.target)
        try:
            root = parse(data)
        except MarkupError as error:
            raise archive.error(f"is damaged: part {relation.target}: {error}") from error
        area = parse_area(root.attributes.get("ref", ""))
        if area is not None:
            yield TablePart(relation.target, data, root, area)
