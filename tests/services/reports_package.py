"""Writes workbook files from hand-written parts, for content that XlsxWriter cannot write."""

import posixpath
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

_RELS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_TYPES = "application/vnd.openxmlformats-officedocument.spreadsheetml"
NAMESPACES = (
    f'xmlns="{_MAIN}" xmlns:r="{_RELS}" xmlns:xdr="http://schemas.openxmlformats.org/drawingml/2006/spreadsheetDrawing"'
    ' xmlns:x14="http://schemas.microsoft.com/office/spreadsheetml/2009/9/main"'
    ' xmlns:xm="http://schemas.microsoft.com/office/excel/2006/main"'
    ' xmlns:mc="http://schemas.openxmlformats.org/markup-compatibility/2006"'
)


def sheet(rows: str = "", *, before: str = "", after: str = "") -> str:
    """The XML of a sheet."""
    return f"<worksheet {NAMESPACES}>{before}<sheetData>{rows}</sheetData>{after}</worksheet>"


def package(
    path: Path,
    sheets: Mapping[str, str],
    *,
    parts: Mapping[str, str] | None = None,
    links: Mapping[str, Sequence[tuple[str, str]]] | None = None,
    names: str = "",
) -> Path:
    """Write a workbook from sheets (name to XML), further parts, and each part's relationships as (kind, part)."""
    listed = list(sheets)
    every = {f"xl/worksheets/sheet{number}.xml": sheets[name] for number, name in enumerate(listed, 1)}
    every |= parts or {}
    leads = {part: list(targets) for part, targets in (links or {}).items()}
    book = [("worksheet", f"xl/worksheets/sheet{number}.xml") for number in range(1, len(listed) + 1)]
    leads["xl/workbook.xml"] = book + leads.get("xl/workbook.xml", [])
    leads[""] = [("officeDocument", "xl/workbook.xml")]
    entries = "".join(
        f'<sheet name="{name.replace("&", "&amp;")}" sheetId="{number}" r:id="rId{number}"/>'
        for number, name in enumerate(listed, 1)
    )
    defined = f"<definedNames>{names}</definedNames>" if names else ""
    every["xl/workbook.xml"] = f"<workbook {NAMESPACES}><sheets>{entries}</sheets>{defined}</workbook>"
    for part, targets in leads.items():
        folder, name = posixpath.split(part)
        own = "".join(
            f'<Relationship Id="rId{number}" Type="{_RELS}/{kind}" Target="/{target}"/>'
            for number, (kind, target) in enumerate(targets, 1)
        )
        every[posixpath.join(folder, "_rels", f"{name}.rels")] = (
            f'<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">{own}</Relationships>'
        )
    overrides = "".join(
        f'<Override PartName="/xl/worksheets/sheet{number}.xml" ContentType="{_TYPES}.worksheet+xml"/>'
        for number in range(1, len(listed) + 1)
    )
    every["[Content_Types].xml"] = (
        '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"><Default Extension="rels" '
        'ContentType="application/vnd.openxmlformats-package.relationships+xml"/><Default Extension="xml" '
        f'ContentType="application/xml"/><Override PartName="/xl/workbook.xml" ContentType="{_TYPES}.sheet.main+xml"/>'
        f"{overrides}</Types>"
    )
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in every.items():
            archive.writestr(name, text)
    return path
