"""Workbooks that nobody should open, made at test time. Each is refused within the limits of a child."""

import io
import struct
import warnings
import zipfile
from collections.abc import Callable, Mapping

MIB = 1 << 20
MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
RELS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
PACKAGE = "http://schemas.openxmlformats.org/package/2006"
SHEET = "xl/worksheets/sheet1.xml"
Make = Callable[[], bytes]


def sheet(rows: str | bytes, before: str = "") -> bytes:
    """A sheet part with these rows."""
    data = rows if isinstance(rows, bytes) else rows.encode()
    head = f'<?xml version="1.0"?>{before}<worksheet xmlns="{MAIN}"><sheetData>'
    return head.encode() + data + b"</sheetData></worksheet>"


def cell(at: str, value: str = "<v>1</v>", kind: str = "n") -> str:
    return f'<c r="{at}" t="{kind}">{value}</c>'


def parts_of_xlsx(**parts: bytes | None) -> dict[str, bytes]:
    """The parts of a workbook of one sheet; `parts` replace those of that short name, None leaves one out."""
    types = "".join(
        f'<Override PartName="/xl/{name}" ContentType="application/vnd.openxmlformats-officedocument.'
        f'spreadsheetml.{kind}+xml"/>'
        for name, kind in (("workbook.xml", "sheet.main"), ("worksheets/sheet1.xml", "worksheet"))
    )
    made: dict[str, bytes | None] = {
        "[Content_Types].xml": f'<Types xmlns="{PACKAGE}/content-types">{types}</Types>'.encode(),
        "_rels/.rels": (
            f'<Relationships xmlns="{PACKAGE}/relationships"><Relationship Id="rId1" '
            f'Type="{RELS}/officeDocument" Target="xl/workbook.xml"/></Relationships>'
        ).encode(),
        "xl/workbook.xml": (
            f'<workbook xmlns="{MAIN}" xmlns:r="{RELS}"><sheets><sheet name="S" sheetId="1" r:id="rId1"/></sheets>'
            "</workbook>"
        ).encode(),
        "xl/_rels/workbook.xml.rels": relations("worksheets/sheet1.xml"),
        SHEET: sheet(f'<row r="1">{cell("A1")}</row>'),
    }
    short = {"types": "[Content_Types].xml", "book": "xl/workbook.xml", "rels": "xl/_rels/workbook.xml.rels",
             "sheet": SHEET, "strings": "xl/sharedStrings.xml", "styles": "xl/styles.xml"}  # fmt: skip
    made |= {short[name]: data for name, data in parts.items()}
    return {name: data for name, data in made.items() if data is not None}


def relations(target: str) -> bytes:
    entries = "".join(
        f'<Relationship Id="rId{number}" Type="{RELS}/{kind}" Target="{path}"/>'
        for number, (kind, path) in enumerate(
            (("worksheet", target), ("sharedStrings", "sharedStrings.xml"), ("styles", "styles.xml")), 1
        )
    )
    return f'<Relationships xmlns="{PACKAGE}/relationships">{entries}</Relationships>'.encode()


def zipped(parts: Mapping[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, data in parts.items():
            archive.writestr(name, data)
    return out.getvalue()


def xlsx(**parts: bytes | None) -> bytes:
    return zipped(parts_of_xlsx(**parts))


def with_rows(rows: str | bytes, before: str = "") -> Make:
    return lambda: xlsx(sheet=sheet(rows, before))


def repeated(unit: bytes, size: int) -> bytes:
    return unit * (size // len(unit))


def lying() -> bytes:
    """The list of the archive says 100 bytes where 40 MiB come."""
    data = bytearray(xlsx(sheet=sheet(repeated(b"<row></row>", 40 * MIB))))
    start = data.rindex(b"PK\x01\x02", 0, data.rindex(SHEET.encode()))
    data[start + 24 : start + 28] = struct.pack("<I", 100)
    return bytes(data)


def patched(at: bytes, offset: int, new: bytes) -> Make:
    """Bytes of every header of a kind in the archive are replaced."""

    def make() -> bytes:
        data = bytearray(xlsx())
        start = -1
        while (start := data.find(at, start + 1)) >= 0:
            data[start + offset : start + offset + len(new)] = new
        return bytes(data)

    return make


def twice() -> bytes:
    out = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(out, "w") as archive:
        warnings.simplefilter("ignore", UserWarning)
        for name, data in [*parts_of_xlsx().items(), (SHEET, sheet(""))]:
            archive.writestr(name, data)
    return out.getvalue()


def damaged() -> bytes:
    data = bytearray(xlsx())
    start = data.index(SHEET.encode()) + len(SHEET)
    data[start : start + 30] = bytes(30)
    return bytes(data)


def one_long_text_everywhere() -> bytes:
    """A shared text of 1 MiB that 3,000 cells show."""
    cells = "".join(f'<row r="{number}">{cell(f"A{number}", "<v>0</v>", "s")}</row>' for number in range(1, 3001))
    text = b"<t>" + b"x" * MIB + b"</t>"
    strings = f'<sst xmlns="{MAIN}" count="1" uniqueCount="1"><si>'.encode() + text + b"</si></sst>"
    return xlsx(sheet=sheet(cells), strings=strings)


def compound(fat: Mapping[int, int], directory: int = 0, size: int = 0x7FFFFFFF, name: str = "Workbook") -> bytes:
    """An .xls container of four sectors with a given allocation table; -2 ends a chain."""
    header = bytearray(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(504))
    struct.pack_into("<HHHHH", header, 24, 0x3E, 3, 0xFFFE, 9, 6)
    struct.pack_into("<IIIIIIIIII", header, 40, 0, 1, directory, 0, 4096, 0xFFFFFFFE, 0, 0xFFFFFFFE, 0, 3)
    for place in range(80, 512, 4):
        struct.pack_into("<I", header, place, 0xFFFFFFFF)
    table = bytearray(b"\xff" * 512)
    for index, following in {3: -3, **fat}.items():
        struct.pack_into("<i", table, index * 4, following)
    entries = b""
    for entry, kind, first, length in (("Root Entry", 5, 1, 512), (name, 2, 1, size)):
        raw = entry.encode("utf-16-le") + b"\0\0"
        facts = struct.pack("<HBBIII", len(raw), kind, 1, 0xFFFFFFFF, 0xFFFFFFFF, 1 if kind == 5 else 0xFFFFFFFF)
        entries += raw.ljust(64, b"\0") + facts + bytes(36) + struct.pack("<IQ", first, length)
    return bytes(header) + entries.ljust(512, b"\0") + bytes(1024) + bytes(table)


def biff(*records: tuple[int, bytes]) -> bytes:
    """An .xls container with a stream of these records."""
    stream = b"".join(struct.pack("<HH", kind, len(data)) + data for kind, data in records).ljust(8 * 512, b"\0")
    count = len(stream) // 512
    header = bytearray(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(504))
    struct.pack_into("<HHHHH", header, 24, 0x3E, 3, 0xFFFE, 9, 6)
    struct.pack_into("<IIIIIIIIII", header, 40, 0, 1, 0, 0, 4096, 0xFFFFFFFE, 0, 0xFFFFFFFE, 0, 1)
    for place in range(80, 512, 4):
        struct.pack_into("<I", header, place, 0xFFFFFFFF)
    table = bytearray(b"\xff" * 512)
    chain = {0: -2, 1: -3, **{2 + index: 3 + index if index + 1 < count else -2 for index in range(count)}}
    for index, following in chain.items():
        struct.pack_into("<i", table, index * 4, following)
    entries = b""
    for name, kind, first, length in (("Root Entry", 5, 0xFFFFFFFE, 0), ("Workbook", 2, 2, len(stream))):
        raw = name.encode("utf-16-le") + b"\0\0"
        facts = struct.pack("<HBBIII", len(raw), kind, 1, 0xFFFFFFFF, 0xFFFFFFFF, 1 if kind == 5 else 0xFFFFFFFF)
        entries += raw.ljust(64, b"\0") + facts + bytes(36) + struct.pack("<IQ", first, length)
    return bytes(header) + entries.ljust(512, b"\0") + bytes(table) + stream


def xls_of_a_sheet(*records: tuple[int, bytes]) -> bytes:
    """An .xls workbook with one sheet of these records."""
    begin = struct.pack("<HHHHII", 0x600, 5, 0, 0, 0, 0)
    name = struct.pack("<BB", 1, 0) + b"S"
    start = 4 + len(begin) + 4 + 6 + len(name) + 4
    bound = struct.pack("<IBB", start, 0, 0) + name
    of_sheet = struct.pack("<HHHHII", 0x600, 0x10, 0, 0, 0, 0)
    return biff((0x809, begin), (0x85, bound), (0x0A, b""), (0x809, of_sheet), *records, (0x0A, b""))


def number_at(row: int, column: int) -> tuple[int, bytes]:
    return 0x203, struct.pack("<HHHd", row, column, 0, 1.0)


def ods(table: str) -> bytes:
    office = "urn:oasis:names:tc:opendocument:xmlns"
    head = (
        f'<office:document-content xmlns:office="{office}:office:1.0" xmlns:table="{office}:table:1.0" '
        f'xmlns:text="{office}:text:1.0"><office:body><office:spreadsheet>'
    )
    return zipped({
        "mimetype": b"application/vnd.oasis.opendocument.spreadsheet",
        "META-INF/manifest.xml": b"<manifest/>",
        "content.xml": (head + table + "</office:spreadsheet></office:body></office:document-content>").encode(),
    })  # fmt: skip


def ods_cell(rows: int, columns: int, value: str = "1") -> str:
    return (
        f'<table:table table:name="S"><table:table-row table:number-rows-repeated="{rows}"><table:table-cell '
        f'table:number-columns-repeated="{columns}" office:value-type="string"><text:p>{value}</text:p>'
        "</table:table-cell></table:table-row></table:table>"
    )


def xlsb(records: bytes, book: bytes | None = None) -> bytes:
    """A binary workbook; a record is its type, its length and its data."""
    name = "S".encode("utf-16-le")
    rel = "rId1".encode("utf-16-le")
    bundle = struct.pack("<II", 0, 1) + struct.pack("<I", 4) + rel + struct.pack("<I", 1) + name
    listed = b"\x83\x01\x00\x8f\x01\x00\x9c\x01" + bytes([len(bundle)]) + bundle + b"\x90\x01\x00\x84\x01\x00"
    parts = parts_of_xlsx(book=None, sheet=None, rels=None)
    parts["_rels/.rels"] = parts["_rels/.rels"].replace(b"workbook.xml", b"workbook.bin")
    parts["xl/_rels/workbook.bin.rels"] = relations("worksheets/sheet1.bin")
    parts |= {"xl/workbook.bin": listed if book is None else book, "xl/worksheets/sheet1.bin": records}
    return zipped(parts)


def xlsb_sheet(*records: bytes) -> bytes:
    """A sheet: WsDim, begin of the data, the records, the end."""
    dimension = b"\x94\x01\x10" + struct.pack("<IIII", 0, 0xFFFFF, 0, 0x3FFF)
    return xlsb(b"\x81\x01\x00" + dimension + b"\x91\x01\x00" + b"".join(records) + b"\x92\x01\x00\x82\x01\x00")


def xlsb_row(row: int) -> bytes:
    return b"\x00\x19" + struct.pack("<I", row) + bytes(21)


def xlsb_real(column: int) -> bytes:
    return b"\x05\x10" + struct.pack("<II", column, 0) + struct.pack("<d", 1.0)


FAR = f'<row r="1">{cell("A1")}</row>'
XLSX: dict[str, Make] = {
    "two-corners.xlsx": with_rows(f'{FAR}<row r="1048576">{cell("XFD1048576")}</row>'),
    "a-wide-corner.xlsx": with_rows(f'{FAR}<row r="60000">{cell("XFD60000")}</row>'),
    "beyond-the-last-row.xlsx": with_rows(f'{FAR}<row r="4000000000">{cell("ZZZ4000000000")}</row>'),
    "beyond-all-numbers.xlsx": with_rows(f'<row r="1">{cell("A99999999999999999999")}</row>'),
    "beyond-the-last-column.xlsx": with_rows(f'{FAR}<row r="2">{cell("ZZZZZZZZZZ2")}</row>'),
    "no-address.xlsx": with_rows(f'<row r="1">{cell("!!")}</row>'),
    "a-giant-cell.xlsx": lambda: xlsx(
        sheet=sheet(b'<row r="1"><c r="A1" t="str"><v>' + b"x" * (40 * MIB) + b"</v></c></row>")
    ),
    "one-long-text-everywhere.xlsx": one_long_text_everywhere,
    "many-cells-of-few-bytes.xlsx": lambda: xlsx(
        sheet=sheet(repeated(b"<row>" + b"<c><v>1</v></c>" * 1000 + b"</row>", 31 * MIB))
    ),
    "many-texts.xlsx": lambda: xlsx(strings=b"<sst>" + repeated(b"<si><t>x</t></si>", 40 * MIB) + b"</sst>"),
    "many-styles.xlsx": lambda: xlsx(styles=b"<styleSheet>" + repeated(b"<xf/>", 40 * MIB) + b"</styleSheet>"),
    "a-long-list-of-sheets.xlsx": lambda: xlsx(book=b"<workbook>" + repeated(b"<sheet/>", 40 * MIB) + b"</workbook>"),
    "many-relations.xlsx": lambda: xlsx(
        rels=b"<Relationships>" + repeated(b"<Relationship/>", 40 * MIB) + b"</Relationships>"
    ),
    "a-list-that-lies.xlsx": lying,
    "a-part-twice.xlsx": twice,
    "many-parts.xlsx": lambda: zipped(parts_of_xlsx() | {f"p/{number}": b"" for number in range(20_001)}, 0),
    "a-damaged-part.xlsx": damaged,
    "encrypted-parts.xlsx": patched(b"PK\x01\x02", 8, b"\x01\x00"),
    "an-unknown-method.xlsx": patched(b"PK\x01\x02", 10, b"\x63\x00"),
    "cut-in-the-middle.xlsx": lambda: xlsx()[:700],
    "without-a-workbook.xlsx": lambda: xlsx(book=None),
    "without-the-sheet.xlsx": lambda: xlsx(sheet=None),
    "no-sheets.xlsx": lambda: xlsx(book=f'<workbook xmlns="{MAIN}"><sheets/></workbook>'.encode()),
    "cut-markup.xlsx": lambda: xlsx(sheet=sheet(f'<row r="1">{cell("A1")}')[:120]),
    "a-text-that-is-missing.xlsx": with_rows(f'<row r="1">{cell("A1", "<v>4000000000</v>", "s")}</row>'),
    "a-sheet-outside.xlsx": lambda: xlsx(rels=relations("../../../../../../etc/passwd")),
    "empty.xlsx": lambda: b"",
    "text.xlsx": lambda: b"no workbook" * 100,
    "an-empty-archive.xlsx": lambda: zipped({}),
    "an-archive-of-something.xlsx": lambda: zipped({"a.txt": b"a"}),
}
OTHER: dict[str, Make] = {
    "without-its-stream.xls": lambda: compound({0: -2}, name="Something"),
    "a-circle-of-sectors.xls": lambda: compound({0: -2, 1: 2, 2: 1}),
    "a-circle-of-folders.xls": lambda: compound({0: 0}),
    "a-directory-outside.xls": lambda: compound({0: -2}, directory=0x0FFFFFF0),
    "a-chain-outside.xls": lambda: compound({0: -2, 1: 0x0FFFFFF0}),
    "garbage.xls": lambda: b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(range(256)) * 40,
    "only-a-start.xls": lambda: b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
    "two-corners.xls": lambda: xls_of_a_sheet(number_at(0, 0), number_at(65_535, 65_535)),
    "a-record-cut.xls": lambda: biff((0x809, b"\0"), (0x85, b"\1")),
    "all-repeated.ods": lambda: ods(ods_cell(1_048_576, 16_384)),
    "much-repeated.ods": lambda: ods(ods_cell(9_000, 10_000)),
    "a-text-repeated.ods": lambda: ods(ods_cell(1_000, 1_000, "x" * 10_000)),
    "repeated-beyond-all.ods": lambda: ods(ods_cell(2**62, 2)),
    "no-number-repeated.ods": lambda: ods(ods_cell(1, 1).replace('repeated="1"', 'repeated="x"')),
    "no-content.ods": lambda: zipped({"mimetype": b"application/vnd.oasis.opendocument.spreadsheet"}),
    "two-corners.xlsb": lambda: xlsb_sheet(xlsb_row(0), xlsb_real(0), xlsb_row(0xFFFFF), xlsb_real(0x3FFF)),
    "a-record-beyond-the-end.xlsb": lambda: xlsb(b"\x81\x01\xff\xff\xff\x7f"),
    "a-list-beyond-the-end.xlsb": lambda: xlsb(b"", b"\x8f\x01\xff\xff\xff\x7f"),
}
ALL = XLSX | OTHER
