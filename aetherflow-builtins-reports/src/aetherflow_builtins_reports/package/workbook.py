"""Reads the workbook part, its sheets and defined names, and changes it for a fill."""

import re
from dataclasses import dataclass

from aetherflow.core.api import StepInputError
from aetherflow_builtins_reports.errors import WorkbookError
from aetherflow_builtins_reports.escaping import escape
from aetherflow_builtins_reports.package.archive import Archive
from aetherflow_builtins_reports.package.markup import (
    DOCUMENT_RELS,
    Edits,
    Element,
    MarkupError,
    after,
    parse,
    prefix_of,
    start_tag,
    whole,
)
from aetherflow_builtins_reports.package.refs import Area, parse_area, quoted, split_sheet
from aetherflow_builtins_reports.package.relations import relations

_BEFORE_NAMES = (
    "fileVersion", "fileSharing", "workbookPr", "workbookProtection", "bookViews", "sheets", "functionGroups",
    "externalReferences",
)  # fmt: skip
_BEFORE_CALC = (*_BEFORE_NAMES, "definedNames")
_BAD_SHEET_NAME = re.compile(r"[\[\]:*?/\\\x00-\x1f]|^'|'$")
MAX_SHEET_NAME = 31
FILTER_NAME = "_xlnm._FilterDatabase"


@dataclass(frozen=True, slots=True)
class Sheet:
    """One worksheet, a sheet with cells."""

    name: str
    part: str
    index: int
    """Its index among all sheets, chart sheets included; the scope of defined names uses this index."""


@dataclass(frozen=True, slots=True)
class DefinedName:
    name: str
    text: str
    scope: int | None
    """Index of the sheet that the name belongs to; None for the workbook."""

    def areas(self) -> list[tuple[str, Area]]:
        """(sheet, area) for each area that the name refers to; empty for constants and formulas."""
        found = []
        for text in re.split(r",(?=(?:[^']*'[^']*')*[^']*$)", self.text):
            sheet, ref = split_sheet(text)
            area = parse_area(ref)
            if sheet is not None and area is not None:
                found.append((sheet, area))
        return found


class Workbook:
    """The content of the workbook part, and changes to it. WorkbookError if the part cannot be read."""

    def __init__(self, archive: Archive) -> None:
        self.archive = archive
        self.part = self._find()
        try:
            self._data = archive.read(self.part)
            self._root = parse(self._data)
            self._prefix = prefix_of(self._root)
        except MarkupError as error:
            raise archive.error(f"cannot be read: {error}") from error
        self.relations = relations(archive, self.part)
        self._by_id = {relation.id: relation for relation in self.relations}
        self.sheets: list[Sheet] = []
        self.other_sheets: list[str] = []
        """Names of chart sheets and other sheets without cells."""
        self._added: list[tuple[str, str]] = []
        self._filters: dict[int, str] = {}
        self._name_texts: dict[int, str] = {}
        self._read_sheets()
        self.names = self._read_names()
        properties = self._root.first("workbookPr")
        self.date1904 = properties is not None and properties.attributes.get("date1904") in {"1", "true"}

    def _find(self) -> str:
        found = [relation for relation in relations(self.archive, "") if relation.kind == "officeDocument"]
        if not found:
            raise self.archive.error("is no Excel workbook", "give a .xlsx, .xlsm, .xltx or .xltm file")
        part = found[0].target
        if not part.endswith((".xml", ".XML")):
            raise self.archive.error("is in the binary .xlsb format", "save it as .xlsx")
        return part

    def _read_sheets(self) -> None:
        listed = self._root.first("sheets")
        try:
            rel_key = f"{prefix_of(self._root, DOCUMENT_RELS)}id"
        except MarkupError:
            rel_key = "r:id"  # the prefix is declared on a child element
        for index, element in enumerate(listed.children if listed else ()):
            name = element.attributes.get("name", "")
            own = next((value for key, value in element.attributes.items() if key.endswith(":id")), "")
            relation = self._by_id.get(element.attributes.get(rel_key, own))
            if relation is not None and relation.kind == "worksheet":
                self.sheets.append(Sheet(name, relation.target, index))
            else:
                self.other_sheets.append(name)

    def _read_names(self) -> list[DefinedName]:
        listed = self._root.first("definedNames")
        names = []
        for element in listed.named("definedName") if listed else ():
            scope = element.attributes.get("localSheetId")
            index = int(scope) if scope and scope.isdecimal() else None
            names.append(DefinedName(element.attributes.get("name", ""), element.text, index))
        return names

    @property
    def sheet_names(self) -> list[str]:
        """Names of the sheets with cells, in their order."""
        return [sheet.name for sheet in self.sheets]

    def find_sheet(self, name: str) -> Sheet | None:
        """The sheet of that name, in any case, as in Excel; None if there is none."""
        return next((sheet for sheet in self.sheets if sheet.name.casefold() == name.casefold()), None)

    def sheet(self, name: str) -> Sheet:
        """The sheet of that name, in any case; WorkbookError that lists the sheets if there is none."""
        found = self.find_sheet(name)
        if found is None:
            hint = "it is a chart sheet; " if name.casefold() in map(str.casefold, self.other_sheets) else ""
            raise WorkbookError(
                f"{self.archive.name} has no sheet {name!r}",
                fix=f"{hint}its sheets are: {', '.join(self.sheet_names)}",
            )
        return found

    def named(self, name: str) -> list[DefinedName]:
        """The defined names of that name, in any case; names with the workbook's scope come first."""
        wanted = name.casefold()
        found = [each for each in self.names if each.name.casefold() == wanted]
        return sorted(found, key=lambda each: (each.scope is not None, each.scope or 0))

    # Changes

    def add_sheet(self, name: str) -> Sheet:
        """Add an empty sheet after all others; StepInputError or WorkbookError if the name is not possible."""
        check_sheet_name(name)
        if name.casefold() in map(str.casefold, [*self.sheet_names, *self.other_sheets]):
            raise WorkbookError(f"{self.archive.name} has a sheet {name!r} already, which is no sheet with cells")
        folder = self.part.rpartition("/")[0]
        number = 1
        while (part := f"{folder}/worksheets/sheet{number}.xml".lstrip("/")) in self.archive or part in self._parts:
            number += 1
        sheet = Sheet(name, part, len(self.sheets) + len(self.other_sheets))
        self.sheets.append(sheet)
        ids = {relation.id for relation in self.relations} | {rel_id for _, rel_id in self._added}
        free = next(f"rId{number}" for number in range(1, 1 << 20) if f"rId{number}" not in ids)
        self._added.append((name, free))
        return sheet

    @property
    def _parts(self) -> set[str]:
        return {sheet.part for sheet in self.sheets}

    @property
    def added(self) -> list[tuple[Sheet, str]]:
        """The new sheets and the ids of their relationships."""
        new = self.sheets[len(self.sheets) - len(self._added) :]
        return [(sheet, rel_id) for sheet, (_, rel_id) in zip(new, self._added, strict=True)]

    def set_filter(self, sheet: Sheet, area: Area) -> None:
        """Set the range of a sheet's filter, which Excel stores as a hidden name."""
        self._filters[sheet.index] = f"{quoted(sheet.name)}!{area.absolute}"

    def set_name(self, index: int, text: str) -> None:
        """Change the text of the name at this index of `names` in the file; `names` itself stays unchanged."""
        self._name_texts[index] = text

    def changed(self) -> bytes:
        """The part with all changes, and with `fullCalcOnLoad`: Excel then recalculates when it opens the file."""
        edits, prefix, root = Edits(self._data), self._prefix, self._root
        self._add_sheets(edits)
        self._put_filters(edits)
        self._put_names(edits)
        calc = root.first("calcPr")
        if calc is not None:
            edits.set_attributes(calc, fullCalcOnLoad="1")
        else:
            edits.insert(after(root, _BEFORE_CALC), start_tag(f"{prefix}calcPr", {"fullCalcOnLoad": "1"}, empty=True))
        return edits.apply()

    def _add_sheets(self, edits: Edits) -> None:
        listed = self._root.first("sheets")
        if not self._added or listed is None:
            return
        used = [whole(child.attributes.get("sheetId", "0")) for child in listed.children]
        new = b""
        for number, (name, rel_id) in enumerate(self._added, max(used, default=0) + 1):
            new += start_tag(
                f"{self._prefix}sheet",
                {"name": name, "sheetId": str(number), "xmlns:r": DOCUMENT_RELS, "r:id": rel_id},
                empty=True,
            )
        edits.append(listed, new)

    def _put_filters(self, edits: Edits) -> None:
        if not self._filters:
            return
        listed = self._root.first("definedNames")
        new = b""
        for index, text in sorted(self._filters.items()):
            old = self._filter_name(listed, index)
            if old is not None:
                edits.replace(old.tag_end, old.inner_end, escape(text).encode())
                continue
            tag = start_tag(
                f"{self._prefix}definedName", {"name": FILTER_NAME, "localSheetId": str(index), "hidden": "1"}
            )
            new += tag + escape(text).encode() + f"</{self._prefix}definedName>".encode()
        if listed is not None:
            edits.append(listed, new)
        elif new:
            wrapped = f"<{self._prefix}definedNames>".encode() + new + f"</{self._prefix}definedNames>".encode()
            edits.insert(after(self._root, _BEFORE_NAMES), wrapped)

    def _put_names(self, edits: Edits) -> None:
        listed = self._root.first("definedNames")
        elements = listed.named("definedName") if listed else []
        replaced = [self._filter_name(listed, index) for index in self._filters]
        for index, text in self._name_texts.items():
            if elements[index] not in replaced:
                edits.replace(elements[index].tag_end, elements[index].inner_end, escape(text).encode())

    @staticmethod
    def _filter_name(listed: Element | None, index: int) -> Element | None:
        for element in listed.children if listed else ():
            same = element.attributes.get("name") == FILTER_NAME
            if same and element.attributes.get("localSheetId") == str(index) and not element.empty:
                return element
        return None


def check_sheet_name(name: str) -> None:
    """Raise StepInputError if Excel would not accept the name for a sheet."""
    length = len(name.encode("utf-16-le")) // 2
    if not name.strip() or length > MAX_SHEET_NAME or _BAD_SHEET_NAME.search(name) or name.casefold() == "history":
        raise StepInputError(
            f"{name!r} cannot be the name of a sheet",
            fix=f"at most {MAX_SHEET_NAME} characters, none of []:*?/\\, no ' at an end; set `sheet`",
        )
