"""An open file of rows: its columns with their types, and its rows, as often as they are wanted."""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aetherflow.core.api import (
    Column,
    ColumnType,
    LoadBatch,
    Row,
    RunContext,
    Step,
    StepError,
    StepInputError,
    TableColumn,
    open_file,
)
from aetherflow_builtins_db.columns import STRING, parse_type
from aetherflow_builtins_db.loading.batch import OnReject, Reject
from aetherflow_builtins_db.loading.convert import Converter
from aetherflow_builtins_db.loading.decimal_comma import DecimalComma
from aetherflow_builtins_db.loading.decodable import decodable
from aetherflow_builtins_db.loading.making import profiles_of
from aetherflow_builtins_db.loading.source import SourceFile
from aetherflow_builtins_db.loading.table import place_of
from aetherflow_builtins_db.tabular.form import FileForm, TableFormat, refuse_unfitting

BATCH_ROWS = 10_000


@dataclass(frozen=True)
class Table:
    """A file of rows that can be read; a file that is no such is a StepError while it is read."""

    source: SourceFile
    kind: TableFormat
    names: list[str]
    told: Mapping[str, ColumnType]
    """The types that the file tells; of a text file none."""

    def columns(self, given: Mapping[str, ColumnType]) -> list[Column]:
        """The columns: with the given type, else that of the file, else the narrowest that keeps every value exactly.

        Reads all rows if a type is neither given nor in the file.
        """
        types = {**self.told, **given}
        unknown = [name for name in self.names if types.get(name, ColumnType("unknown")).kind == "unknown"]
        if unknown:
            names, found = profiles_of(self.source, self.keys, self.refusing, of_values=True)
            listed = self._named(names, len(found))
            types |= {
                name: kind if isinstance(kind, ColumnType) else kind.type
                for name, kind in zip(listed, found, strict=True)
                if name in unknown
            }
        return [Column(name, types.get(name, STRING)) for name in self.names]

    def rows(self, columns: Sequence[Column] | None = None) -> Iterator[list[Row]]:
        """Yield the rows, converted to the types of `columns`; a column of kind `unknown`, and None, leave values as
        they are. StepError for a row that is damaged or does not fit.
        """
        for batch in self.batches(columns):
            yield batch.rows

    def batches(self, columns: Sequence[Column] | None = None) -> Iterator[LoadBatch]:
        """As `rows`, with the number of each."""
        wanted = [TableColumn(column.name, column.type, str(column.type)) for column in columns or ()]
        typed = any(column.type.kind != "unknown" for column in wanted)
        convert = Converter(wanted) if typed else None
        commas = DecimalComma(wanted) if typed and self.source.texts == "comma" else None
        with self.source.reader(keys=self.keys, width=len(self.names) or None) as reader:
            refuse = self.refusing(reader.unit)
            for batch in reader.batches(BATCH_ROWS, refuse):
                read = commas(batch, refuse) if commas is not None else batch
                yield convert(read, refuse) if convert is not None else read

    def refusing(self, unit: str) -> OnReject:
        """What raises StepError for a row that cannot be read; `unit` is what its number counts."""

        def refuse(reject: Reject) -> None:
            named = f"column {reject.column!r}: " if reject.column else ""
            raise StepError(
                f"{self.source.path}, {unit} {reject.number}: {named}{reject.reason}",
                fix=f"correct the file, or set types: {{{reject.column}: string}}"
                if reject.column
                else "correct the file, or how it is read",
            )

        return refuse

    @property
    def keys(self) -> list[str] | None:
        """What is read of JSON lines: all keys."""
        return self.names if self.source.format == "jsonl" else None

    def _named(self, names: Sequence[str] | None, width: int) -> list[str]:
        return list(names) if names is not None else self.names[:width]


@contextmanager
def open_table(step: Step[Any], path: str, form: FileForm, name: str) -> Iterator[Table]:
    """Open the file `path`, which the inputs `form` describe; `name` is that of the input with the form.

    StepInputError if it does not exist, or if two of its columns have one name.
    """
    kind = refuse_unfitting(form, path, name)
    file = existing_file(step.ctx, path)
    if kind == "xlsx":
        with sheet_rows(step, file, form) as source:
            yield _table(source, kind)
        return
    packing = form.packing_of(path)
    on_bytes = on_bytes_of(step.ctx, file)
    given = SourceFile(file, kind, packing, form.dialect(kind), on_bytes, form.widths or {}, form.decimal == ",")
    with decodable(given, step.ctx, look_at=BATCH_ROWS) as source:
        yield _table(source, kind)


def existing_file(ctx: RunContext, path: str) -> Path:
    """The absolute path of a file to read; StepInputError if it does not exist."""
    file = ctx.read_path(path)
    if not file.is_file():
        raise StepInputError(f"there is no file {file}", fix="check path; a relative one is under the job's artifacts")
    return file


def on_bytes_of(ctx: RunContext, file: Path) -> Callable[[int], None]:
    """What tells of the bytes that were read of a file."""
    size = file.stat().st_size

    def on_bytes(done: int) -> None:
        ctx.progress(done, size, "bytes")
        ctx.check_cancelled()

    return on_bytes


@contextmanager
def sheet_rows(step: Step[Any], file: Path, form: FileForm) -> Iterator[SourceFile]:
    """The rows of a sheet, which the step `excel_read` of the distribution for workbooks takes out of it."""
    ctx = step.ctx
    with open_file(file) as opened:
        sha256 = hashlib.file_digest(opened, "sha256").hexdigest()
    short = hashlib.sha256(str(file).encode()).hexdigest()[:12]
    staged = ctx.scratch_dir(step.job_id) / f"{step.id}-{short}.csv"
    inputs: dict[str, Any] = {
        "source_path": str(file),
        "output": str(staged),
        "header": form.include_header is not False,
    }
    inputs |= {key: value for key in ("sheet", "on_error") if (value := getattr(form, key)) is not None}
    # an earlier attempt may have read another content of it
    done = ctx.call_step("excel_read", inputs, step_id=f"read_{sha256[:16]}")
    types = {name: parse_type(kind) for name, kind in (done.output or {})["dtypes"].items()}
    yield SourceFile(staged, "csv", "none", FileForm().dialect("csv"), on_bytes_of(ctx, staged), told=types)
    ctx.remove(staged)


def _table(source: SourceFile, kind: TableFormat) -> Table:
    told = source.types() or {}
    with source.reader(keys=None, width=None, every_key=True) as reader:
        names = reader.names
        if names is None:
            first = next(reader.batches(1, lambda _: None), LoadBatch())
            width = len(first.rows[0]) if first.rows else 0
            names = [f"column_{number}" for number in range(1, width + 1)]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise StepInputError(
            f"{source.path}: two columns are named {', '.join(map(repr, twice))}", fix="rename them in the file"
        )
    return Table(source, kind, list(names), told)


def types_of(given: Mapping[str, str], table: Table) -> dict[str, ColumnType]:
    """The types that the input `types` gives; StepInputError for a name that is no column."""
    return {
        table.names[place_of("types", name, table.names, "column of the file")]: parse_type(kind)
        for name, kind in given.items()
    }
