"""Templates for the tests, written by XlsxWriter and completed by hand where it lacks a feature."""

import io
import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Concatenate, ParamSpec

import xlsxwriter

Options = ParamSpec("Options")
_RELS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_TYPES = "application/vnd.openxmlformats-officedocument.spreadsheetml"
VBA_PROJECT = Path(__file__).parent / "files" / "vbaProject.bin"
"""A VBA project that Excel stored; its origin is documented next to the file."""
REGIONS = ["north", "south", "east", "west"]
RICH_ROWS: list[list[Any]] = [[REGIONS[row % 4], 2020 + row % 3, 10.5 * row] for row in range(1, 9)]
"""The rows of the sheet `Data` of the rich template, below its header."""


def png(width: int, height: int, color: tuple[int, int, int]) -> bytes:
    """A picture of one color."""
    rows = (b"\0" + bytes(color) * width) * height

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">2I5B", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def rewrite(path: Path, change: Callable[[dict[str, bytes]], None]) -> None:
    """Change the parts of a workbook file."""
    with zipfile.ZipFile(path) as archive:
        parts = {info.filename: archive.read(info) for info in archive.infolist()}
    change(parts)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in parts.items():
            archive.writestr(name, data)


def parts_of(path: Path) -> dict[str, bytes]:
    """Name of each part to its content."""
    with zipfile.ZipFile(path) as archive:
        return {info.filename: archive.read(info) for info in archive.infolist()}


def once(write: Callable[Concatenate[Path, Options], Path]) -> Callable[Concatenate[Path, Options], Path]:
    """`write`, which writes a template; one with the same options is copied from then on."""
    written: dict[str, bytes] = {}

    def copy(path: Path, /, *arguments: Options.args, **options: Options.kwargs) -> Path:
        key = repr((arguments, sorted(options.items())))
        if key not in written:
            written[key] = write(path, *arguments, **options).read_bytes()
        path.write_bytes(written[key])
        return path

    return copy


@once
def layout(path: Path) -> Path:
    """Write the sheet of the worked examples: marker A4, header 5, formatted row 6, second marker A11, header 12."""
    book = xlsxwriter.Workbook(path)
    sheet = book.add_worksheet("Report")
    bold = book.add_format({"bold": True, "bg_color": "#DDEEFF"})
    look = book.add_format({"border": 1, "bg_color": "#FFF2CC", "font_color": "#7F6000"})
    number = book.add_format({"border": 1, "bg_color": "#FFF2CC", "num_format": "#,##0.00"})
    sheet.write("A1", "A designed report", bold)
    sheet.write("A4", "QIP_ANCHOR")
    sheet.write_row("A5", ["id", "amount", "day"], bold)
    sheet.write_row("A6", ["", ""], look)
    sheet.write_blank("B6", None, number)
    sheet.write_blank("C6", None, look)
    sheet.write("E6", "beside")
    sheet.write("A11", "QC_ANCHOR")
    sheet.write_row("A12", ["x", "y", "z"], bold)
    book.define_name("KPI", "=Report!$F$1")
    book.define_name("Report!LOCAL_KPI", "=Report!$F$2")
    book.close()
    return path


@once
def rich(path: Path, *, macros: bool = False, rows: Sequence[Sequence[Any]] = RICH_ROWS, charts: bool = True) -> Path:
    """A template with 46 parts of all kinds (of a workbook with macros: more), sheet `Data` to be filled.

    `charts=False`: the same pages without the six charts.
    """
    book = xlsxwriter.Workbook(path)
    if macros:
        book.add_vba_project(str(VBA_PROJECT))
    report, data, pivot, extra = (book.add_worksheet(name) for name in ("Report", "Data", "Pivot", "Ideas & More"))
    bold = book.add_format({"bold": True})
    money = book.add_format({"num_format": "#,##0.00", "border": 1})
    data.write_row("A1", ["region", "year", "amount"], bold)
    for number, values in enumerate(rows, 1):
        data.write_row(number, 0, values, money)
    if charts:
        _charts(book, report)
    _extras(book, report, extra)
    pivot.write_row("A3", ["Row Labels", "Sum of amount"], bold)
    for row, (region, amount) in enumerate([("east", 1.0), ("north", 2.0), ("south", 3.0), ("west", 4.0)], 3):
        pivot.write_row(row, 0, [region, amount])
    pivot.write_row("A8", ["Grand Total", 10.0])
    book.define_name("TOTAL", "=Report!$B$2")
    book.define_name("Report!LOCAL", "=Report!$B$3")
    book.set_properties({"title": "Rich", "author": "Tests"})
    book.close()
    rewrite(path, lambda parts: _add_pivot(parts, "xlsm" if macros else "xlsx"))
    return path


def _charts(book: xlsxwriter.Workbook, report: object) -> None:
    kinds = [{"type": "column"}, {"type": "line"}, {"type": "pie"}, {"type": "scatter"}, {"type": "area"}]
    for number, kind in enumerate(kinds):
        chart = book.add_chart(kind)
        chart.add_series({"categories": "=Data!$A$2:$A$9", "values": "=Data!$C$2:$C$9", "name": f"Chart {number + 1}"})
        report.insert_chart(5 + 16 * (number // 2), 8 * (number % 2), chart)  # type: ignore[attr-defined]
    sheet, chart = book.add_chartsheet("Chart"), book.add_chart({"type": "bar"})
    chart.add_series({"categories": "=Data!$A$2:$A$9", "values": "=Data!$C$2:$C$9", "name": "Chart 6"})
    sheet.set_chart(chart)


def _extras(book: xlsxwriter.Workbook, report: xlsxwriter.worksheet.Worksheet, extra: object) -> None:
    report.write("A1", "Report", book.add_format({"bold": True, "font_size": 20}))
    report.write("A2", "total")
    report.write_formula("B2", "=SUM(Data!C2:C9)", None, 378)
    report.merge_range("D1:F1", "merged", book.add_format({"align": "center"}))
    report.write_rich_string("A4", "rich ", book.add_format({"bold": True}), "text")
    report.insert_image("H1", "red.png", {"image_data": io.BytesIO(png(40, 20, (200, 30, 30)))})
    report.set_header("&L&P")
    report.repeat_rows(0, 1)
    report.print_area("A1:P55")  # one page for all of its charts
    report.fit_to_pages(1, 1)
    report.protect("", {"select_locked_cells": True})
    sheet: xlsxwriter.worksheet.Worksheet = extra
    sheet.insert_image("H1", "blue.png", {"image_data": io.BytesIO(png(20, 40, (30, 30, 200)))})
    sheet.insert_textbox("C3", "a text box")
    sheet.insert_button("C12", {"caption": "Press"})
    sheet.write_comment("A1", "a comment")
    sheet.add_table("A20:C24", {"name": "Things", "columns": [{"header": h} for h in ("one", "two", "three")]})
    sheet.conditional_format("A1:A9", {"type": "3_color_scale"})
    sheet.conditional_format("B1:B9", {"type": "data_bar", "data_bar_2010": True})
    sheet.data_validation("D1", {"validate": "list", "source": ["a", "b"]})
    sheet.add_sparkline("E1", {"range": "Data!C2:C9"})
    sheet.write_array_formula("F1:F2", "{=Data!C2:C3*2}")
    sheet.write_dynamic_array_formula("G1:G2", "=_xlfn.UNIQUE(Data!A2:A9)")
    sheet.write_url("A15", "https://example.org/")


_CACHE = f"""<?xml version="1.0" encoding="UTF-8" standalone="yes"?>
<pivotCacheDefinition xmlns="{_MAIN}" xmlns:r="{_RELS}" r:id="rId1" refreshedBy="t" refreshedDate="45000"
 createdVersion="6" refreshedVersion="6" recordCount="8">
<cacheSource type="worksheet"><worksheetSource ref="A1:C9" sheet="Data"/></cacheSource>
<cacheFields count="3"><cacheField name="region" numFmtId="0"><sharedItems count="4"><s v="south"/><s v="east"/>
<s v="west"/><s v="north"/></sharedItems></cacheField>
<cacheField name="year" numFmtId="0"><sharedItems containsSemiMixedTypes="0"
 containsString="0" containsNumber="1" containsInteger="1" minValue="2020" maxValue="2022"/></cacheField>
<cacheField name="amount" numFmtId="0"><sharedItems containsSemiMixedTypes="0" containsString="0" containsNumber="1"
 minValue="10.5" maxValue="84"/></cacheField></cacheFields></pivotCacheDefinition>"""
_TABLE = f"""<?xml version="1.0" encoding="UTF-8" standalone="yes"?>
<pivotTableDefinition xmlns="{_MAIN}" name="Pivot1" cacheId="7" dataCaption="Values" updatedVersion="6"
 minRefreshableVersion="3" createdVersion="6" indent="0" outline="1" outlineData="1"><location ref="A3:B8"
 firstHeaderRow="1" firstDataRow="1" firstDataCol="1"/><pivotFields count="3"><pivotField axis="axisRow" showAll="0">
<items count="5"><item x="1"/><item x="3"/><item x="0"/><item x="2"/><item t="default"/></items></pivotField>
<pivotField showAll="0"/><pivotField dataField="1" showAll="0"/></pivotFields>
<rowFields count="1"><field x="0"/></rowFields>
<rowItems count="5"><i><x/></i><i><x v="1"/></i><i><x v="2"/></i><i><x v="3"/></i><i t="grand"><x/></i></rowItems>
<colItems count="1"><i/></colItems><dataFields count="1"><dataField name="Sum of amount" fld="2" baseField="0"
 baseItem="0"/></dataFields></pivotTableDefinition>"""
_SLICER_CACHE = f"""<?xml version="1.0" encoding="UTF-8" standalone="yes"?>
<slicerCacheDefinition xmlns="http://schemas.microsoft.com/office/spreadsheetml/2009/9/main" xmlns:x="{_MAIN}"
 name="Slicer_region" sourceName="region"><pivotTables><pivotTable tabId="3" name="Pivot1"/></pivotTables><data>
<tabular pivotCacheId="7"><items count="4"><i x="1" s="1"/><i x="3" s="1"/><i x="0" s="1"/>
<i x="2" s="1"/></items></tabular>
</data></slicerCacheDefinition>"""
_SLICER = """<?xml version="1.0" encoding="UTF-8" standalone="yes"?>
<slicers xmlns="http://schemas.microsoft.com/office/spreadsheetml/2009/9/main"><slicer name="region"
 cache="Slicer_region" caption="region" rowHeight="241300"/></slicers>"""
_X14 = 'xmlns:x14="http://schemas.microsoft.com/office/spreadsheetml/2009/9/main"'


def _rels(*entries: tuple[str, str, str]) -> bytes:
    listed = "".join(f'<Relationship Id="{i}" Type="{kind}" Target="{target}"/>' for i, kind, target in entries)
    head = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
    return (
        f'{head}<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">{listed}'
        "</Relationships>"
    ).encode()


def _add_pivot(parts: dict[str, bytes], _: str) -> None:
    """A pivot table on Data, its slicer, a custom XML part, printer settings and a calculation chain."""
    records = "".join(f'<r><x v="{row % 4}"/><n v="{2020 + row % 3}"/><n v="{10.5 * row}"/></r>' for row in range(1, 9))
    slicer = "http://schemas.microsoft.com/office/2007/relationships"
    parts |= {
        "xl/pivotCache/pivotCacheDefinition1.xml": _CACHE.encode(),
        "xl/pivotCache/pivotCacheRecords1.xml": (
            f'<pivotCacheRecords xmlns="{_MAIN}" count="8">{records}</pivotCacheRecords>'
        ).encode(),
        "xl/pivotCache/_rels/pivotCacheDefinition1.xml.rels": _rels(
            ("rId1", f"{_RELS}/pivotCacheRecords", "pivotCacheRecords1.xml")
        ),
        "xl/pivotTables/pivotTable1.xml": _TABLE.encode(),
        "xl/pivotTables/_rels/pivotTable1.xml.rels": _rels(
            ("rId1", f"{_RELS}/pivotCacheDefinition", "../pivotCache/pivotCacheDefinition1.xml")
        ),
        "xl/slicerCaches/slicerCache1.xml": _SLICER_CACHE.encode(),
        "xl/slicers/slicer1.xml": _SLICER.encode(),
        "xl/worksheets/_rels/sheet3.xml.rels": _rels(
            ("rId1", f"{_RELS}/pivotTable", "../pivotTables/pivotTable1.xml"),
            ("rId2", f"{slicer}/slicer", "../slicers/slicer1.xml"),
        ),
        "xl/printerSettings/printerSettings1.bin": bytes(range(256)) * 4,
        "xl/worksheets/_rels/sheet2.xml.rels": _rels(
            ("rId1", f"{_RELS}/printerSettings", "../printerSettings/printerSettings1.bin")
        ),
        "customXml/item1.xml": b"<notes xmlns='urn:test'>kept</notes>",
    }

    def replace(part: str, old: str, new: str) -> None:
        text = parts[part].decode()
        assert old in text, (part, old)
        parts[part] = text.replace(old, new, 1).encode()

    ext = '<extLst><ext uri="{A8765BA9-456A-4dab-B4F3-ACF838C121DE}" ' + _X14
    replace("xl/worksheets/sheet3.xml", "</worksheet>",
            f'{ext}><x14:slicerList><x14:slicer r:id="rId2"/></x14:slicerList></ext></extLst></worksheet>')  # fmt: skip
    pivot_rels = (
        f'<Relationship Id="rId900" Type="{_RELS}/pivotCacheDefinition" Target="pivotCache/pivotCacheDefinition1.xml"/>'
        f'<Relationship Id="rId901" Type="{slicer}/slicerCache" Target="slicerCaches/slicerCache1.xml"/>'
        f'<Relationship Id="rId902" Type="{_RELS}/customXml" Target="../customXml/item1.xml"/>'
        "</Relationships>"
    )
    replace("xl/_rels/workbook.xml.rels", "</Relationships>", pivot_rels)
    workbook = (
        '<pivotCaches><pivotCache cacheId="7" r:id="rId900"/></pivotCaches>'
        '<extLst><ext uri="{BBE1A952-AA13-448e-AADC-164F8A28A991}" ' + _X14 + "><x14:slicerCaches>"
        '<x14:slicerCache r:id="rId901"/></x14:slicerCaches></ext></extLst></workbook>'
    )
    replace("xl/workbook.xml", "</workbook>", workbook)
    data_end = re.search(r"<pageMargins[^>]*/>", parts["xl/worksheets/sheet2.xml"].decode())
    assert data_end
    replace(
        "xl/worksheets/sheet2.xml",
        data_end.group(),
        f'{data_end.group()}<pageSetup orientation="portrait" r:id="rId1"/>',
    )
    overrides = {
        "/xl/pivotCache/pivotCacheDefinition1.xml": f"{_TYPES}.pivotCacheDefinition+xml",
        "/xl/pivotCache/pivotCacheRecords1.xml": f"{_TYPES}.pivotCacheRecords+xml",
        "/xl/pivotTables/pivotTable1.xml": f"{_TYPES}.pivotTable+xml",
        "/xl/slicerCaches/slicerCache1.xml": "application/vnd.ms-excel.slicerCache+xml",
        "/xl/slicers/slicer1.xml": "application/vnd.ms-excel.slicer+xml",
        "/xl/printerSettings/printerSettings1.bin": f"{_TYPES}.printerSettings",
    }
    listed = "".join(f'<Override PartName="{name}" ContentType="{kind}"/>' for name, kind in overrides.items())
    replace("[Content_Types].xml", "</Types>", f"{listed}</Types>")


def with_calc_chain(path: Path) -> Path:
    """Add the calculation chain that Excel writes beside formulas."""

    def change(parts: dict[str, bytes]) -> None:
        parts["xl/calcChain.xml"] = f'<calcChain xmlns="{_MAIN}"><c r="B2" i="1"/></calcChain>'.encode()
        for part, old, new in (
            ("xl/_rels/workbook.xml.rels", b"</Relationships>",
             f'<Relationship Id="rId903" Type="{_RELS}/calcChain" Target="calcChain.xml"/></Relationships>'),
            ("[Content_Types].xml", b"</Types>",
             f'<Override PartName="/xl/calcChain.xml" ContentType="{_TYPES}.calcChain+xml"/></Types>'),
        ):  # fmt: skip
            parts[part] = parts[part].replace(old, new.encode())

    rewrite(path, change)
    return path


def prefixed(path: Path) -> Path:
    """Give every main element of workbook, sheets, styles and shared strings the prefix x, as some producers do."""

    def change(parts: dict[str, bytes]) -> None:
        for name, data in parts.items():
            if re.fullmatch(r"xl/(workbook|styles|sharedStrings|worksheets/sheet\d+)\.xml", name):
                text = re.sub(r"<(/?)(?=[a-zA-Z]+[\s/>])", r"<\1x:", data.decode())
                parts[name] = text.replace(f'xmlns="{_MAIN}"', f'xmlns:x="{_MAIN}"', 1).encode()

    rewrite(path, change)
    return path
