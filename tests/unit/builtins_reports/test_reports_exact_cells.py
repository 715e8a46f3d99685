"""Times of a workbook to microseconds, and its error cells: the functions that read, without the step's child."""

import contextlib
import datetime as dt
import random
import re
import zipfile
from fractions import Fraction
from pathlib import Path
from typing import Any

import openpyxl
import pytest

from aetherflow.core.api import StepError, StepInputError
from aetherflow_builtins_reports.reading.workbooks import read_sheet

HEADER = "when,note"


def book(folder: Path, cells: str) -> Path:
    """A workbook with a header and these rows of XML; format 1 is a date and time, 2 a time, 3 a duration."""
    made = openpyxl.Workbook()
    sheet = made.active
    assert sheet is not None
    sheet.append(["when", "note"])
    for row, style in enumerate(("yyyy-mm-dd hh:mm:ss", "hh:mm:ss", "[h]:mm:ss"), 2):
        sheet.cell(row, 1, 1.5).number_format = style
    made.save(folder / "plain.xlsx")
    path = folder / "book.xlsx"
    with zipfile.ZipFile(folder / "plain.xlsx") as source, zipfile.ZipFile(path, "w") as target:
        for name in source.namelist():
            data = source.read(name)
            if name == "xl/worksheets/sheet1.xml":
                head = data.index(b'<row r="2"')
                data = data[:head] + cells.encode() + data[data.index(b"</sheetData>") :]
            target.writestr(name, data)
    return path


def read(path: Path, **more: Any) -> tuple[list[str], dict[str, Any]]:
    target = path.with_suffix(".csv")
    target.unlink(missing_ok=True)
    options: dict[str, Any] = {
        "sheet": None, "ref": "", "file_format": "csv", "header": True, "columns": None, "skip_blank": True,
        "if_empty": True, "on_error": "null", **more,
    }  # fmt: skip
    found = read_sheet(str(path), str(target), **options)
    return target.read_text().splitlines(), found


@pytest.mark.parametrize(
    ("style", "number", "expected"),
    [
        (1, "43831.99999999537", "2020-01-01T23:59:59.999600"),
        (1, "43831.50000142889", "2020-01-01T12:00:00.123456"),
        (1, "43831.4166666667", "2020-01-01T10:00:00"),
        (1, "43831.416666666664", "2020-01-01T10:00:00"),
        (1, "46110.10416666666", "2026-03-29T02:30:00"),  # openpyxl and XlsxWriter write 16 digits
        (1, "2151087.725381944", "7789-06-21T17:24:33"),
        (1, "86110.104166666672", "2135-10-04T02:30:00"),  # Excel writes 17
        (1, "46110.104166666679", "2026-03-29T02:30:00.000001"),
        (1, "43831.9999999999", "2020-01-01T23:59:59.999991"),
        (1, "43831.5", "2020-01-01T12:00:00"),
        (2, "0.9999999953703703", "23:59:59.999600"),
        (2, "0.50000000001", "12:00:00.000001"),
        (3, "1.00000000001157", "24:00:00.000001"),
        (3, "2.5", "60:00:00"),
        (1, "43831.50001", "2020-01-01T12:00:01"),  # a second that was rounded to five decimals
        (1, "43831.500005787039", "2020-01-01T12:00:00.500000"),
    ],
)
def test_a_time_is_that_of_the_cell_and_never_on_another_day(
    tmp_path: Path, style: int, number: str, expected: str
) -> None:
    path = book(tmp_path, f'<row r="2"><c r="A2" s="{style}"><v>{number}</v></c></row>')
    assert read(path)[0] == [HEADER, f"{expected},"]


ERRORS = (
    '<row r="2"><c r="A2" t="e"><f>1/0</f><v>#DIV/0!</v></c><c r="B2"><v>1</v></c></row>'
    '<row r="3"><c r="A3"><v>2</v></c><c r="B3" t="e"><v>#N/A</v></c></row>'
    '<row r="4"><c r="A4" t="e"><v>#REF!</v></c></row>'
)
COUNTED = {
    "when": {"count": 2, "first": "A2", "text": "#DIV/0!"},
    "note": {"count": 1, "first": "B3", "text": "#N/A"},
}


@pytest.mark.parametrize("without_references", [False, True])
def test_error_cells_are_counted_and_become_what_is_asked_for(tmp_path: Path, without_references: bool) -> None:
    path = book(tmp_path, re.sub(r' r="\w+"', "", ERRORS) if without_references else ERRORS)
    lines, found = read(path)
    assert (lines, found["errors"]) == ([HEADER, ",1", "2,", ","], COUNTED)
    lines, found = read(path, on_error="text")
    assert (lines, found["errors"]) == ([HEADER, "#DIV/0!,1", "2,#N/A", "#REF!,"], COUNTED)
    with pytest.raises(StepError, match="#DIV/0! in A2, column 'note': 1, first #N/A in B3"):
        read(path, on_error="fail")
    assert read(path, ref="B1:B9")[1]["errors"] == {"note": COUNTED["note"]}, "errors outside of the range do not count"


def test_another_format_has_no_error_cells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = book(tmp_path, ERRORS)
    none = contextlib.nullcontext()
    monkeypatch.setattr("aetherflow_builtins_reports.reading.workbooks.unpacked_sheet", lambda *_: none)
    assert read(path)[1]["errors"] is None
    with pytest.raises(StepInputError, match="on_error: fail is for"):
        read(path, on_error="fail")


def test_a_sheet_without_rows_has_no_error_cells(tmp_path: Path) -> None:
    lines, found = read(book(tmp_path, ""), header=False, columns=["a", "b"])
    assert (lines, found["errors"]) == (["a,b", HEADER], {})
    lines, found = read(book(tmp_path, ""), ref="A5:B9", columns=["a", "b"])
    assert (lines, found["errors"]) == (["a,b"], {})


def test_error_cells_far_down_are_counted_without_references(tmp_path: Path) -> None:
    plain = "<row><c><v>1</v></c><c><v>2</v></c></row>" * 30_000
    _, found = read(book(tmp_path, plain + '<row><c><v>1</v></c><c t="e"><v>#N/A</v></c></row>'))
    assert found["errors"] == {"note": {"count": 1, "first": "B30002", "text": "#N/A"}}


EPOCH = dt.datetime(1899, 12, 30)  # noqa: DTZ001


def test_every_microsecond_from_1927_to_2078_is_that_of_the_cell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = random.Random(48)
    monkeypatch.setattr("aetherflow_builtins_reports.reading.exact_cells._PIECE", 1 << 15)  # many pieces
    wanted, rows = [], []
    for number in range(2, 4_000):
        day = rng.randint(10_000, 65_000)
        micros = rng.choice(
            [rng.randrange(86_400_000_000), rng.randrange(86_400_000) * 1000 + rng.choice([499, 500, 501])]
        )
        wanted.append((EPOCH + dt.timedelta(day, 0, micros)).isoformat())
        whole = Fraction(day) + Fraction(micros, 86_400_000_000)
        digits = f"{round(whole * 10**12):013}"
        text = rng.choice([f"{digits[:-12]}.{digits[-12:]}", f"{float(whole):.17g}", repr(float(whole))])
        quote = rng.choice("\"'")
        text = text if "." in text else f"{text}.0"
        rows.append(f'<row r="{number}"><c r={quote}A{number}{quote} s="1"><v>{text}</v></c></row>')
    lines, _ = read(book(tmp_path, "".join(rows)))
    found = [line.rstrip(",") for line in lines[1:]]
    assert [pair for pair in zip(found, wanted, strict=True) if pair[0] != pair[1]] == []


def test_merged_cells_and_prefixed_names_are_read_as_they_are(tmp_path: Path) -> None:
    path = book(tmp_path, '<row r="2"><c r="A2" s="1"><v>43831.50000142889</v></c><c r="B2"><v>1</v></c></row>')
    odd = tmp_path / "odd.xlsx"
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(odd, "w") as target:
        for name in source.namelist():
            data = source.read(name)
            if name == "xl/worksheets/sheet1.xml":
                merged = b'</sheetData><mergeCells count="1"><mergeCell ref="A1:A2"/></mergeCells>'
                data = data.replace(b"</sheetData>", merged)
                data = re.sub(rb"<(/?)(?=[a-zA-Z])", rb"<\1x:", data).replace(b" xmlns=", b" xmlns:x=")
            target.writestr(name, data)
    assert read(odd)[0] == read(path)[0] == [HEADER, "2020-01-01T12:00:00.123456,1"]
