"""Tables in mails: HTML with inline styles, because mail programs ignore style sheets, and plain text."""

import csv
from collections.abc import Sequence
from html import escape
from io import TextIOWrapper
from typing import Any, Self

from pydantic import Field, model_validator

from aetherflow.core.api import PlainText, PlainValue, ReadPath, RunContext, StepInputError, StepInputs, open_file

_CELL = "border:1px solid #c8ccd0;padding:4px 10px;"
_HEAD = _CELL + "background:#eef1f4;font-weight:bold;"
_TABLE = "border-collapse:collapse;font-family:Arial,Helvetica,sans-serif;font-size:13px;margin:8px 0;"
_ALIGN = {True: "text-align:right;", False: "text-align:left;"}
_MAX_TEXT_CELL = 60


class TableInputs(StepInputs):
    """A table: rows of an earlier step, or of a CSV file."""

    rows: list[dict[str, PlainValue] | list[PlainValue]] | None = Field(
        None, description="Rows as lists or maps, such as the outputs of `db_fetch_small`."
    )
    columns: list[PlainText] | None = Field(
        None, description="Names of the columns; default: the keys of the first row."
    )
    file: ReadPath | None = Field(None, description="A CSV or TSV file instead, relative to the job's artifacts.")
    max_rows: int = Field(200, ge=1, description="Maximum number of shown rows; a line tells how many more there are.")
    caption: PlainText | None = Field(None, description="A line above the table.")

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.rows is None) == (self.file is None):
            raise ValueError("give exactly one of rows and file")
        return self


class Table:
    """A table with all values as text."""

    def __init__(self, columns: Sequence[str], rows: Sequence[Sequence[Any]], *, caption: str, left_out: int) -> None:
        self.columns = list(columns)
        self.rows = [[_text(value) for value in row] for row in rows]
        self.numeric = [
            bool(self.rows) and all(_is_number(row[index]) for row in self.rows if row[index])
            for index in range(len(self.columns))
        ]
        self.caption = caption
        self.left_out = left_out

    def as_html(self) -> str:
        caption = f"<p><b>{escape(self.caption)}</b></p>\n" if self.caption else ""
        styles = [_HEAD + _ALIGN[numeric] for numeric in self.numeric]
        head = "".join(
            f'<th style="{style}">{escape(name)}</th>' for style, name in zip(styles, self.columns, strict=True)
        )
        body = "\n".join(f"<tr>{''.join(self._cells(row))}</tr>" for row in self.rows)
        more = f"\n<p>… {self._more()}</p>" if self.left_out else ""
        return f'{caption}<table style="{_TABLE}">\n<tr>{head}</tr>\n{body}\n</table>{more}'

    def as_text(self) -> str:
        """The table as aligned plain text, with numbers right-aligned."""
        shown = [self.columns, *[[_cut(value) for value in row] for row in self.rows]]
        widths = [max(len(row[index]) for row in shown) for index in range(len(self.columns))]
        lines = [self._line(row, widths) for row in shown]
        lines.insert(1, "  ".join("-" * width for width in widths))
        if self.caption:
            lines[:0] = [self.caption, ""]
        if self.left_out:
            lines.append(f"... {self._more()}")
        return "\n".join(lines)

    def _more(self) -> str:
        return f"and {self.left_out:,} more row{'s' if self.left_out > 1 else ''}"

    def _cells(self, row: Sequence[str]) -> list[str]:
        styles = [_CELL + _ALIGN[numeric] for numeric in self.numeric]
        return [f'<td style="{style}">{escape(value)}</td>' for style, value in zip(styles, row, strict=True)]

    def _line(self, row: Sequence[str], widths: Sequence[int]) -> str:
        cells = [
            value.rjust(width) if numeric else value.ljust(width)
            for value, width, numeric in zip(row, widths, self.numeric, strict=True)
        ]
        return "  ".join(cells).rstrip()


def read_table(name: str, inputs: TableInputs, ctx: RunContext) -> Table:
    """The table for an input; StepInputError if a row has another width, or the file cannot be read."""
    if inputs.file is not None:
        columns, rows, total = _from_file(name, inputs, ctx)
    else:
        columns, rows, total = _from_rows(name, inputs)
    for number, row in enumerate(rows, 1):
        if len(row) != len(columns):
            raise StepInputError(f"table {name}: row {number} has {len(row)} values for {len(columns)} columns")
    return Table(columns, rows, caption=inputs.caption or "", left_out=total - len(rows))


def _from_rows(name: str, inputs: TableInputs) -> tuple[list[str], list[list[Any]], int]:
    given = inputs.rows or []
    first = given[0] if given else None
    columns = inputs.columns or (list(first) if isinstance(first, dict) else None)
    if columns is None:
        raise StepInputError(f"table {name}: its rows are lists, so `columns` has to name the columns")
    rows = [[row.get(key) for key in columns] if isinstance(row, dict) else row for row in given[: inputs.max_rows]]
    return columns, rows, len(given)


def _from_file(name: str, inputs: TableInputs, ctx: RunContext) -> tuple[list[str], list[list[Any]], int]:
    path = ctx.read_path(inputs.file or "")
    delimiter = "\t" if path.suffix.lower() in (".tsv", ".tab") else ","
    try:
        with TextIOWrapper(open_file(path), encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, delimiter=delimiter)
            columns = next(reader, [])
            kept: list[list[Any]] = []
            total = 0
            for row in reader:
                total += 1
                if total <= inputs.max_rows:
                    kept.append(row)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise StepInputError(f"table {name}: {inputs.file} cannot be read: {reason}") from error
    if not columns:
        raise StepInputError(f"table {name}: {inputs.file} is empty")
    return columns, kept, total


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)


def _cut(value: str) -> str:
    line = " ".join(value.split())
    return line if len(line) <= _MAX_TEXT_CELL else line[: _MAX_TEXT_CELL - 3] + "..."


def _is_number(text: str) -> bool:
    try:
        float(text.replace(",", ""))
    except ValueError:
        return False
    return True
