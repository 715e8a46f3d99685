"""A template with a table that formulas, a chart, a defined name, a pivot table and a slicer refer to."""

from collections.abc import Mapping
from pathlib import Path

import xlsxwriter

from reports_templates import once, rewrite

_RELS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_TYPES = "application/vnd.openxmlformats-officedocument.spreadsheetml"
_OFFICE = "http://schemas.microsoft.com/office"
VALUE = "=Sales[[#This Row],[amount]]*Sales[[#This Row],[price]]"
COLUMNS = ["region", "amount", "price", "value", "share"]


@once
def with_table(
    path: Path, *, rows: int = 1, totals: bool = True, header: bool = True, names: Mapping[str, str] | None = None
) -> Path:
    """Write the template: sheet `Report` with table `Sales` at B4, two calculated columns and `samples` sample rows."""
    book = xlsxwriter.Workbook(path)
    report, pivot = book.add_worksheet("Report"), book.add_worksheet("Pivot")
    look, money = book.add_format({"italic": True}), book.add_format({"num_format": "#,##0.00"})
    last = 3 + header + rows - 1
    options = {
        "name": "Sales", "header_row": header, "total_row": totals, "style": "Table Style Medium 4",
        "columns": [
            {"header": "region", "total_string": "All", "format": look},
            {"header": "amount", "total_function": "sum"},
            {"header": "price", "format": money},
            {"header": "value", "formula": VALUE, "total_function": "sum", "format": money},
            {"header": "share", "formula": f"=E{4 + header}/SUM(E${4 + header}:E${last + 1})"},
        ],
    }  # fmt: skip
    report.add_table(3, 1, last + totals, 5, options)
    for row in range(rows):
        report.write_row(3 + header + row, 1, [f"sample {row}", 7], look)
        report.write_number(3 + header + row, 3, 7, money)
    report.write("A2", "A designed report")
    report.write("B20", "below")
    report.write_formula("H2", "=SUM(Sales[amount])", None, 7)
    report.write_formula("H3", f"=SUM(C{4 + header}:C{last + 1})", None, 7)
    book.define_name("REGIONS", "=Sales[region]")
    book.define_name("TITLE", "=Report!$A$2")
    for name, formula in (names or {}).items():
        book.define_name(name, formula)
    chart = book.add_chart({"type": "column"})
    span = [3 + header, last]
    chart.add_series({"categories": ["Report", span[0], 1, span[1], 1], "values": ["Report", span[0], 2, span[1], 2]})
    report.insert_chart("H5", chart)
    pivot.write_row("A3", ["Row Labels", "Sum of amount"])
    pivot.write_row("A4", ["sample 0", 7])
    pivot.write_row("A5", ["Grand Total", 7])
    book.close()
    rewrite(path, _add_pivot_and_slicer)
    rewrite(path, _name_the_table)
    return path


def _name_the_table(parts: dict[str, bytes]) -> None:
    """Add the table's name to the references in the totals row, as Excel does; LibreOffice needs it."""
    name = "xl/worksheets/sheet1.xml"
    parts[name] = parts[name].replace(b"SUBTOTAL(109,[", b"SUBTOTAL(109,Sales[")


def _add_pivot_and_slicer(parts: dict[str, bytes]) -> None:
    fields = "".join(
        f'<cacheField name="{name}" numFmtId="0"><sharedItems>{shared}</sharedItems></cacheField>'
        for name, shared in ((name, '<s v="sample 0"/>' if name == "region" else "") for name in COLUMNS)
    )
    parts["xl/pivotCache/pivotCacheDefinition1.xml"] = (
        f'<pivotCacheDefinition xmlns="{_MAIN}" xmlns:r="{_RELS}" saveData="0" recordCount="0"><cacheSource '
        f'type="worksheet"><worksheetSource name="Sales"/></cacheSource><cacheFields count="5">{fields}</cacheFields>'
        "</pivotCacheDefinition>"
    ).encode()
    row_field = (
        '<pivotField axis="axisRow" showAll="0"><items count="2"><item x="0"/><item t="default"/></items></pivotField>'
    )
    others = '<pivotField dataField="1" showAll="0"/>' + '<pivotField showAll="0"/>' * 3
    parts["xl/pivotTables/pivotTable1.xml"] = (
        f'<pivotTableDefinition xmlns="{_MAIN}" name="P" cacheId="5" dataCaption="Values" createdVersion="6"><location '
        'ref="A3:B5" firstHeaderRow="1" firstDataRow="1" firstDataCol="1"/><pivotFields count="5">'
        f'{row_field}{others}</pivotFields><rowFields count="1"><field x="0"/></rowFields><rowItems count="2"><i>'
        '<x/></i><i t="grand"><x/></i></rowItems><colItems count="1"><i/></colItems><dataFields count="1"><dataField '
        'name="Sum of amount" fld="1" baseField="0" baseItem="0"/></dataFields></pivotTableDefinition>'
    ).encode()
    parts["xl/pivotTables/_rels/pivotTable1.xml.rels"] = _rels(
        ("rId1", f"{_RELS}/pivotCacheDefinition", "../pivotCache/pivotCacheDefinition1.xml")
    )
    parts["xl/worksheets/_rels/sheet2.xml.rels"] = _rels(
        ("rId1", f"{_RELS}/pivotTable", "../pivotTables/pivotTable1.xml"),
        ("rId2", f"{_OFFICE}/2007/relationships/slicer", "../slicers/slicer1.xml"),
    )
    parts["xl/slicers/slicer1.xml"] = (
        f'<slicers xmlns="{_OFFICE}/spreadsheetml/2009/9/main"><slicer name="region" cache="Slicer_region" '
        'caption="region" rowHeight="241300"/></slicers>'
    ).encode()
    parts["xl/slicerCaches/slicerCache1.xml"] = (
        f'<slicerCacheDefinition xmlns="{_OFFICE}/spreadsheetml/2009/9/main" xmlns:x15="{_OFFICE}/spreadsheetml/'
        '2010/11/main" name="Slicer_region" sourceName="region"><extLst><x:ext '
        f'xmlns:x="{_MAIN}" uri="{{2F2917AC-EB37-4324-AD4E-5DD8C200BD13}}"><x15:tableSlicerCache tableId="1" '
        'column="1"/></x:ext></extLst></slicerCacheDefinition>'
    ).encode()
    _insert(
        parts, "xl/workbook.xml", "</workbook>", '<pivotCaches><pivotCache cacheId="5" r:id="rId90"/></pivotCaches>'
    )
    _insert(
        parts, "xl/_rels/workbook.xml.rels", "</Relationships>",
        _entry("rId90", f"{_RELS}/pivotCacheDefinition", "pivotCache/pivotCacheDefinition1.xml")
        + _entry("rId91", f"{_OFFICE}/2007/relationships/slicerCache", "slicerCaches/slicerCache1.xml"),
    )  # fmt: skip
    kinds = {
        "/xl/pivotCache/pivotCacheDefinition1.xml": f"{_TYPES}.pivotCacheDefinition+xml",
        "/xl/pivotTables/pivotTable1.xml": f"{_TYPES}.pivotTable+xml",
        "/xl/slicerCaches/slicerCache1.xml": "application/vnd.ms-excel.slicerCache+xml",
        "/xl/slicers/slicer1.xml": "application/vnd.ms-excel.slicer+xml",
    }
    listed = "".join(f'<Override PartName="{name}" ContentType="{kind}"/>' for name, kind in kinds.items())
    _insert(parts, "[Content_Types].xml", "</Types>", listed)


def _insert(parts: dict[str, bytes], part: str, before: str, new: str) -> None:
    parts[part] = parts[part].replace(before.encode(), f"{new}{before}".encode())


def _entry(name: str, kind: str, target: str) -> str:
    return f'<Relationship Id="{name}" Type="{kind}" Target="{target}"/>'


def _rels(*entries: tuple[str, str, str]) -> bytes:
    listed = "".join(_entry(*entry) for entry in entries)
    return (
        f'<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">{listed}</Relationships>'
    ).encode()
