from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from aetherflow.core.api import (
    ColumnType,
    CsvFormat,
    Flag,
    PlainText,
    ReadPath,
    Step,
    StepError,
    StepInputs,
    StepOutputs,
    WritePath,
)
from aetherflow_builtins_db.formats.delimited import DelimitedWriter
from aetherflow_builtins_db.formats.options import ColumnTypes
from aetherflow_builtins_db.formats.sink import HashingSink
from aetherflow_builtins_db.loading.table import place_of
from aetherflow_builtins_db.tabular.comparing import (
    OnTableRows,
    Sides,
    TableDifference,
    by_key,
    in_any_order,
    in_order,
    unlike,
)
from aetherflow_builtins_db.tabular.form import FileForm, needed_libraries
from aetherflow_builtins_db.tabular.table import Table, open_table, types_of

_BATCH = 1_000


class Inputs(StepInputs):
    """Two files of rows, and how they are compared."""

    path: ReadPath = Field(min_length=1, description="The file; a relative path is under the job's artifacts.")
    other: ReadPath = Field(min_length=1, description="The file that it is compared with.")
    read: FileForm = Field(
        default_factory=FileForm,
        description="How the file is written down: `format`, `encoding`, `delimiter` and the like. Default: by its "
        "suffix.",
    )
    read_other: FileForm = Field(default_factory=FileForm, description="The same for the other file.")
    keys: tuple[PlainText, ...] = Field(
        (), description="Columns that identify a row: rows with equal keys are compared, in any order."
    )
    any_order: Flag = Field(False, description="Without keys: compare which rows there are, whatever their order.")
    columns: tuple[PlainText, ...] = Field(
        (), description="Compare these columns, and the keys. Default: all, and both files must have the same."
    )
    types: ColumnTypes = Field(
        default_factory=dict,
        description="Column to type, so that its text is compared as such values: `1.50` and `1.5` are one "
        "`decimal(9,2)`. Default: the type that one of the files tells.",
    )
    differences: WritePath | None = Field(
        None, min_length=1, description="CSV file for the differences. Default: `<step>.differences.csv`."
    )
    on_difference: Literal["fail", "report"] = Field(
        "fail", description="If the files differ: `fail` fails the step, `report` goes on; the file is written anyway."
    )

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.keys and self.any_order:
            raise ValueError("any_order is for rows without keys; with keys the order is ignored anyway")
        return self


class Outputs(StepOutputs):
    """What was found. Differences are those of single values, and missing and additional rows."""

    equal: bool = Field(description="Whether the files hold the same.")
    rows: int = Field(description="Rows of the file.")
    other_rows: int = Field(description="Rows of the other file.")
    columns: list[str] = Field(description="The columns that were compared.")
    missing_columns: list[str] = Field(description="Columns that only the file has.")
    added_columns: list[str] = Field(description="Columns that only the other file has.")
    missing: int = Field(description="Rows that only the file has.")
    added: int = Field(description="Rows that only the other file has.")
    changed: int = Field(description="Rows with another value.")
    differences: str = Field(description="Absolute path of the file with the differences; without any a header.")
    sha256: str = Field(description="Its SHA-256, in hexadecimal.")


class FileCompare(Step[Inputs]):
    """Compares the rows of two files, which may have different formats, and writes what differs to a file.

    Rows are compared one by one, by `keys`, or in `any_order`. Columns are those of the same name. Text is compared
    sign by sign, numbers by their value, null is not empty text.

        - id: compare
          type: file_compare
          inputs:
            path: yesterday.csv
            other: today.csv.gz
            keys: [id]
            on_difference: report
    """

    Outputs = Outputs

    @classmethod
    def libraries(cls, inputs: Mapping[str, Any]) -> dict[str, str]:
        """What reads Parquet, zstd and workbooks."""
        return needed_libraries(inputs, "path", "read") | needed_libraries(inputs, "other", "read_other")

    def run(self) -> dict[str, Any]:
        args, ctx = self.args, self.ctx
        counts: Counter[str] = Counter()
        read: dict[int, int] = {}

        def on_rows(table: Table, rows: int) -> None:
            read[id(table)] = rows
            ctx.check_cancelled()

        target = ctx.write_path(args.differences or f"{self.id}.differences.csv")
        place = ctx.scratch_dir(self.job_id) / f"{self.id}-compare.sqlite"
        with ExitStack() as stack:
            ctx.remove_scratch(place)
            stack.callback(ctx.remove_scratch, place)
            table = stack.enter_context(open_table(self, args.path, args.read, "read"))
            other = stack.enter_context(open_table(self, args.other, args.read_other, "read_other"))
            both, missing, added = self._columns(table, other)
            sides = Sides(table, other, both, self._types(table, other))
            with ctx.write_file(target) as file:
                sink = HashingSink(file)
                self._write(self._found(sides, place, on_rows), sink, counts)
            rows, other_rows = read.get(id(table), 0), read.get(id(other), 0)
        equal = not (counts or missing or added)
        if not equal and args.on_difference == "fail":
            raise StepError(
                f"{args.path} and {args.other} differ: {_told(counts, missing, added)}; {target} lists the differences",
                fix="on_difference: report goes on",
            )
        return {
            "equal": equal,
            "rows": rows,
            "other_rows": other_rows,
            "columns": both,
            "missing_columns": missing,
            "added_columns": added,
            "missing": counts["missing"],
            "added": counts["added"],
            "changed": counts["changed"],
            "differences": str(target),
            "sha256": sink.sha256,
        }

    def plan(self) -> list[str]:
        args = self.args
        how = f"by {', '.join(args.keys)}" if args.keys else "in any order" if args.any_order else "row by row"
        gone = [path for path in (args.path, args.other) if not self.ctx.read_path(path).is_file()]
        there = f"; not there yet: {', '.join(gone)}" if gone else ""
        if not gone and "xlsx" not in {args.read.kind_of(args.path), args.read_other.kind_of(args.other)}:
            with (
                open_table(self, args.path, args.read, "read") as table,
                open_table(self, args.other, args.read_other, "read_other") as other,
            ):
                self._columns(table, other)
                self._types(table, other)
        return [f"compare {args.path} with {args.other} {how}{there}"]

    def _columns(self, table: Table, other: Table) -> tuple[list[str], list[str], list[str]]:
        """The columns to compare, those that only the file has, and those that only the other has."""
        both, missing, added = unlike(table, other)
        wanted = [*self._keys(both), *(_named("columns", name, both) for name in self.args.columns)]
        return ([name for name in both if name in wanted], [], []) if self.args.columns else (both, missing, added)

    def _types(self, table: Table, other: Table) -> dict[str, ColumnType]:
        return {**other.told, **table.told, **types_of(self.args.types, table)}

    def _keys(self, both: Sequence[str]) -> list[str]:
        return [_named("keys", name, both) for name in self.args.keys]

    def _found(self, sides: Sides, place: Path, on_rows: OnTableRows) -> Iterator[TableDifference]:
        if self.args.keys:
            return by_key(sides, self._keys(sides.columns), place, on_rows)
        return in_any_order(sides, place, on_rows) if self.args.any_order else in_order(sides, on_rows)

    def _write(self, found: Iterator[TableDifference], sink: HashingSink, counts: Counter[str]) -> None:
        """Write the differences as CSV, and count the rows of each kind."""
        keys = self.args.keys
        names = ["difference", "row", "other_row", *keys, "column", "value", "other_value"]
        writer = DelimitedWriter(sink, names, CsvFormat())
        writer.write_header()
        last: tuple[int | None, int | None] | None = None
        while some := list(islice(found, _BATCH)):
            for each in some:
                place = each.number, each.other_number
                counts[each.kind] += each.kind != "changed" or place != last
                last = place
            writer.write([(*each[:3], *(each.key or [None] * len(keys)), *each[4:]) for each in some])


def _named(field: str, wanted: str, both: Sequence[str]) -> str:
    """The column of both files that an input names; StepInputError if there is none."""
    return both[place_of(field, wanted, both, "column of both files")]


def _told(counts: Counter[str], missing: list[str], added: list[str]) -> str:
    said = [f"{counts[kind]:,} rows {kind}" for kind in ("missing", "added", "changed") if counts[kind]]
    said += [f"columns {what}: {', '.join(names)}" for what, names in (("missing", missing), ("added", added)) if names]
    return "; ".join(said)
