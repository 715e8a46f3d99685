"""Makes report-template.xlsx, the designed report of report.yaml: logo, figures, two tables with charts, a pivot table.

    pip install xlsxwriter
    python make_template.py

XlsxWriter writes all but the pivot table, whose four parts are added by hand. The same script makes the same parts.
"""

import io
import math
import struct
import sys
import zipfile
import zlib
from datetime import datetime
from pathlib import Path

import xlsxwriter

NAVY, BLUE, SAND, GREY = "#12355B", "#2E75B6", "#F3EFE6", "#6B7280"
COLUMNS = ["date", "departure", "carrier", "flight", "origin", "dest", "dep_delay", "arr_delay", "air_time", "distance"]
CARRIERS, MONTHS = 16, 12
HEAD = {"bold": True, "font_color": "white", "bg_color": BLUE, "valign": "vcenter"}
MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
RELATIONS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
TYPE = "application/vnd.openxmlformats-officedocument.spreadsheetml"


def logo(size: int = 96) -> bytes:
    """A white paper plane on a navy disc, as PNG."""
    plane = [((0.18, 0.52), (0.84, 0.22), (0.46, 0.60)), ((0.46, 0.60), (0.84, 0.22), (0.60, 0.82))]

    def inside(x: float, y: float, corners: tuple[tuple[float, float], ...]) -> bool:
        sides = [
            (bx - ax) * (y - ay) - (by - ay) * (x - ax)
            for (ax, ay), (bx, by) in zip(corners, corners[1:] + corners[:1], strict=True)
        ]
        return all(side >= 0 for side in sides) or all(side <= 0 for side in sides)

    rows = bytearray()
    for row in range(size):
        rows.append(0)
        for column in range(size):
            x, y = (column + 0.5) / size, (row + 0.5) / size
            if math.hypot(x - 0.5, y - 0.5) > 0.5:
                rows += b"\xff\xff\xff\x00"
            elif inside(x, y, plane[0]):
                rows += b"\xff\xff\xff\xff"
            else:
                rows += b"\xc9\xd9\xea\xff" if inside(x, y, plane[1]) else b"\x2e\x75\xb6\xff"

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">2I5B", size, size, 8, 6, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(bytes(rows), 9))
        + chunk(b"IEND", b"")
    )


def design(book: xlsxwriter.Workbook) -> None:
    """The sheets."""
    report, pivot, flights = (book.add_worksheet(name) for name in ("Report", "Origins", "Flights"))
    banner = book.add_format(
        {"bg_color": NAVY, "font_color": "white", "bold": True, "font_size": 22, "valign": "vcenter"}
    )
    under = book.add_format({"bg_color": NAVY, "font_color": "#C9D9EA", "font_size": 11, "valign": "top"})
    head = book.add_format(
        {"bold": True, "font_color": "white", "bg_color": BLUE, "text_wrap": True, "valign": "vcenter"}
    )
    section = book.add_format({"bold": True, "font_size": 14, "font_color": NAVY})
    label = book.add_format({"font_color": GREY, "bg_color": SAND, "font_size": 10})
    figure = {"bold": True, "font_size": 18, "font_color": NAVY, "bg_color": SAND, "align": "left"}

    report.hide_gridlines(2)
    report.set_landscape()
    report.set_paper(9)
    report.fit_to_pages(1, 1)
    report.set_column("A:A", 12)
    report.set_column("B:B", 26)
    report.set_column("C:N", 11)
    report.set_row(0, 38, banner)
    report.set_row(1, 22, under)
    report.write("B1", "Departures from New York", banner)
    book.define_name("AS_OF", "=Report!$B$2")
    report.insert_image("A1", "logo.png", {"image_data": io.BytesIO(logo()), "x_scale": 0.8, "y_scale": 0.8,
                                           "x_offset": 8, "y_offset": 1, "description": "A paper plane"})  # fmt: skip
    figures = [("FLIGHTS", "flights", "#,##0"), ("CANCELLED", "cancelled", "#,##0"),
               ("LATE_SHARE", "more than 15 minutes late", "0.0%"),
               ("MEAN_DELAY", "mean delay, minutes", "0.0")]  # fmt: skip
    for number, (name, text, code) in enumerate(figures):
        column, cell = 1 + 3 * number, book.add_format({**figure, "num_format": code})
        if number:
            report.merge_range(3, column - 1, 3, column, text, label)
            report.merge_range(4, column - 1, 4, column, "", cell)
        else:
            report.write(3, column, text, label)
            report.write_blank(4, column, None, cell)
        book.define_name(name, f"=Report!${chr(65 + column - (number > 0))}$5")
    report.set_row(4, 30)
    tables(book, report, section)
    origins(pivot, section)

    flights.freeze_panes(1, 0)
    flights.write_row(0, 0, COLUMNS, head)
    for column, code in enumerate(["yyyy-mm-dd", "hh:mm", "@", "0", "@", "@", "0", "0", "0", "#,##0"]):
        look = book.add_format({"num_format": code, "font_size": 10, "indent": 1 if code == "@" else 0})
        flights.write_blank(1, column, None, look)
    flights.set_column("A:J", 11)
    flights.print_area("A1:J50")
    flights.fit_to_pages(1, 1)


def tables(book: xlsxwriter.Workbook, report: object, section: object) -> None:
    """Two regions with room for their rows, and a chart beside each."""
    sheet: xlsxwriter.worksheet.Worksheet = report  # type: ignore[assignment]
    line = {"bottom": 4, "bottom_color": "#D0D5DD", "font_size": 10}
    codes = ["@", "@", "#,##0", "#,##0", "#,##0", "0.0"]
    formats = [book.add_format({**line, "num_format": code}) for code in codes]
    sheet.write("A7", "Carriers", section)
    sheet.write_row("A8", ["CARRIER_ROWS"], book.add_format({"font_color": "white", "font_size": 6}))
    _header(book, sheet, 8, ["carrier", "airline"])
    for row in range(CARRIERS):
        for column, look in enumerate(formats):
            sheet.write_blank(9 + row, column, None, look)
    chart = book.add_chart({"type": "bar"})
    last = 9 + CARRIERS
    chart.add_series({
        "name": "mean delay, minutes", "categories": f"=Report!$B$10:$B${last}", "values": f"=Report!$F$10:$F${last}",
        "fill": {"color": BLUE}, "gap": 40,
    })  # fmt: skip
    chart.set_title({"name": "Mean delay by airline, minutes", "name_font": {"size": 12, "color": NAVY}})
    chart.set_legend({"none": True})
    chart.set_y_axis({"reverse": True, "num_font": {"size": 8}})
    chart.set_x_axis({"major_gridlines": {"visible": True, "line": {"color": "#E5E7EB"}}, "num_format": "0"})
    chart.set_size({"width": 640, "height": 370})
    sheet.insert_chart("H7", chart)

    top = last + 2
    sheet.write(top - 1, 0, "Months", section)
    sheet.write(top, 0, "MONTH_ROWS", book.add_format({"font_color": "white", "font_size": 6}))
    _header(book, sheet, top + 1, ["month", "name"])
    for row in range(MONTHS):
        for column, look in enumerate(formats):
            sheet.write_blank(top + 2 + row, column, None, look)
    first, end = top + 3, top + 2 + MONTHS
    months = book.add_chart({"type": "column"})
    months.add_series({"name": "flights", "categories": f"=Report!$B${first}:$B${end}",
                       "values": f"=Report!$C${first}:$C${end}", "fill": {"color": "#C9D9EA"}, "gap": 60})  # fmt: skip
    delay = book.add_chart({"type": "line"})
    delay.add_series({"name": "mean delay, minutes", "categories": f"=Report!$B${first}:$B${end}",
                      "values": f"=Report!$F${first}:$F${end}", "y2_axis": True,
                      "line": {"color": NAVY, "width": 2.5}})  # fmt: skip
    months.combine(delay)
    months.set_title({"name": "Flights and mean delay by month", "name_font": {"size": 12, "color": NAVY}})
    months.set_legend({"position": "bottom"})
    months.set_y_axis({"num_format": "#,##0", "major_gridlines": {"visible": True, "line": {"color": "#E5E7EB"}}})
    months.set_size({"width": 640, "height": 300})
    sheet.insert_chart(top - 1, 7, months)


def _header(book: xlsxwriter.Workbook, sheet: xlsxwriter.worksheet.Worksheet, row: int, names: list[str]) -> None:
    sheet.write_row(row, 0, names, book.add_format(HEAD))
    sheet.write_row(row, 2, ["flights", "cancelled", "late", "mean delay"], book.add_format({**HEAD, "align": "right"}))


def origins(pivot: object, section: object) -> None:
    """The place of the pivot table, with what it shows before it is refreshed."""
    sheet: xlsxwriter.worksheet.Worksheet = pivot  # type: ignore[assignment]
    sheet.write("A1", "Flights by airport and carrier", section)
    sheet.set_column("A:A", 16)
    sheet.set_column("B:B", 18)
    sheet.write_row("A3", ["Row Labels", "Sum of distance"])
    for row, name in enumerate(("EWR", "JFK", "LGA", "Grand Total"), 3):
        sheet.write(row, 0, name)


def add_pivot(parts: dict[str, bytes]) -> None:
    """A pivot table on the sheet Flights: distance by airport."""
    fields = "".join(
        f'<cacheField name="{name}" numFmtId="0"><sharedItems>{shared}</sharedItems></cacheField>'
        for name, shared in ((name, _items() if name == "origin" else "") for name in COLUMNS)
    )
    row_field = (
        '<pivotField axis="axisRow" showAll="0"><items count="4"><item x="0"/><item x="1"/><item x="2"/>'
        '<item t="default"/></items></pivotField>'
    )
    special = {"origin": row_field, "distance": '<pivotField dataField="1" showAll="0"/>'}
    pivot_fields = "".join(special.get(name, '<pivotField showAll="0"/>') for name in COLUMNS)
    axis, data = COLUMNS.index("origin"), COLUMNS.index("distance")
    parts["xl/pivotCache/pivotCacheDefinition1.xml"] = (
        f'<pivotCacheDefinition xmlns="{MAIN}" xmlns:r="{RELATIONS}" saveData="0" refreshOnLoad="1" recordCount="0">'
        '<cacheSource type="worksheet"><worksheetSource ref="A1:J2" sheet="Flights"/></cacheSource>'
        f'<cacheFields count="{len(COLUMNS)}">{fields}</cacheFields></pivotCacheDefinition>'
    ).encode()
    parts["xl/pivotTables/pivotTable1.xml"] = (
        f'<pivotTableDefinition xmlns="{MAIN}" name="Origins" cacheId="1" dataCaption="Values" createdVersion="6" '
        'indent="0" outline="1" outlineData="1"><location ref="A3:B7" firstHeaderRow="1" firstDataRow="1" '
        f'firstDataCol="1"/><pivotFields count="{len(COLUMNS)}">{pivot_fields}</pivotFields><rowFields count="1">'
        f'<field x="{axis}"/></rowFields><rowItems count="4"><i><x/></i><i><x v="1"/></i><i><x v="2"/></i>'
        '<i t="grand"><x/></i></rowItems><colItems count="1"><i/></colItems><dataFields count="1">'
        f'<dataField name="Sum of distance" fld="{data}" baseField="0" baseItem="0" numFmtId="3"/></dataFields>'
        '<pivotTableStyleInfo name="PivotStyleMedium2" showRowHeaders="1" showColHeaders="1" showRowStripes="1"/>'
        "</pivotTableDefinition>"
    ).encode()
    parts["xl/pivotTables/_rels/pivotTable1.xml.rels"] = _relations(
        "pivotCacheDefinition", "../pivotCache/pivotCacheDefinition1.xml"
    )
    parts["xl/worksheets/_rels/sheet2.xml.rels"] = _relations("pivotTable", "../pivotTables/pivotTable1.xml")
    book = "xl/workbook.xml"
    parts[book] = parts[book].replace(
        b"</workbook>", b'<pivotCaches><pivotCache cacheId="1" r:id="rId90"/></pivotCaches></workbook>'
    )
    entry = _relations("pivotCacheDefinition", "pivotCache/pivotCacheDefinition1.xml", "rId90")
    rels = "xl/_rels/workbook.xml.rels"
    parts[rels] = parts[rels].replace(b"</Relationships>", entry[entry.index(b"<Relationship ") :])
    kinds = (
        f'<Override PartName="/xl/pivotCache/pivotCacheDefinition1.xml" ContentType="{TYPE}.pivotCacheDefinition+xml"/>'
    )
    kinds += f'<Override PartName="/xl/pivotTables/pivotTable1.xml" ContentType="{TYPE}.pivotTable+xml"/></Types>'
    types = "[Content_Types].xml"
    parts[types] = parts[types].replace(b"</Types>", kinds.encode())


def _items() -> str:
    return "".join(f'<s v="{name}"/>' for name in ("EWR", "JFK", "LGA"))


def _relations(kind: str, target: str, name: str = "rId1") -> bytes:
    return (
        '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
        f'<Relationship Id="{name}" Type="{RELATIONS}/{kind}" Target="{target}"/></Relationships>'
    ).encode()


def main(path: Path) -> None:
    """Write the template."""
    memory = io.BytesIO()
    book = xlsxwriter.Workbook(memory)
    book.set_properties({"title": "Departures from New York", "created": datetime(2026, 1, 1)})  # noqa: DTZ001
    design(book)
    book.close()
    with zipfile.ZipFile(memory) as archive:
        parts = {info.filename: archive.read(info) for info in archive.infolist()}
    add_pivot(parts)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in parts.items():
            archive.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).with_name("report-template.xlsx"))
