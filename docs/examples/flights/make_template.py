"""Makes report-template.xlsx, the designed report of report.yaml: logo, figures, two tables with charts, a pivot table.

    .venv/bin/python docs/examples/flights/make_template.py

XlsxWriter, which `make` installs into `.venv`, writes all but the pivot table, whose four parts are added by hand. The
same script makes the same parts.
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
NUMBERS = ["flights", "cancelled", "late", "mean delay", "late share"]
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
    """A region that grows and a table, each with one row of samples, totals below, and a chart as high as they are."""
    sheet: xlsxwriter.worksheet.Worksheet = report  # type: ignore[assignment]
    line, total = {"bottom": 4, "bottom_color": "#D0D5DD", "font_size": 10}, {"top": 1, "bold": True, "font_size": 10}
    codes = ["@", "@", "#,##0", "#,##0", "#,##0", "0.0", "0.0%"]
    formats = [book.add_format({**line, "num_format": code}) for code in codes]
    totals = [book.add_format({**total, "num_format": code}) for code in codes]
    carriers(book, sheet, section, formats, totals)
    months(book, sheet, section, formats, totals)


def carriers(
    book: xlsxwriter.Workbook, sheet: xlsxwriter.worksheet.Worksheet, section: object, formats: list[object],
    totals: list[object],
) -> None:  # fmt: skip
    """Marker in row 8, header in 9, the style row 10, totals in 11."""
    sheet.write("A7", "Carriers", section)
    sheet.write("A8", "CARRIER_ROWS", book.add_format({"font_color": "white", "font_size": 6}))
    for column, (name, look) in enumerate(zip(["carrier", "airline", *NUMBERS], headers(book), strict=True)):
        sheet.write(8, column, name, look)
    for column, look in enumerate(formats[:6]):
        sheet.write_blank(9, column, None, look)
    sheet.write_formula("G10", '=IF(C10>0,E10/C10,"")', formats[6], "")
    sheet.write("A11", "all", totals[0])
    sheet.write_blank("B11", None, totals[1])
    for column in "CDE":
        sheet.write_formula(f"{column}11", f"=SUM({column}10:{column}10)", totals[2], 0)
    sheet.write_formula("F11", "=SUMPRODUCT(C10:C10-D10:D10,F10:F10)/(C11-D11)", totals[5], 0)
    sheet.write_formula("G11", "=E11/C11", totals[6], 0)
    chart = book.add_chart({"type": "bar"})
    chart.add_series({
        "name": "mean delay, minutes", "categories": "=Report!$B$10:$B$10", "values": "=Report!$F$10:$F$10",
        "fill": {"color": BLUE}, "gap": 40,
    })  # fmt: skip
    chart.set_title({"name": "Mean delay by airline, minutes", "name_font": {"size": 12, "color": NAVY}})
    chart.set_legend({"none": True})
    chart.set_y_axis({"reverse": True, "num_font": {"size": 8}})
    chart.set_x_axis({"major_gridlines": {"visible": True, "line": {"color": "#E5E7EB"}}, "num_format": "0"})
    chart.set_size({"width": 560, "height": 80})
    sheet.insert_chart("I8", chart, {"object_position": 1})  # moves and sizes with its rows


def months(
    book: xlsxwriter.Workbook, sheet: xlsxwriter.worksheet.Worksheet, section: object, formats: list[object],
    totals: list[object],
) -> None:  # fmt: skip
    """The table Months: header in row 14, data in 15, totals in 16, its last column calculated."""
    sheet.write("A13", "Months", section)
    weighted = "SUMPRODUCT((Months[flights]-Months[cancelled])*Months[mean delay])"
    formulas = {name: f"=SUBTOTAL(109,Months[{name}])" for name in ("flights", "cancelled", "late")}
    formulas["mean delay"] = f"={weighted}/(Months[[#Totals],[flights]]-Months[[#Totals],[cancelled]])"
    formulas["late share"] = "=Months[[#Totals],[late]]/Months[[#Totals],[flights]]"
    columns: list[dict[str, object]] = []
    for name, head, look in zip(["month", "name", *NUMBERS], headers(book), formats, strict=True):
        columns.append({"header": name, "header_format": head, "format": look, "total_function": formulas.get(name)})
    columns[0]["total_string"] = "all"
    columns[6]["formula"] = "=Months[[#This Row],[late]]/Months[[#This Row],[flights]]"
    options = {"name": "Months", "columns": columns, "total_row": True, "style": None, "autofilter": False}
    sheet.add_table("A14:G16", options)
    for number, name in enumerate(["month", "name", *NUMBERS]):
        if number < 6:
            sheet.write_blank(14, number, None, formats[number])
        if name in formulas:
            sheet.write_formula(15, number, formulas[name], totals[number], 0)
        else:
            sheet.write(15, number, "all" if number == 0 else None, totals[number])
    chart = book.add_chart({"type": "column"})
    chart.add_series({"name": "flights", "categories": "=Report!$B$15:$B$15", "values": "=Report!$C$15:$C$15",
                      "fill": {"color": "#C9D9EA"}, "gap": 60})  # fmt: skip
    delay = book.add_chart({"type": "line"})
    delay.add_series({
        "name": "mean delay, minutes", "categories": "=Report!$B$15:$B$15", "values": "=Report!$F$15:$F$15",
        "y2_axis": True, "line": {"color": NAVY, "width": 2.5},
    })  # fmt: skip
    chart.combine(delay)
    chart.set_title({"name": "Flights and mean delay by month", "name_font": {"size": 12, "color": NAVY}})
    chart.set_legend({"position": "bottom"})
    chart.set_y_axis({"num_format": "#,##0", "major_gridlines": {"visible": True, "line": {"color": "#E5E7EB"}}})
    chart.set_size({"width": 560, "height": 80})
    sheet.insert_chart("I13", chart, {"object_position": 1})


def headers(book: xlsxwriter.Workbook) -> list[object]:
    """Formats of a table's header: two texts, then numbers."""
    texts, numbers = book.add_format(HEAD), book.add_format({**HEAD, "align": "right"})
    return [texts] * 2 + [numbers] * len(NUMBERS)


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
