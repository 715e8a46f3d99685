import json
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

from pydantic import Field, field_validator

from aetherflow.core.api import STEP_SKIPPED, Flag, Step, StepError, StepInputError, StepInputs, StepOutputs, StepResult
from aetherflow_builtins_reports.errors import WorkbookError
from aetherflow_builtins_reports.package.archive import Archive
from aetherflow_builtins_reports.package.refs import MAX_COLUMN, MAX_ROW, Area, parse_area, split_sheet
from aetherflow_builtins_reports.steps.fields import JsonNames, Word
from aetherflow_builtins_reports.tables import column_of, write_delimited, write_parquet

if TYPE_CHECKING:
    import python_calamine as calamine

ReadFormat: TypeAlias = Literal["csv", "tsv", "parquet"]


class Inputs(StepInputs):
    """A range of a workbook, and the file for its rows."""

    source_path: str = Field(
        min_length=1, description="The workbook, relative to the job's artifacts: .xlsx, .xlsm, .xlsb, .xls or .ods."
    )
    output: str = Field(min_length=1, description="The file to write, relative to the job's artifacts.")
    format: Annotated[ReadFormat, Word] | None = Field(
        None, description="`csv`, `tsv` or `parquet`. Default: by the suffix, else `tsv`."
    )
    sheet: str | None = Field(None, description="Name of the sheet, in any case. Default: the first one.")
    range: str | None = Field(
        None, description="`B3:F90`, `Sheet!B3:F90`; `B3` alone: from there to the end. Default: the used range."
    )
    header: Flag = Field(True, description="Whether the first row of the range holds the names.")
    columns: JsonNames | None = Field(None, description="Names of the columns, in place of those of the header.")
    blank_rows: Annotated[Literal["skip", "keep"], Word] = Field(
        "skip", description="`skip` leaves out rows without any value. Such rows at the end are always left out."
    )
    on_empty: Annotated[Literal["skip", "fail", "ok"], Word] = Field(
        "ok", description="Without rows: `ok` writes an empty file, `skip` ends the step as SKIPPED, `fail` fails it."
    )

    @field_validator("range")
    @classmethod
    def _is_a_range(cls, value: str | None) -> str | None:
        ref = split_sheet(value)[1] if value else ""
        if ref and parse_area(ref) is None:
            raise ValueError(f"{value!r} is no range; write B3:F90, Sheet!B3:F90, or B3")
        return value

    @property
    def file_format(self) -> ReadFormat:
        by_suffix: dict[str, ReadFormat] = {".csv": "csv", ".parquet": "parquet"}
        return self.format or by_suffix.get(PurePath(self.output).suffix.lower(), "tsv")


class Outputs(StepOutputs):
    """The file. If the step was skipped, there is no file and its paths are null."""

    output: str | None = Field(description="Absolute path of the file.")
    artifact_path: str | None = Field(description="The same.")
    format: ReadFormat = Field(description="Its format.")
    sheet: str = Field(description="Name of the sheet that was read.")
    rows: int = Field(description="Number of rows.")
    row_count: int = Field(description="The same.")
    columns: list[str] = Field(description="Names of the columns.")
    dtypes: dict[str, str] = Field(description="Column to int, float, bool, date, datetime or string.")
    dtypes_json: str = Field(description="`dtypes` as JSON text.")


class ExcelRead(Step[Inputs]):
    """Reads a sheet, or a range of one, into a CSV, TSV or Parquet file.

    Values are those that the workbook stores, for formulas their results. A column gets the type of its values if all
    have the same; a mixed column is text. Empty cells are null, in CSV and TSV an empty field. The sheet is held in
    memory.

    Example:
        - id: budget
          type: excel_read
          inputs:
            source_path: "{{env.AETHERFLOW_LOCAL_ROOT_DIR}}/budget.xlsx"
            sheet: Plan
            range: B4:H200
            output: budget.parquet
    """

    Outputs = Outputs

    def run(self) -> StepResult:
        """Read the range and write the file."""
        args = self.args
        sheet, rows = self._read()
        names, rows = self._names(rows)
        self.ctx.check_cancelled()
        columns = [column_of(name, values) for name, values in zip(names, _columns(rows, len(names)), strict=True)]
        dtypes = {column.name: column.dtype for column in columns}
        output: dict[str, Any] = {
            "output": None, "artifact_path": None, "format": args.file_format, "sheet": sheet, "rows": len(rows),
            "row_count": len(rows), "columns": names, "dtypes": dtypes,
            "dtypes_json": json.dumps(dtypes, ensure_ascii=False),
        }  # fmt: skip
        if not rows and args.on_empty != "ok":
            reason = f"{args.source_path}: sheet {sheet!r} has no rows there"
            if args.on_empty == "fail":
                raise StepError(reason)
            return StepResult(STEP_SKIPPED, output, reason)
        path = self.ctx.write_path(args.output)
        with self.ctx.write_file(path) as file:
            if args.file_format == "parquet":
                write_parquet(columns, file)
            else:
                write_delimited(columns, len(rows), file, "," if args.file_format == "csv" else "\t")
        return StepResult(output=output | {"output": str(path), "artifact_path": str(path)})

    def plan(self) -> list[str]:
        """The sentence of a dry run; sheet and range are checked if the workbook exists."""
        args = self.args
        output = self.ctx.write_path(args.output)
        path = self.ctx.read_path(args.source_path)
        named, ref = self._wanted()
        what = f"range {ref}" if ref else "all"
        if path.is_file():
            with self._opened(path) as (_, sheet):
                source = f"{what} of sheet {sheet!r} of {path}"
        else:
            source = (
                f"{what} of {f'sheet {named!r}' if named else 'the first sheet'} of {path}, which does not exist yet"
            )
        return [f"{'replace' if output.exists() else 'write'} {output}, as {args.file_format}, with {source}"]

    def _wanted(self) -> tuple[str | None, str]:
        """The name of the sheet, None if not given, and the range, empty if not given."""
        named, ref = split_sheet(self.args.range or "")
        return named or self.args.sheet, ref

    @contextmanager
    def _opened(self, path: Path) -> Iterator[tuple["calamine.CalamineWorkbook", str]]:
        """Open the workbook; yield it and the name of the wanted sheet in the workbook's spelling."""
        import python_calamine as calamine

        if zipfile.is_zipfile(path):
            with Archive(path) as archive:
                archive.refuse_bombs()
        try:
            book = calamine.CalamineWorkbook.from_path(str(path))
        except calamine.PasswordError as error:
            raise WorkbookError(f"{path} is encrypted", fix="save it without a password") from error
        except calamine.CalamineError as error:
            raise WorkbookError(f"{path} cannot be read as a workbook: {error}") from error
        try:
            names = list(book.sheet_names)
            wanted = self._wanted()[0]
            found = names[0] if wanted is None else next((n for n in names if n.casefold() == wanted.casefold()), None)
            if found is None:
                raise StepInputError(f"{path} has no sheet {wanted!r}", fix=f"its sheets are: {', '.join(names)}")
            yield book, found
        finally:
            book.close()

    def _read(self) -> tuple[str, list[list[Any]]]:
        import python_calamine as calamine

        path = self.ctx.read_path(self.args.source_path)
        if not path.is_file():
            raise StepInputError(f"workbook {path} does not exist")
        with self._opened(path) as (book, found):
            try:
                rows = book.get_sheet_by_name(found).to_python(skip_empty_area=False)
            except calamine.CalamineError as error:
                raise WorkbookError(f"{path}: sheet {found!r} cannot be read: {error}") from error
        return found, self._cut(rows, self._wanted()[1])

    def _cut(self, rows: list[list[Any]], ref: str) -> list[list[Any]]:
        """The rows and columns of the range, without empty rows at its end."""
        area = (parse_area(ref) if ref else None) or _used(rows)
        if ref and ":" not in ref:
            area = Area(area.top, area.left, MAX_ROW, MAX_COLUMN)
        cut = [row[area.left - 1 : area.right] for row in rows[area.top - 1 : area.bottom]]
        while cut and not any(value != "" for value in cut[-1]):
            cut.pop()
        if self.args.blank_rows == "skip":
            cut = [row for row in cut if any(value != "" for value in row)]
        if area.right == MAX_COLUMN:  # open to the right: up to the last column with a value
            width = max((index for row in cut for index, value in enumerate(row, 1) if value != ""), default=0)
            cut = [row[:width] for row in cut]
        return cut

    def _names(self, rows: list[list[Any]]) -> tuple[list[str], list[list[Any]]]:
        width = max(map(len, rows), default=0)
        head: Sequence[Any] = ()
        if self.args.header and rows:
            head, rows = rows[0], rows[1:]
        given = self.args.columns or []
        names = []
        for index in range(max(width, len(given))):
            own = str(head[index]).strip() if index < len(head) else ""
            names.append(given[index] if index < len(given) else own or f"column_{index + 1}")
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise StepInputError(f"columns of the same name: {', '.join(twice)}", fix="give names with `columns`")
        return names, rows


def _used(rows: list[list[Any]]) -> Area:
    """The area from the first row and column with a value to the end of the sheet."""
    top = next((index for index, row in enumerate(rows, 1) if any(value != "" for value in row)), 1)
    left = min((next((i for i, value in enumerate(row, 1) if value != ""), MAX_COLUMN) for row in rows), default=1)
    return Area(top, min(left, MAX_COLUMN), MAX_ROW, MAX_COLUMN)


def _columns(rows: list[list[Any]], width: int) -> list[list[Any]]:
    return [[row[index] if index < len(row) else "" for row in rows] for index in range(width)]
