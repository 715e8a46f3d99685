import hashlib
import json
from collections.abc import Mapping
from pathlib import PurePath
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Field, field_validator

from aetherflow.core.api import (
    STEP_SKIPPED,
    Flag,
    PlainText,
    ReadPath,
    Step,
    StepError,
    StepInputError,
    StepInputs,
    StepOutputs,
    StepResult,
    WritePath,
)
from aetherflow_builtins_reports.errors import parquet_library
from aetherflow_builtins_reports.package.refs import parse_area, split_sheet
from aetherflow_builtins_reports.steps.fields import JsonNames, NullWord, Word

ReadFormat: TypeAlias = Literal["csv", "tsv", "parquet"]
BASE_MEMORY, MEMORY_FACTOR = 192 << 20, 128
"""Bytes of memory for any workbook, and for each byte of its size. Sheets of one repeated value take up to 75."""
BASE_SECONDS, SECONDS_PER_MIB = 20, 10
"""CPU time for any workbook, and for each MiB of its size; a slow machine takes 2 for each MiB."""


class Inputs(StepInputs):
    """A range of a workbook, and the file for its rows."""

    source_path: ReadPath = Field(
        min_length=1, description="The workbook, relative to the job's artifacts: .xlsx, .xlsm, .xlsb, .xls or .ods."
    )
    output: WritePath = Field(min_length=1, description="The file to write, relative to the job's artifacts.")
    format: Annotated[ReadFormat, Word] | None = Field(
        None, description="`csv`, `tsv` or `parquet`. Default: by the suffix, else `tsv`."
    )
    sheet: PlainText | None = Field(None, description="Name of the sheet, in any case. Default: the first one.")
    range: PlainText | None = Field(
        None, description="`B3:F90`, `Sheet!B3:F90`; `B3` alone: from there to the end. Default: the used range."
    )
    header: Flag = Field(True, description="Whether the first row of the range holds the names.")
    columns: JsonNames | None = Field(None, description="Names of the columns, in place of those of the header.")
    blank_rows: Annotated[Literal["skip", "keep"], Word] = Field(
        "skip", description="`skip` leaves out rows without any value. Such rows at the end are always left out."
    )
    on_error: Annotated[Literal["null", "text", "fail"], NullWord] = Field(
        "null",
        description="Error cells, `#DIV/0!`: `null` makes them null, `text` keeps their text, `fail` fails the step. "
        "They are counted in `errors`. For .xlsx and .xlsm.",
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
    errors: dict[str, dict[str, Any]] | None = Field(
        None,
        description="Column to its error cells: `count`, the cell of the `first`, and its `text`. Null for .xls, .xlsb "
        "and .ods, whose error cells are read as empty ones.",
    )


class ExcelRead(Step[Inputs]):
    """Reads a sheet, or a range of one, into a CSV, TSV or Parquet file.

    Values are those that the workbook stores, for formulas their results. A column gets the type of its values if all
    have the same; a mixed column is text. Empty cells are null, in CSV and TSV an empty field. The sheet is held in
    memory, in a child process whose memory and CPU time are limited by the size of the workbook.

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

    @classmethod
    def libraries(cls, inputs: Mapping[str, Any]) -> dict[str, str]:
        return parquet_library(inputs.get("output"), inputs.get("format"), (".parquet",))

    def run(self) -> StepResult:
        """Let a limited child read the range into a scratch file, and publish that."""
        args = self.args
        path = self.ctx.write_path(args.output)
        sheet, ref = self._wanted()
        # the same name in each attempt: what a killed one has left is written again
        staged = self.ctx.scratch_dir(self.job_id) / f"excel_read-{_short(self.ctx.idempotency_key)}"
        self.ctx.remove_scratch(staged)
        try:
            found = self._decode(
                "read_sheet", target=str(staged), sheet=sheet, ref=ref, file_format=args.file_format,
                header=args.header, columns=args.columns, skip_blank=args.blank_rows == "skip",
                if_empty=args.on_empty == "ok", on_error=args.on_error,
            )  # fmt: skip
            for name, each in (found["errors"] or {}).items():
                self.ctx.log.warning(
                    "%s, column %s: %d error cells, the first is %s in %s",
                    args.source_path, name, each["count"], each["text"], each["first"],
                )  # fmt: skip
            output: dict[str, Any] = {
                "output": None, "artifact_path": None, "format": args.file_format, **found,
                "row_count": found["rows"], "dtypes_json": json.dumps(found["dtypes"], ensure_ascii=False),
            }  # fmt: skip
            if not found["rows"] and args.on_empty != "ok":
                reason = f"{args.source_path}: sheet {found['sheet']!r} has no rows there"
                if args.on_empty == "fail":
                    raise StepError(reason)
                return StepResult(STEP_SKIPPED, output, reason)
            self.ctx.publish_file(staged, path)
        except OSError as error:
            if error.filename not in (None, str(staged)):
                raise
            raise OSError(error.errno, error.strerror, str(path)) from error  # the file that the user knows
        finally:
            self.ctx.remove_scratch(staged)
        return StepResult(output=output | {"output": str(path), "artifact_path": str(path)})

    def plan(self) -> list[str]:
        """The sentence of a dry run; sheet and range are checked if the workbook exists."""
        args = self.args
        output = self.ctx.write_path(args.output)
        path = self.ctx.read_path(args.source_path)
        named, ref = self._wanted()
        what = f"range {ref}" if ref else "all"
        if path.is_file():
            source = f"{what} of sheet {self._decode('find_sheet', sheet=named)!r} of {path}"
        else:
            source = (
                f"{what} of {f'sheet {named!r}' if named else 'the first sheet'} of {path}, which does not exist yet"
            )
        return [f"{'replace' if output.exists() else 'write'} {output}, as {args.file_format}, with {source}"]

    def _wanted(self) -> tuple[str | None, str]:
        """The name of the sheet, None if not given, and the range, empty if not given."""
        named, ref = split_sheet(self.args.range or "")
        return named or self.args.sheet, ref

    def _decode(self, function: str, **arguments: Any) -> Any:
        """Call a function of `reading.workbooks` in a child that gets memory and time by the size of the workbook."""
        path = self.ctx.read_path(self.args.source_path)
        if not path.is_file():
            raise StepInputError(f"workbook {path} does not exist")
        size = path.stat().st_size
        return self.ctx.call_limited(
            f"aetherflow_builtins_reports.reading.workbooks:{function}",
            {"source": str(path), **arguments},
            subject=str(path),
            memory_bytes=BASE_MEMORY + MEMORY_FACTOR * size,
            cpu_seconds=BASE_SECONDS + SECONDS_PER_MIB * (size >> 20),
            fix="look where the file is from; if it is sound, open and save it in Excel, or split it",
        )


def _short(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()[:16]
