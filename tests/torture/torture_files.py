"""Files of rows written and read without the product: CSV, TSV, JSON lines, Parquet, workbooks, fixed width."""

import datetime as dt
import json
import math
import re
from collections.abc import Sequence
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import Any
from unittest.mock import patch

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq

from torture_cells import Kind, csv_form, csv_rows, json_form

Row = Sequence[Any]
EXCEL_DIGITS = 15
"""Digits of a number that a cell keeps."""
_FIRST_DAY = dt.datetime.fromisoformat("1900-03-01")
_ESCAPE = re.compile("_x([0-9A-Fa-f]{4})_")
_ARROW: dict[Kind, Any] = {
    "bool": pa.bool_(), "int": pa.int64(), "float": pa.float64(), "bytes": pa.binary(), "date": pa.date32(),
    "time": pa.time64("us"), "local": pa.timestamp("us"), "instant": pa.timestamp("us", "UTC"),
}  # fmt: skip
_NATIVE: dict[Kind, type] = {
    "bool": bool, "int": int, "float": float, "decimal": Decimal, "bytes": bytes, "date": dt.date, "time": dt.time,
    "local": dt.datetime, "instant": dt.datetime, "text": str,
}  # fmt: skip


def write_file(path: Path, names: Sequence[str], kinds: Sequence[Kind], rows: Sequence[Row]) -> None:
    """Write rows of values; the suffix sets the format."""
    match path.suffix:
        case ".csv" | ".tsv":
            delimiter = "," if path.suffix == ".csv" else "\t"
            listed = [names, *([csv_form(value) for value in row] for row in rows)]
            text = "".join(f"{delimiter.join(_quoted(cell, delimiter) for cell in row)}\n" for row in listed)
            path.write_text(text, encoding="utf-8", newline="")
        case ".jsonl":
            lines = [json.dumps(dict(zip(names, map(json_form, row), strict=True))) for row in rows]
            path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8", newline="")
        case ".parquet":
            columns = list(zip(*rows, strict=True)) or [()] * len(names)
            arrays = [arrow_column(kind, cells) for kind, cells in zip(kinds, columns, strict=True)]
            pq.write_table(pa.table(arrays, names=list(names)), path)
        case ".xlsx":
            book = openpyxl.Workbook()
            sheet: Any = book.active
            for row in [names, *(map(cell_form, row) for row in rows)]:
                sheet.append(list(row))
            for cell in (cell for line in sheet.iter_rows() for cell in line if isinstance(cell.value, str)):
                cell.data_type = "s"  # no formula
            book.save(path)
        case ".fixed":
            widths = widths_of(names, rows)
            lines = [
                "".join((csv_form(cell) or "").ljust(width) for cell, width in zip(row, widths.values(), strict=True))
                for row in rows
            ]
            path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8", newline="")


def widths_of(names: Sequence[str], rows: Sequence[Row]) -> dict[str, int]:
    """For lines of fixed width: widths in which every form of the values has room."""
    columns = [[row[at] for row in rows] for at in range(len(names))]
    return {
        name: 400 if any(isinstance(cell, float) for cell in cells) else 33 + max(map(_length, cells), default=0)
        for name, cells in zip(names, columns, strict=True)
    }


def _length(value: Any) -> int:
    return len(csv_form(value) or "")


def read_file(path: Path, widths: dict[str, int]) -> tuple[list[str], list[list[Any]]]:
    """The names of the columns, and the rows; `widths` are those of lines of fixed width."""
    match path.suffix:
        case ".parquet":
            table = pq.read_table(path)
            return table.column_names, [list(row.values()) for row in table.to_pylist()]
        case ".jsonl":
            found = [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n")[:-1]]
            return list(found[0]) if found else [], [list(row.values()) for row in found]
        case ".xlsx":
            with patch("openpyxl.worksheet._reader.from_excel", _moment_of):  # its own cuts microseconds off
                sheet: Any = openpyxl.load_workbook(path).worksheets[-1]
            names, *rows = [[_unescaped(cell.value) for cell in line] for line in sheet.iter_rows()]
            return names, rows
        case ".fixed":
            lines = path.read_text(encoding="utf-8").split("\n")[:-1]
            return list(widths), [_cut(line, list(widths.values())) for line in lines]
    text = path.read_bytes().decode()
    header, *records = csv_rows(text, "," if path.suffix == ".csv" else "\t")
    if len(header) == 1:
        records = [row or [None] for row in records]
    return [str(name) for name in header], [list(row) for row in records]


def _moment_of(days: float, *_: Any, **_named: Any) -> dt.datetime | dt.time:
    moment = dt.datetime.fromisoformat("1899-12-30") + dt.timedelta(days=days)
    return moment if days >= 1 else moment.time()


def _unescaped(value: Any) -> Any:
    """The value of a cell; one with an empty text is blank."""
    return (_ESCAPE.sub(lambda found: chr(int(found[1], 16)), value) or None) if isinstance(value, str) else value


def _cut(line: str, widths: Sequence[int]) -> list[Any]:
    starts = [sum(widths[:at]) for at in range(len(widths))]
    return [line[start : start + width].strip() or None for start, width in zip(starts, widths, strict=True)]


def arrow_column(kind: Kind, values: Sequence[Any]) -> Any:
    """The values in their type of Arrow; as text if one has none there, such as infinity of a date."""
    known = [value for value in values if value is not None]
    if kind == "nested":
        if len({tuple(value) for value in known if isinstance(value, dict)}) > 1:  # Arrow would give all the same keys
            return pa.array([csv_form(value) for value in values], pa.string())
        with suppress(pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):  # NaN of a decimal; texts beside dates
            return pa.array(values)
    elif all(isinstance(value, _NATIVE[kind]) for value in known):
        if kind == "decimal" and all(value.is_finite() for value in known):
            scale = max((-int(value.as_tuple().exponent) for value in known), default=0)
            return pa.array(values, pa.decimal128(38, scale))
        if kind in _ARROW and (kind != "int" or all(-(2**63) <= value < 2**63 for value in known)):
            return pa.array(values, _ARROW[kind])
    return pa.array([csv_form(value) for value in values], pa.string())


def _quoted(cell: str | None, delimiter: str) -> str:
    if cell is None:
        return ""
    if cell and not any(sign in cell for sign in f'{delimiter}"\r\n') and cell != "\\.":
        return cell
    return '"{}"'.format(cell.replace('"', '""'))


def cell_form(value: Any) -> Any:
    """The value of a cell of a workbook, as a person would type it; text for what a cell would not keep."""
    match value:
        case bool():
            return value
        case int():
            return value if len(str(abs(value))) <= EXCEL_DIGITS else str(value)
        case float():
            return (
                value if value and math.isfinite(value) and float(f"{value:.16g}") == value else repr(value)
            )  # openpyxl writes 16 digits
        case dt.datetime():
            whole = value.tzinfo is None and value >= _FIRST_DAY and not value.microsecond
            return value if whole else csv_form(value)
        case dt.date():
            return value if value >= _FIRST_DAY.date() else value.isoformat()
    return csv_form(value)


def fits_a_cell(value: Any) -> bool:
    """Whether a cell holds the value: no empty text, no control characters, which this writer has no form for."""
    return not isinstance(value, str) or (value.strip() != "" and all(sign >= " " or sign in "\t\n" for sign in value))
