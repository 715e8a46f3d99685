"""Finds a sheet of a workbook, and writes a range of it to a file: the functions that run in the limited child."""

import zipfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aetherflow.core.api import StepError, StepInputError
from aetherflow_builtins_reports.errors import WorkbookError
from aetherflow_builtins_reports.package.archive import Archive
from aetherflow_builtins_reports.package.refs import MAX_COLUMN, MAX_ROW, Area, parse_area
from aetherflow_builtins_reports.reading.exact_cells import ErrorCell, make_exact
from aetherflow_builtins_reports.reading.unpacked import unpacked_sheet
from aetherflow_builtins_reports.tables import column_of, write_delimited, write_parquet

if TYPE_CHECKING:
    import python_calamine as calamine


def find_sheet(source: str, sheet: str | None) -> str:
    """The name of a sheet in the workbook's spelling, of the first one for None; StepInputError if it has none such."""
    path = Path(source)
    with _archive(path), _opened(path, str(path), sheet) as (_, found):
        return found


def read_sheet(
    source: str,
    target: str,
    *,
    sheet: str | None,
    ref: str,
    file_format: str,
    header: bool,
    columns: list[str] | None,
    skip_blank: bool,
    if_empty: bool,
    on_error: str,
) -> dict[str, Any]:
    """Write a range of a sheet to the file `target`, without rows only if `if_empty`; returns what was found."""
    found, rows, has_errors = _rows(Path(source), sheet, Path(target).parent)
    if has_errors is None and on_error != "null":
        raise StepInputError(
            f"on_error: {on_error} is for .xlsx and .xlsm only", fix="save it as .xlsx, or leave on_error out"
        )
    rows = _cut(rows, ref, skip_blank=skip_blank)
    names, rows = _names(rows, columns or [], header=header)
    errors = _errors(rows, names) if has_errors else {}
    if errors and on_error == "fail":
        listed = ", ".join(
            f"column {name!r}: {each['count']:,}, first {each['text']} in {each['first']}"
            for name, each in errors.items()
        )
        raise StepError(
            f"{source}: sheet {found!r} has error cells: {listed}",
            fix="correct the formulas, or set on_error: null or text",
        )
    if errors and on_error == "null":
        rows = [["" if type(value) is ErrorCell else value for value in row] for row in rows]
    typed = [column_of(name, values) for name, values in zip(names, _columns(rows, len(names)), strict=True)]
    count = len(rows)
    del rows
    if count or if_empty:
        with open(target, "xb") as file:  # noqa: PTH123 the parent publishes it
            if file_format == "parquet":
                write_parquet(typed, file)
            else:
                write_delimited(typed, count, file, "," if file_format == "csv" else "\t")
    dtypes = {column.name: column.dtype for column in typed}
    return {
        "sheet": found,
        "rows": count,
        "columns": names,
        "dtypes": dtypes,
        "errors": None if has_errors is None else errors,
    }


def _errors(rows: list[list[Any]], names: list[str]) -> dict[str, dict[str, Any]]:
    """Column to the number of its error cells, the first of them, and its text."""
    found: dict[str, dict[str, Any]] = {}
    for row in rows:
        if ErrorCell not in map(type, row):
            continue
        for name, value in zip(names, row, strict=False):
            if type(value) is ErrorCell:
                known = found.setdefault(name, {"count": 0, "first": value.cell, "text": str(value)})
                known["count"] += 1
    return found


@contextmanager
def _archive(path: Path) -> Iterator[Archive | None]:
    """The parts of the workbook, which may be unpacked; None for a format that is no archive."""
    if not zipfile.is_zipfile(path):
        yield None
        return
    with Archive(path) as archive:
        archive.refuse_bombs()
        yield archive


@contextmanager
def _opened(path: Path, opened: str, wanted: str | None) -> Iterator[tuple["calamine.CalamineWorkbook", str]]:
    """Open the file `opened` of a workbook; yield it and the name of the wanted sheet in the workbook's spelling."""
    import python_calamine as calamine

    try:
        book = calamine.CalamineWorkbook.from_path(opened)
    except calamine.PasswordError as error:
        raise WorkbookError(f"{path} is encrypted", fix="save it without a password") from error
    except calamine.CalamineError as error:
        raise WorkbookError(f"{path} cannot be read as a workbook: {error}") from error
    try:
        names = list(book.sheet_names)
        if not names:
            raise WorkbookError(f"{path} has no sheets", fix="open and save it in Excel")
        found = names[0] if wanted is None else next((n for n in names if n.casefold() == wanted.casefold()), None)
        if found is None:
            raise StepInputError(f"{path} has no sheet {wanted!r}", fix=f"its sheets are: {', '.join(names)}")
        yield book, found
    finally:
        book.close()


def _rows(path: Path, wanted: str | None, folder: Path) -> tuple[str, list[list[Any]], bool | None]:
    """The sheet's name in the workbook's spelling, its rows from A1 on, and whether there are error cells (or None)."""
    import python_calamine as calamine

    with ExitStack() as stack:
        archive = stack.enter_context(_archive(path))
        sheet = stack.enter_context(unpacked_sheet(archive, wanted, folder)) if archive else None
        book, found = stack.enter_context(_opened(path, sheet.path if sheet else str(path), wanted))
        try:
            rows = book.get_sheet_by_name(found).to_python(skip_empty_area=False)
        except calamine.CalamineError as error:
            raise WorkbookError(f"{path}: sheet {found!r} cannot be read: {error}") from error
        return found, rows, make_exact(sheet, rows) if sheet else None


def _cut(rows: list[list[Any]], ref: str, *, skip_blank: bool) -> list[list[Any]]:
    """The rows and columns of the range, without empty rows at its end."""
    area = (parse_area(ref) if ref else None) or _used(rows)
    if ref and ":" not in ref:
        area = Area(area.top, area.left, MAX_ROW, MAX_COLUMN)
    cut = rows[area.top - 1 : area.bottom]
    if area.left > 1 or area.right < MAX_COLUMN:
        cut = [row[area.left - 1 : area.right] for row in cut]
    while cut and _is_blank(cut[-1]):
        cut.pop()
    if skip_blank:
        cut = [row for row in cut if not _is_blank(row)]
    if area.right == MAX_COLUMN:  # open to the right: up to the last column with a value
        width = widest = max(map(len, cut), default=0)
        while width and not any(len(row) >= width and row[width - 1] != "" for row in cut):
            width -= 1
        cut = [row[:width] for row in cut] if width < widest else cut
    return cut


def _is_blank(row: list[Any]) -> bool:
    return row.count("") == len(row)


def _names(rows: list[list[Any]], given: Sequence[str], *, header: bool) -> tuple[list[str], list[list[Any]]]:
    width = max(map(len, rows), default=0)
    head: Sequence[Any] = ()
    if header and rows:
        head, rows = rows[0], rows[1:]
    names = []
    for index in range(max(width, len(given))):
        own = str(head[index]).strip() if index < len(head) and type(head[index]) is not ErrorCell else ""
        names.append(given[index] if index < len(given) else own or f"column_{index + 1}")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise StepInputError(f"columns of the same name: {', '.join(twice)}", fix="give names with `columns`")
    return names, rows


def _used(rows: list[list[Any]]) -> Area:
    """The area from the first row and column with a value to the end of the sheet."""
    top = next((index for index, row in enumerate(rows, 1) if not _is_blank(row)), 1)
    left, widest = 1, max(map(len, rows), default=0)
    while left <= widest and not any(len(row) >= left and row[left - 1] != "" for row in rows):
        left += 1
    return Area(top, left if left <= widest else 1, MAX_ROW, MAX_COLUMN)


def _columns(rows: list[list[Any]], width: int) -> Iterator[list[Any]]:
    for index in range(width):
        try:
            yield [row[index] for row in rows]
        except IndexError:
            yield [row[index] if index < len(row) else "" for row in rows]
