"""Files that are refused, and that the old output stays whole whatever goes wrong."""

import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from aetherflow_builtins_reports.package import markup, shared_strings, sheet_stream
from reports_project import Reports
from reports_templates import layout, parts_of, rewrite

TARGET = {"cell": "Report!A30", "rows_json": [["x"]]}


def encrypted(path: Path) -> None:
    path.write_bytes(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600) + "EncryptedPackage".encode("utf-16-le"))


def old_format(path: Path) -> None:
    path.write_bytes(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600))


def strict(path: Path) -> None:
    layout(path)
    transitional, strict_name = (
        b"http://schemas.openxmlformats.org/spreadsheetml/2006/main",
        b"http://purl.oclc.org/ooxml/spreadsheetml/main",
    )
    rewrite(path, lambda parts: parts.update(
        {name: data.replace(transitional, strict_name) for name, data in parts.items()}
    ))  # fmt: skip


def text(path: Path) -> None:
    path.write_text("no workbook")


@pytest.fixture(scope="module")
def packed_bomb(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A part that inflates to far more than a file of this size is trusted with."""
    path = tmp_path_factory.mktemp("bomb") / "t.xlsx"
    layout(path)
    parts = parts_of(path)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        start, end, _ = parts.pop("xl/styles.xml").partition(b"</styleSheet>")
        for name, data in parts.items():
            archive.writestr(name, data)
        with archive.open("xl/styles.xml", "w") as part:
            part.write(start + b"<!--")
            for _ in range(150):
                part.write(b" " * (1 << 20))
            part.write(b"-->" + end)
    return path


def entity_bomb(path: Path) -> None:
    layout(path)
    start = b'<!DOCTYPE x [<!ENTITY a "aaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]>'
    name = "xl/worksheets/sheet1.xml"
    rewrite(path, lambda parts: parts.update({name: parts[name].replace(b"<worksheet", start + b"<worksheet", 1)}))


def damaged(path: Path) -> None:
    layout(path)
    data = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        start = archive.getinfo("xl/worksheets/sheet1.xml").header_offset + 60
    data[start : start + 20] = bytes(20)
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (encrypted, "encrypted with a password"),
        (old_format, "old .xls format"),
        (strict, "Strict Open XML"),
        (text, "is no Excel workbook"),
        (entity_bomb, "declares a document type"),
        (damaged, "is damaged"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_what_is_no_sound_template(reports: Reports, make: Callable[[Path], None], words: str) -> None:
    make(reports.folder / "t.xlsx")
    message = reports.fails("excel_fill_small", template_path="t.xlsx", output="o.xlsx", targets=[TARGET])
    assert words in message
    assert "t.xlsx" in message


def test_a_bomb_is_no_template(reports: Reports, packed_bomb: Path) -> None:
    shutil.copy(packed_bomb, reports.folder / "t.xlsx")
    message = reports.fails("excel_fill_small", template_path="t.xlsx", output="o.xlsx", targets=[TARGET])
    assert "inflates to more than" in message
    assert "t.xlsx" in message


@pytest.mark.parametrize(
    ("part", "end", "filler"),
    [
        ("xl/styles.xml", b"</cellXfs>", b"<xf/>"),
        ("xl/workbook.xml", b"</definedNames>", b'<definedName name="a">Report!$A$1</definedName>'),
        ("xl/_rels/workbook.xml.rels", b"</Relationships>", b'<Relationship Id="x" Type="t" Target="y"/>'),
    ],
)
def test_a_small_bomb_in_a_part_that_is_held_is_no_template(
    reports: Reports, part: str, end: bytes, filler: bytes
) -> None:
    layout(reports.folder / "t.xlsx")
    many = filler * ((3 << 20) // len(filler))
    rewrite(reports.folder / "t.xlsx", lambda parts: parts.update({part: parts[part].replace(end, many + end)}))
    message = reports.fails("excel_fill_small", template_path="t.xlsx", output="o.xlsx", targets=[TARGET])
    assert f"its part {part} inflates to more than 2 MiB" in message


@pytest.mark.parametrize(
    ("part", "old", "new", "words"),
    [
        ("xl/styles.xml", b"</cellXfs>", b"%b</cellXfs>", "holds more than 1,000 elements"),
        ("xl/worksheets/sheet1.xml", b"<sheetData>", b"<!--%b--><sheetData>", "a row, or what"),
        ("xl/worksheets/sheet1.xml", b"</row>", b"<!--%b--></row>", "a row, or what"),
        ("xl/worksheets/sheet1.xml", b"</sheetData>", b"</sheetData><!--%b-->", "a row, or what"),
        ("xl/sharedStrings.xml", b"</si>", b"<t>%b</t></si>", "one of them takes more than 64 MiB"),
        ("xl/sharedStrings.xml", b"</sst>", b"<a b='%b", "one of them takes more than 64 MiB"),
    ],
)
def test_what_is_held_of_a_template_has_a_limit(
    reports: Reports, monkeypatch: pytest.MonkeyPatch, part: str, old: bytes, new: bytes, words: str
) -> None:
    monkeypatch.setattr(markup, "MOST_WEIGHT", 3000)
    monkeypatch.setattr(sheet_stream, "MOST_HELD", 1 << 16)
    check = shared_strings.refuse_large
    monkeypatch.setattr(shared_strings, "refuse_large", lambda size: check(size << 10))
    layout(reports.folder / "t.xlsx")
    much = b"<xf/>" * 2000 if part == "xl/styles.xml" else b"x" * 140_000
    rewrite(reports.folder / "t.xlsx", lambda parts: parts.update({part: parts[part].replace(old, new % much, 1)}))
    target = {"anchor": "QIP_ANCHOR", "sheet": "Report", "rows_json": [["x"]]}
    message = reports.fails("excel_fill_small", template_path="t.xlsx", output="o.xlsx", targets=[target])
    assert "t.xlsx cannot be read" in message
    assert words in message


@pytest.mark.parametrize(
    ("part", "old", "new", "words"),
    [
        ("xl/styles.xml", b'numFmtId="0"', b'numFmtId="no"', "'no' is no whole number"),
        ("xl/worksheets/sheet1.xml", b'<row r="5"', b'<row r="-5"', "'-5' is no whole number"),
        ("xl/worksheets/sheet1.xml", b'" s="', b'" s="9999999999999999999', "is no whole number"),
        ("[Content_Types].xml", b"<Override", b"<Overr\xffide", "no well-formed XML"),
        ("xl/workbook.xml", b'encoding="UTF-8"', b'encoding="UTF-9"', ""),
        ("xl/workbook.xml", b"<?xml", b"\xff\xfe<?xml", "not encoded as UTF-8"),
    ],
)
def test_damaged_markup(reports: Reports, part: str, old: bytes, new: bytes, words: str) -> None:
    layout(reports.folder / "t.xlsx")
    rewrite(reports.folder / "t.xlsx", lambda parts: parts.update({part: parts[part].replace(old, new)}))
    target = {"cell": "Report!A6", "rows_json": [["2026-01-01"]], "dtypes": {"a": "date"}, "insert": "grow"}
    target["columns_json"] = ["a"]
    inputs = {"template_path": "t.xlsx", "output": "o.xlsx", "targets": [target]}
    if not words:  # what a part says of its encoding does not count
        assert reports.one("excel_fill_small", **inputs)
        return
    message = reports.fails("excel_fill_small", **inputs)
    assert "t.xlsx cannot be read" in message
    assert words in message


def test_a_signature_is_left_out_with_a_warning(reports: Reports) -> None:
    layout(reports.folder / "t.xlsx")

    def sign(parts: dict[str, bytes]) -> None:
        parts["_xmlsignatures/origin.sigs"] = b""
        kind = "http://schemas.openxmlformats.org/package/2006/relationships/digital-signature/origin"
        entry = f'<Relationship Id="rId99" Type="{kind}" Target="_xmlsignatures/origin.sigs"/></Relationships>'
        parts["_rels/.rels"] = parts["_rels/.rels"].replace(b"</Relationships>", entry.encode())

    rewrite(reports.folder / "t.xlsx", sign)
    out = reports.fill("t.xlsx", TARGET, small=True)
    assert "signed" in out["warnings"][0]
    parts = parts_of(Path(out["output"]))
    assert "_xmlsignatures/origin.sigs" not in parts
    assert b"digital-signature" not in parts["_rels/.rels"]


def test_validate_template_names_all_that_is_missing(reports: Reports) -> None:
    layout(reports.folder / "t.xlsx")
    found = reports.one(
        "excel_validate_template", template_path="t.xlsx", required_names=["kpi", "qc_anchor", "LOCAL_KPI"]
    )
    assert found == {
        "template_ok": True, "found_named_ranges": ["LOCAL_KPI", "kpi"], "found_tables": [],
        "found_anchor_cells": ["qc_anchor"],
        "found_targets": [],
        "warnings": [],
    }  # fmt: skip
    message = reports.fails("excel_validate_template", template_path="t.xlsx", required_names='["A B", "KPI", "NOPE"]')
    assert "A B, NOPE" in message
    message = reports.fails("excel_validate_template", template_path="t.xlsx", required_names="KPI", sheet="Nope")
    assert "no sheet 'Nope'" in message


def test_enterprise_mode_wants_a_sheet_for_a_text(reports: Reports) -> None:
    layout(reports.folder / "t.xlsx")
    reports.env["AETHERFLOW_MODE"] = "enterprise"
    target = {"anchor": "QIP_ANCHOR", "rows_json": [["x"]]}
    message = reports.fails("excel_fill_small", template_path="t.xlsx", output="o.xlsx", targets=[target])
    assert "needs a sheet in enterprise mode" in message
    reports.fill("t.xlsx", target | {"sheet": "Report"}, small=True)
