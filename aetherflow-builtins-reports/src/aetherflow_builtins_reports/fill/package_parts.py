"""Updates the lists of all parts, content types and relationships, to the parts that are written."""

from collections.abc import Iterable
from pathlib import PurePath

from aetherflow.core.api import StepInputError
from aetherflow_builtins_reports.package.archive import Archive
from aetherflow_builtins_reports.package.markup import DOCUMENT_RELS, Edits, parse, start_tag
from aetherflow_builtins_reports.package.relations import rels_part, resolve
from aetherflow_builtins_reports.package.workbook import Workbook

TYPES_PART = "[Content_Types].xml"
_PLAIN = "application/vnd.openxmlformats-officedocument.spreadsheetml."
_MACRO = "application/vnd.ms-excel."
NEW_STYLES_PART = "xl/aetherflowStyles.xml"
"""The styles part for a template that has none."""
_STYLES_TYPE = f"{_PLAIN}styles+xml"
_SHEET_TYPE = f"{_PLAIN}worksheet+xml"
_KINDS = {
    ".xlsx": f"{_PLAIN}sheet.main+xml",
    ".xltx": f"{_PLAIN}template.main+xml",
    ".xlsm": f"{_MACRO}sheet.macroEnabled.main+xml",
    ".xltm": f"{_MACRO}template.macroEnabled.main+xml",
}


def workbook_type(output: str, workbook: Workbook, current: str) -> str:
    """The workbook's content type for the output's suffix; StepInputError if Excel would refuse the combination."""
    wanted = _KINDS.get(PurePath(output).suffix.lower())
    if wanted is None:
        raise StepInputError(f"output {output!r} must end with {', '.join(_KINDS)}")
    has_macros = "macroEnabled" in current
    if has_macros != ("macroEnabled" in wanted):
        kind, suffix = ("has macros", ".xlsm") if has_macros else ("has no macros", ".xlsx")
        raise StepInputError(
            f"{workbook.archive.name} {kind}, so Excel would not open it as {PurePath(output).suffix}",
            fix=f"name the output {PurePath(output).stem}{suffix}",
        )
    return wanted


def changed_types(
    archive: Archive, output: str, workbook: Workbook, dropped: Iterable[str], *, new_styles: bool
) -> bytes:
    """The content types without dropped parts, with new sheets, and with the workbook's type for the output."""
    data = archive.read(TYPES_PART)
    root, edits = parse(data), Edits(data)
    gone = {f"/{part}".lower() for part in dropped}
    current = ""
    for element in root.named("Override"):
        name = element.attributes.get("PartName", "").lower()
        if name in gone:
            edits.remove(element)
        elif name == f"/{workbook.part}".lower():
            current = element.attributes.get("ContentType", "")
            edits.set_attributes(element, ContentType=workbook_type(output, workbook, current))
    if not current:
        workbook_type(output, workbook, _KINDS[".xlsx"])
    prefix = root.name.rpartition(":")[0]
    name = f"{prefix}:Override" if prefix else "Override"
    new = [(f"/{sheet.part}", _SHEET_TYPE) for sheet, _ in workbook.added]
    if new_styles:
        new.append((f"/{NEW_STYLES_PART}", _STYLES_TYPE))
    defaults = {each.attributes.get("Extension", "").lower() for each in root.named("Default")}
    if "xml" not in defaults:
        new.append(("/customXml/aetherflow.xml", "application/xml"))
    tags = [start_tag(name, {"PartName": part, "ContentType": kind}, empty=True) for part, kind in new]
    if tags:
        edits.append(root, b"".join(tags))
    return edits.apply()


def changed_relations(
    archive: Archive, workbook: Workbook, dropped: Iterable[str], extra: Iterable[tuple[str, str]]
) -> bytes:
    """The workbook's relationships without dropped parts, with new sheets and with `extra` (kind, part)."""
    data = archive.read(rels_part(workbook.part))
    root, edits = parse(data), Edits(data)
    gone = {part.lower() for part in dropped}
    known = set()
    ids = {rel_id for _, rel_id in workbook.added}
    for element in root.named("Relationship"):
        get = element.attributes.get
        ids.add(get("Id", ""))
        target = "" if get("TargetMode") == "External" else resolve(workbook.part, get("Target", "")).lower()
        known.add(target)
        if target in gone:
            edits.remove(element)
    prefix = root.name.rpartition(":")[0]
    name = f"{prefix}:Relationship" if prefix else "Relationship"
    new = [(rel_id, "worksheet", sheet.part) for sheet, rel_id in workbook.added]
    for kind, part in extra:
        if part.lower() not in known:
            rel_id = next(f"rId{number}" for number in range(1, 1 << 20) if f"rId{number}" not in ids)
            ids.add(rel_id)
            new.append((rel_id, kind, part))
    tags = [
        start_tag(name, {"Id": rel_id, "Type": f"{DOCUMENT_RELS}/{kind}", "Target": f"/{part}"}, empty=True)
        for rel_id, kind, part in new
    ]
    if tags:
        edits.append(root, b"".join(tags))
    return edits.apply()


def without_relations(archive: Archive, part: str, dropped: Iterable[str]) -> bytes:
    """The relationships of a part, or of the package for '', without those to dropped parts."""
    data = archive.read(rels_part(part))
    root, edits = parse(data), Edits(data)
    gone = {each.lower() for each in dropped}
    for element in root.named("Relationship"):
        if resolve(part, element.attributes.get("Target", "")).lower() in gone:
            edits.remove(element)
    return edits.apply()
