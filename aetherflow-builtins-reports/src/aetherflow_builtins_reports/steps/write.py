import contextlib
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, field_validator, model_validator

from aetherflow.core.api import (
    Flag,
    PlainText,
    ReadPath,
    StepInputError,
    StepInputs,
    StepOutputs,
    StepResult,
    WritePath,
)
from aetherflow_builtins_reports.cells.casting import Conventions, Formula
from aetherflow_builtins_reports.fill.block import Block, fixed
from aetherflow_builtins_reports.fill.filling import Filling
from aetherflow_builtins_reports.fill.frames import Freeze, columns_markup
from aetherflow_builtins_reports.fill.plans import TargetPlan
from aetherflow_builtins_reports.package.blank import blank_workbook
from aetherflow_builtins_reports.package.refs import Area
from aetherflow_builtins_reports.package.styles import Look
from aetherflow_builtins_reports.package.template import Template
from aetherflow_builtins_reports.package.workbook import Sheet, check_sheet_name
from aetherflow_builtins_reports.sources.chunk import CHUNK_ROWS, Chunk, transposed
from aetherflow_builtins_reports.steps.fields import JsonRows, Word, _json
from aetherflow_builtins_reports.steps.file_source import AnySource, FileSource
from aetherflow_builtins_reports.steps.fill_inputs import ValueInputs
from aetherflow_builtins_reports.steps.filling_step import WorkbookStep

_TOTALS = {"sum": 109, "average": 101, "count": 103, "min": 105, "max": 104}
_SAMPLE_WIDTH = (6.0, 60.0)
_COLOR = r"^#?[0-9A-Fa-f]{6}$"


class HeaderStyle(StepInputs):
    bold: Flag = Field(True, description="Bold text.")
    fill: PlainText | None = Field("DCE6F1", pattern=_COLOR, description="Background, RRGGBB; null: none.")
    color: PlainText | None = Field(None, pattern=_COLOR, description="Text, RRGGBB.")
    wrap: Flag = Field(True, description="Break long names into lines.")

    @property
    def look(self) -> Look:
        """The style as a change of a cell format."""
        fill, color = (each and each.lstrip("#").upper() for each in (self.fill, self.color))
        return Look(bold=self.bold, fill=fill, color=color, wrap=self.wrap)


class Table(FileSource):
    """One table, written to one sheet."""

    name: PlainText = Field("Data", min_length=1, description="Name of the table's sheet.")
    source_path: ReadPath | None = Field(None, description="The file of its rows, relative to the job's artifacts.")
    rows_json: JsonRows | None = Field(None, description="The rows themselves: lists, or maps by column.")
    header: Flag = Field(True, description="Write the names of the columns.")
    header_style: HeaderStyle = Field(default_factory=HeaderStyle, description="`{bold, fill, color, wrap}`.")
    widths: dict[str, float] = Field(
        default_factory=dict, description="Column to width in characters; others fit their name and their first rows."
    )
    formats: dict[str, PlainText] = Field(
        default_factory=dict, description="Column to number format: `#,##0.00`, `0.0%`."
    )
    totals: dict[str, Annotated[Literal["sum", "average", "count", "min", "max"], Word]] = Field(
        default_factory=dict, description="Column to the aggregate in its totals row: sum, average, count, min or max."
    )
    freeze_panes: Flag = Field(True, description="Freeze the header.")
    autofilter: Flag = Field(True, description="Put a filter over the table.")

    @field_validator("name")
    @classmethod
    def _sheet_name(cls, value: str) -> str:
        check_sheet_name(value)
        return value

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.source_path is None) == (self.rows_json is None):
            raise ValueError("give one of source_path and rows_json")
        return self

    @property
    def owner(self) -> str:
        return f"table {self.name!r}"


class Inputs(ValueInputs):
    """The tables of a new workbook."""

    output: WritePath = Field(min_length=1, description="The file to write, .xlsx, relative to the job's artifacts.")
    tables: Annotated[list[Table], BeforeValidator(_json, json_schema_input_type=list[Table] | str)] = Field(
        min_length=1, description="One sheet each, in this order."
    )

    @model_validator(mode="after")
    def _different_names(self) -> Self:
        names = [table.name.casefold() for table in self.tables]
        if len(set(names)) < len(names):
            raise ValueError("two tables have the same name; Excel ignores the case")
        return self


class Outputs(StepOutputs):
    """The file, and what was written to it."""

    output: str = Field(description="Absolute path of the file.")
    receipt: dict[str, list[dict[str, Any]]] = Field(
        default_factory=dict, description="What was `read` and `made`, as `runs show --receipts` shows it."
    )
    written: list[dict[str, Any]] = Field(
        description="For each table: `name`, `rows` (of data), `cols`, and `adjusted`: column to rule to the number of "
        "values that the rule changed."
    )


class ExcelWrite(WorkbookStep[Inputs]):
    """Writes tables to a new workbook: one sheet each, with header, widths, formats, filter and totals.

    Rows come from files of any length, in constant memory, or from earlier steps. Text stays text unless `dtypes` or
    `type_cast` is set.

    Example:
        - id: workbook
          type: excel_write
          inputs:
            output: delays.xlsx
            tables:
              - name: Carriers
                source_path: "{{steps.by_carrier.artifact_path}}"
                dtypes: {flights: int, mean_delay: float}
                formats: {mean_delay: "0.00"}
                totals: {flights: sum}
    """

    Outputs = Outputs

    def run(self) -> StepResult:
        with contextlib.ExitStack() as stack:
            template = stack.enter_context(Template(blank_workbook(), "the new workbook"))
            filling = Filling(template, self.scratch(), self.compression())
            conventions = self.conventions()
            planned = []
            for table in self.args.tables:
                names, chunks = self._rows(table, stack)
                sheet = template.workbook.add_sheet(table.name)
                planned.append((table, names, self._plan(filling, table, sheet, names, chunks, conventions)))
            path = self.save(filling, self.args.output, None)
        written = [
            {"name": table.name, "rows": block.written, "cols": block.width, "adjusted": block.counts.as_output(names)}
            for table, names, block in planned
        ]
        sources = [
            {"kind": "file", "name": str(self.ctx.read_path(each.source_path))}
            for each in self.args.tables
            if each.source_path is not None
        ]
        made = [{"kind": "file", "name": str(path), "rows": sum(block.written for _, _, block in planned)}]
        receipt = {"read": sources, "made": made}
        return StepResult(output={"output": str(path), "receipt": receipt, "written": written})

    def _rows(self, table: Table, stack: contextlib.ExitStack) -> tuple[list[str], Iterator[Chunk]]:
        if table.source_path is not None:
            source: AnySource = table.open(self.ctx.read_path(table.source_path), self.ctx)
            stack.callback(source.close)
            return table.columns_json or source.names or [], source.chunks()
        rows = table.rows_json or []
        keys: dict[str, None] = {}
        for row in rows:
            if isinstance(row, Mapping):
                keys.update(dict.fromkeys(map(str, row)))
        names = table.columns_json or list(keys)
        lists = iter([row.get(name) for name in names] if isinstance(row, Mapping) else list(row) for row in rows)
        return names, (transposed(chunk) for chunk in iter(lambda: list(islice(lists, CHUNK_ROWS)), []))

    def _plan(
        self,
        filling: Filling,
        table: Table,
        sheet: Sheet,
        names: list[str],
        chunks: Iterator[Chunk],
        conventions: Conventions,
    ) -> Block:
        self._refuse_unknown(table, names)
        first = next(chunks, Chunk([], 0))
        plan, styles = filling.plan(sheet), filling.template.styles
        formats = [styles.derive(0, Look(number_format=table.formats.get(name))) for name in names]
        plan.inner_head = columns_markup(list(zip(_widths(table, names, first), formats, strict=True)))
        writes = table.header and bool(names)
        if writes:
            header = Block(table.owner, 1, 1, fixed(names), conventions, default_dtype="string")
            header.styles, header.look = [0] * len(names), table.header_style.look
            plan.blocks.append(header)
        dtypes, rest = table.column_types(names)
        data = Block(table.owner, 1 + writes, 1, _chained(first, chunks), conventions, dtypes, rest, width=len(names))
        data.keep_number_formats, data.on_rows = True, self.on_rows
        plan.blocks.append(data)
        if table.totals:
            totals = Block(table.owner, 1, 1, _totals(table, names, data), conventions, follows=data)
            totals.look = Look(bold=True, top_border=True)
            plan.blocks.append(totals)
        target = TargetPlan(table.owner, sheet, data, names if writes else None, 1 if writes else None)
        target.wants_filter = table.autofilter and writes
        plan.targets.append(target)
        if table.freeze_panes and writes:
            plan.freeze = Freeze(2, 1)
        return data

    @staticmethod
    def _refuse_unknown(table: Table, names: list[str]) -> None:
        for key in ("widths", "formats", "totals"):
            unknown = sorted(set(getattr(table, key)) - set(names))
            if unknown:
                raise StepInputError(
                    f"{table.owner}: {key} names no column: {', '.join(unknown)}",
                    fix=f"its columns are: {', '.join(names)}",
                )

    def plan(self) -> list[str]:
        output = self.ctx.write_path(self.args.output)
        names = ", ".join(table.name for table in self.args.tables)
        return [f"{'replace' if output.exists() else 'write'} {output} with the sheets {names}"]


def _chained(first: Chunk, chunks: Iterator[Chunk]) -> Iterator[Chunk]:
    if first.rows:
        yield first
    yield from chunks


def _widths(table: Table, names: list[str], first: Chunk) -> list[float | None]:
    """Column widths in characters: as given, or by the name and the first rows."""
    low, high = _SAMPLE_WIDTH
    found: list[float | None] = []
    for index, name in enumerate(names):
        column = first.columns[index] if index < len(first.columns) else ()
        longest = max((len(str(value)) for value in column if value is not None), default=0)
        fitting = max(low, min(high, max(longest, len(name) + 2 * table.autofilter) + 1.7))
        found.append(table.widths.get(name, fitting))
    return found


def _totals(table: Table, names: list[str], data: Block) -> Iterator[Chunk]:
    """The totals row. Iterate over it only when the data have been written, because it refers to their end."""
    row: list[Any] = []
    for number, name in enumerate(names, 1):
        kind = table.totals.get(name)
        area = Area(data.top, number, data.top + max(data.written, 1) - 1, number)
        row.append(Formula(f"SUBTOTAL({_TOTALS[kind]},{area})") if kind else "Total" if number == 1 else None)
    yield from fixed(row)
