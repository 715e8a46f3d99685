import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePath
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from aetherflow.core.api import (
    Column,
    ColumnType,
    ReadPath,
    Step,
    StepError,
    StepInputError,
    StepInputs,
    StepOutputs,
    WritePath,
    open_file,
)
from aetherflow_builtins_db.columns import UNKNOWN
from aetherflow_builtins_db.formats.options import ColumnTypes
from aetherflow_builtins_db.formats.parquet import require_pyarrow
from aetherflow_builtins_db.formats.sink import HashingSink, packed
from aetherflow_builtins_db.tabular.form import FileForm, TableFormat, needed_libraries, refuse_unfitting
from aetherflow_builtins_db.tabular.records import copy_json_lines
from aetherflow_builtins_db.tabular.table import Table, open_table, types_of
from aetherflow_builtins_db.tabular.writing import cell_types, refuse_other_widths, write_table

_TYPED = frozenset({"jsonl", "parquet", "xlsx"})
"""Formats whose values have types."""


class Inputs(StepInputs):
    """A file of rows, and the file that it is to become."""

    path: ReadPath = Field(min_length=1, description="The file to read; a relative path is under the job's artifacts.")
    output: WritePath = Field(min_length=1, description="The file to write, relative to the job's artifacts.")
    read: FileForm = Field(
        default_factory=FileForm,
        description="How the file is written down: `format`, `encoding`, `delimiter` and the like. Default: by its "
        "suffix.",
    )
    write: FileForm = Field(
        default_factory=FileForm, description="The same for the file to write. Default: by its suffix."
    )
    types: Literal["string"] | ColumnTypes = Field(
        default_factory=dict,
        description="Column to type: bool, int, float, decimal(p,s), string, bytes, date, datetime, datetime(utc), "
        "time; or `string` for all. Default: the type that the file tells; for a file that has types, else the "
        "narrowest that keeps every value of the column; for text none, so that it stays as it is.",
    )

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.path == self.output:
            raise ValueError("path and output are the same file")
        return self


class Outputs(StepOutputs):
    """The file that was written, and what is in it."""

    output: str = Field(description="Absolute path of the file.")
    format: TableFormat = Field(description="Its format.")
    rows: int = Field(description="Number of rows in it.")
    bytes: int = Field(description="Size of the file.")
    columns: list[str] = Field(description="Names of the columns.")
    types: dict[str, str] = Field(description="Column to its type, as far as it has one.")
    sha256: str = Field(description="SHA-256 of the file, in hexadecimal.")


class FileConvert(Step[Inputs]):
    """Writes the rows of a file in another format: CSV, TSV, JSON Lines, Parquet, Excel, or lines of fixed width.

    The suffixes set the formats and the compression. No type is guessed from a sample: all values of a column decide,
    `007` stays text, decimals stay exact. A row that is damaged or does not fit fails the step, and the old file stays.

        - id: convert
          type: file_convert
          inputs:
            path: orders.csv
            output: orders.parquet
            read: {encoding: cp1252, delimiter: ";"}
            types: {amount: "decimal(12,2)"}
    """

    Outputs = Outputs
    _rows = 0

    @classmethod
    def libraries(cls, inputs: Mapping[str, Any]) -> dict[str, str]:
        """What reads and writes Parquet, zstd and workbooks."""
        return needed_libraries(inputs, "path", "read") | needed_libraries(inputs, "output", "write")

    def run(self) -> dict[str, Any]:
        args, ctx = self.args, self.ctx
        target = ctx.write_path(args.output)
        kind = self._target_kind()
        if kind == "parquet" or args.write.packing_of(args.output) == "zstd":
            require_pyarrow()  # fail before a long file, not after it
        with open_table(self, args.path, args.read, "read") as table:
            if ctx.read_path(args.path) == target:
                raise StepInputError("path and output are the same file", fix="give another output")
            if kind == "xlsx":
                columns = self._write_workbook(table)
            else:
                columns = self._columns(table, kind)
                with ctx.write_file(target) as file:
                    self._write(table, columns, HashingSink(file), kind, args.write)
        with open_file(target) as written:
            sha256 = hashlib.file_digest(written, "sha256").hexdigest()
        return {
            "output": str(target),
            "format": kind,
            "rows": self._rows,
            "bytes": target.stat().st_size,
            "columns": [column.name for column in columns],
            "types": {column.name: str(column.type) for column in columns if column.type != UNKNOWN},
            "sha256": sha256,
        }

    def plan(self) -> list[str]:
        args = self.args
        kind, path = self._target_kind(), self.ctx.read_path(args.path)
        verb = "replace" if self.ctx.write_path(args.output).exists() else "write"
        said = f"{verb} {args.output} ({kind}) with the rows of {args.path}"
        if not path.is_file():
            return [f"{said}, which is not there yet"]
        if args.read.kind_of(args.path) == "xlsx":
            return [said]
        with open_table(self, args.path, args.read, "read") as table:
            columns = self._columns(table, kind)
        return [f"{said}:", *(f"  {column.name} {'text' if _free(column) else column.type}" for column in columns)]

    def _target_kind(self) -> TableFormat:
        args = self.args
        kind = refuse_unfitting(args.write, args.output, "write")
        if kind == "jsonl" and args.write.encoding is not None:
            raise StepInputError("write.encoding: JSON lines are UTF-8", fix="leave it out")
        if kind == "xlsx" and PurePath(args.output).suffix.lower() != ".xlsx":
            raise StepInputError(f"{args.output}: a workbook is written as .xlsx", fix="name it so")
        return kind

    def _columns(self, table: Table, kind: TableFormat) -> list[Column]:
        """The columns of the file to write; one of kind `unknown` is written as it was read."""
        args = self.args
        given = dict.fromkeys(table.names, "string") if args.types == "string" else args.types
        types = types_of(given, table)
        if not table.names and not _copies(table, kind):
            raise StepError(f"{args.path} holds no row, so that no column is known", fix="make or fetch the file again")
        if kind == "fixed":
            refuse_other_widths(args.write, table.names)
        if _copies(table, kind):
            if types:
                raise StepInputError(
                    "types: lines of JSON stay as they are", fix="leave types out, or write another format"
                )
            return [Column(name, UNKNOWN) for name in table.names]
        if kind in _TYPED:
            return table.columns(types)
        return [Column(name, types.get(name) or table.told.get(name, UNKNOWN)) for name in table.names]

    def _write(self, table: Table, columns: list[Column], sink: HashingSink, kind: TableFormat, form: FileForm) -> None:
        packing = form.packing_of(self.args.output)
        if _copies(table, kind):
            with packed(sink, packing) as out:
                copy_json_lines(table, out, self._on_rows)
            return
        rows = table.rows(self._converted(table, columns, kind))
        write_table(columns, rows, sink, kind=kind, form=form, packing=packing, on_rows=self._on_rows)

    def _converted(self, table: Table, columns: list[Column], kind: TableFormat) -> list[Column]:
        """The columns that are converted; values that have the right type already are left alone."""
        if table.kind not in {"jsonl", "parquet"} or kind == "parquet":
            return columns
        given: Mapping[str, object] = dict.fromkeys(table.names) if self.args.types == "string" else self.args.types
        return [column if column.name in given else Column(column.name, UNKNOWN) for column in columns]

    def _write_workbook(self, table: Table) -> list[Column]:
        """Let the step `excel_write` of the distribution for workbooks write the rows, which it takes from a file."""
        args, ctx = self.args, self.ctx
        columns = self._columns(table, "xlsx")
        with self._staged() as staged:
            with staged.open("wb") as file:
                sink = HashingSink(file)
                self._write(table, columns, sink, "csv", FileForm())
            sheet = {"name": args.write.sheet or "Data", "source_path": str(staged), "source_format": "csv"}
            options = {"header": args.write.include_header is not False, "dtypes": cell_types(columns)}
            # an earlier attempt may have written other rows
            ctx.call_step(
                "excel_write",
                {"output": args.output, "tables": [sheet | options]},
                step_id=f"write_{sink.sha256[:16]}",
            )
        return columns

    @contextmanager
    def _staged(self) -> Iterator[Path]:
        """A file of the job's scratch folder, which is gone after the block."""
        staged = self.ctx.scratch_dir(self.job_id) / f"{self.id}-rows.csv"
        self.ctx.remove_scratch(staged)
        try:
            yield staged
        finally:
            self.ctx.remove_scratch(staged)

    def _on_rows(self, rows: int) -> None:
        self._rows = rows
        self.ctx.check_cancelled()


def _copies(table: Table, kind: TableFormat) -> bool:
    """Whether lines are copied: JSON has numbers of any form, which no other writer would keep."""
    return table.kind == kind == "jsonl"


def _free(column: Column) -> bool:
    return column.type == ColumnType("unknown")
