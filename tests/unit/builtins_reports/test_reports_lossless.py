"""What a fill leaves alone: a template with parts of all kinds, and files of other producers."""

import hashlib
import zipfile
from pathlib import Path
from typing import Any

import pytest
from reports_lossless import DATA, ROWS

from reports_project import Reports, cells
from reports_templates import layout, parts_of, rich, with_calc_chain

CHANGED = {"xl/worksheets/sheet2.xml", "xl/styles.xml", "xl/workbook.xml", "xl/pivotCache/pivotCacheDefinition1.xml"}


def unchanged(before: Path, after: str) -> tuple[set[str], set[str]]:
    """Parts that are the same, and the names of all others."""
    old, new = parts_of(before), parts_of(Path(after))
    same = {name for name in old if new.get(name) == old[name]}
    return same, (set(old) | set(new)) - same


@pytest.mark.parametrize(("stamp", "more"), [(False, set()), (True, {"customXml/aetherflow.xml"})])
def test_parts_come_back_byte_for_byte(reports: Reports, stamp: bool, more: set[str]) -> None:
    template = rich(reports.folder / "rich.xlsx")
    out = reports.fill("rich.xlsx", DATA | {"source_path": reports.csv("d.csv", ROWS)}, stamp=stamp)
    same, others = unchanged(template, out["output"])
    assert len(parts_of(template)) == 46
    assert len(same) >= 41
    rels = {"xl/_rels/workbook.xml.rels"} if stamp else set()
    assert others <= CHANGED | more | rels, others


def test_copied_parts_keep_their_compressed_bytes_and_dates(reports: Reports) -> None:
    template = rich(reports.folder / "rich.xlsx")
    out = reports.fill("rich.xlsx", DATA | {"source_path": reports.csv("d.csv", ROWS)})

    def raw(path: Path, name: str) -> tuple[Any, ...]:
        with zipfile.ZipFile(path) as archive:
            info = archive.getinfo(name)
            start = info.header_offset
            assert archive.testzip() is None
        head = path.read_bytes()[start:]
        skip = 30 + int.from_bytes(head[26:28], "little") + int.from_bytes(head[28:30], "little")
        return info.date_time, head[skip : skip + info.compress_size]

    for name in ("xl/charts/chart1.xml", "xl/theme/theme1.xml", "xl/media/image1.png"):
        assert raw(template, name) == raw(Path(out["output"]), name)


@pytest.mark.parametrize(("stamp", "least"), [(False, 41), (True, 39)])
def test_macros_come_back(reports: Reports, stamp: bool, least: int) -> None:
    template = with_calc_chain(rich(reports.folder / "rich.xlsm", macros=True))
    out = reports.fill("rich.xlsm", DATA | {"source_path": reports.csv("d.csv", ROWS)}, stamp=stamp)
    same, others = unchanged(template, out["output"])
    assert "xl/vbaProject.bin" in same
    assert len(same) >= least
    more = {"customXml/aetherflow.xml"} if stamp else set()
    assert others - CHANGED == {"xl/calcChain.xml", "xl/_rels/workbook.xml.rels", "[Content_Types].xml"} | more
    parts = parts_of(Path(out["output"]))
    assert b"sheet.macroEnabled.main+xml" in parts["[Content_Types].xml"]
    assert b"calcChain" not in parts["[Content_Types].xml"] + parts["xl/_rels/workbook.xml.rels"]
    assert b'fullCalcOnLoad="1"' in parts["xl/workbook.xml"]


def test_the_output_must_have_the_suffix_of_its_kind(reports: Reports) -> None:
    rich(reports.folder / "rich.xlsm", macros=True)
    layout(reports.folder / "plain.xltx")
    target = {"rows_json": [["x"]], "cell": "Data!A1"}
    for template, output, words in [
        ("rich.xlsm", "o.xlsx", "has macros"),
        ("plain.xltx", "o.xlsm", "has no macros"),
        ("plain.xltx", "o.xls", "must end with"),
    ]:
        target["cell"] = "Data!A1" if template == "rich.xlsm" else "Report!A1"
        text = reports.fails("excel_fill_small", template_path=template, output=output, targets=[target])
        assert words in text


def test_a_template_becomes_a_workbook(reports: Reports) -> None:
    layout(reports.folder / "t.xltx")
    inputs = {"template_path": "t.xltx", "targets": [{"rows_json": [["x"]], "cell": "Report!A30"}]}
    for output, kind in [("a.xlsx", b"sheet.main+xml"), ("a.xltx", b"template.main+xml")]:
        out = reports.one("excel_fill_small", output=output, **inputs)
        assert kind in parts_of(Path(out["output"]))["[Content_Types].xml"]


def test_pivots_are_refreshed_and_follow_the_data(reports: Reports) -> None:
    rich(reports.folder / "rich.xlsx")
    out = reports.fill("rich.xlsx", DATA | {"source_path": reports.csv("d.csv", ROWS)})
    cache = parts_of(Path(out["output"]))["xl/pivotCache/pivotCacheDefinition1.xml"].decode()
    assert 'refreshOnLoad="1"' in cache
    assert 'ref="A1:C301"' in cache


def test_the_same_inputs_make_the_same_bytes(reports: Reports) -> None:
    rich(reports.folder / "rich.xlsx")
    target = DATA | {"source_path": reports.csv("d.csv", ROWS)}
    hashes = set()
    for _ in range(2):
        out = reports.fill("rich.xlsx", target)
        hashes.add(hashlib.sha256(Path(out["output"]).read_bytes()).hexdigest())
        stamp = parts_of(Path(out["output"]))["customXml/aetherflow.xml"].decode()
    assert len(hashes) == 1
    source = hashlib.sha256((reports.folder / "d.csv").read_bytes()).hexdigest()
    template = hashlib.sha256((reports.folder / "rich.xlsx").read_bytes()).hexdigest()
    flow = hashlib.sha256((reports.folder / "flow.yaml").read_bytes()).hexdigest()
    assert f'<source name="d.csv" sha256="{source}"/>' in stamp
    assert f'<template name="rich.xlsx" sha256="{template}"/>' in stamp
    assert f'flow="flow" sha256="{flow}"' in stamp


def test_a_filled_file_can_be_the_next_template(reports: Reports) -> None:
    rich(reports.folder / "rich.xlsx")
    first = reports.fill("rich.xlsx", DATA | {"source_path": reports.csv("d.csv", ROWS)})["output"]
    (reports.folder / "again.xlsx").write_bytes(Path(first).read_bytes())
    out = reports.fill("again.xlsx", DATA | {"source_path": reports.csv("d.csv", ROWS[:4])})
    assert out["written"][0]["cleared_rows"] == 297
    found = cells(out["output"], "Data")
    assert {address for address in found if address.startswith("A")} == {"A1", "A2", "A3", "A4"}
    assert len([name for name in parts_of(Path(out["output"])) if name.startswith("customXml/")]) == 2
