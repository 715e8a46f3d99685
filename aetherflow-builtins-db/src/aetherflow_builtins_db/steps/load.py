from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import Field, model_validator

from aetherflow.core.api import DbResource, LateDatabase, PlainText, ReadPath, Step, StepResult
from aetherflow_builtins_db.formats.options import DelimitedReadingInputs
from aetherflow_builtins_db.formats.sink import Packing
from aetherflow_builtins_db.loading.decodable import decodable
from aetherflow_builtins_db.loading.job import Load
from aetherflow_builtins_db.loading.rejects import Rejects
from aetherflow_builtins_db.loading.request import BATCH_ROWS
from aetherflow_builtins_db.loading.source import LoadFormat, SourceFile, format_of, packing_of
from aetherflow_builtins_db.minimal import lacks_of, needs_undo
from aetherflow_builtins_db.steps.loading import Ending, Outputs, TableInputs, makes_in, target_of
from aetherflow_builtins_db.steps.query import database_of
from aetherflow_builtins_db.tabular.form import FileForm, is_workbook, needed_libraries, unfitting
from aetherflow_builtins_db.tabular.table import existing_file, on_bytes_of, sheet_rows

if TYPE_CHECKING:
    from aetherflow.core.api import Lack


class Inputs(DelimitedReadingInputs, TableInputs):
    """A file and the table for its rows."""

    resource: DbResource = Field(description="Name of a resource of kind `db`.")
    path: ReadPath = Field(min_length=1, description="The file to load; a relative path is under the job's artifacts.")
    format: LoadFormat | Literal["xlsx"] | None = Field(
        None, description="`csv`, `tsv`, `jsonl`, `parquet` or `xlsx`. Default: by the file's suffix."
    )
    compression: Packing | None = Field(
        None, description="`none`, `gzip` or `zstd`. Default: by the file's suffix (`.gz`, `.zst`)."
    )
    sheet: PlainText | None = Field(None, min_length=1, description="For `xlsx`: the sheet. Default: the first one.")
    on_error: Literal["null", "text", "fail"] | None = Field(
        None,
        description="For `xlsx`: what error cells such as `#DIV/0!` become, as in `excel_read`. Default: `null`, with "
        "a warning.",
    )
    batch_rows: int = Field(BATCH_ROWS, ge=1, description="Rows sent at a time if the database does not read the file.")

    @model_validator(mode="after")
    def _sheet_of_workbook(self) -> Self:
        if "{{" in self.path and self.format is None:
            return self  # the suffix is not known before it is rendered
        if self.is_workbook:
            given = sorted((self.model_fields_set & FileForm.model_fields.keys()) | ({"file"} if self.file else set()))
            form = FileForm(**{key: getattr(self, key) for key in given if key != "file"})
            if found := unfitting(form, "xlsx", "db_load"):
                raise ValueError(found)
            if self.file:
                raise ValueError("file: not for xlsx")
        elif self.sheet is not None or self.on_error is not None:
            raise ValueError("sheet and on_error are for xlsx")
        return self

    @property
    def is_workbook(self) -> bool:
        return self.format == "xlsx" or (self.format is None and is_workbook(self.path))

    @property
    def file_format(self) -> LoadFormat:
        return self.format if self.format and self.format != "xlsx" else format_of(self.path)


class DbLoad(Step[Inputs]):
    """Loads a CSV, TSV, JSON Lines, Parquet or Excel file into a table, by the fastest way that the database has.

    The load takes effect completely or not at all, and can be repeated without duplicating rows: a step that died
    after the database's commit finds its load in the table `aetherflow_loads`, or by `load_id_column`. A row that does
    not fit fails the load or, with `max_rejects`, is written to a file with the reason.

        - id: load
          type: db_load
          inputs:
            resource: warehouse
            table: sales
            path: sales.csv
            mode: merge
            keys: [order_id]
            max_rejects: 10
    """

    Outputs = Outputs

    @classmethod
    def libraries(cls, inputs: Mapping[str, Any]) -> dict[str, str]:
        """What reads Parquet, workbooks, and what zstd has compressed."""
        return needed_libraries({**inputs, "form": inputs}, "path", "form")

    @classmethod
    def lacks(cls, inputs: Mapping[str, Any], connector: type, of: str) -> "Iterable[Lack]":
        """What a connector class lacks for changing data."""
        del of
        return lacks_of(connector, writes=True, makes=makes_in(inputs), undoes=needs_undo(inputs.get("expect_rows")))

    def run(self) -> StepResult:
        with self._loading(Rejects(self.args.max_rejects), look_at=self.args.batch_rows) as load:
            result = self._ending.run(load, self._on_rows)
        source = {"kind": "file", "name": str(self.ctx.read_path(self.args.path))}
        return self._ending.with_receipt(result, source)

    def plan(self) -> list[str]:
        args = self.args
        path = self.ctx.read_path(args.path)
        there = f"{path.stat().st_size:,} bytes" if path.is_file() else "not there yet"
        what, table = f"{args.path} ({there})", f"{args.table} of resource {args.resource}"
        if not path.is_file():
            made = ", which is made if it is missing" if args.creates else ""
            return [f"{args.mode} {what} into {table}{made}"]
        if args.is_workbook:
            return [f"{args.mode} {what} into {table}"]  # its rows are known when it is read
        connector = database_of(args.resource, self.ctx).connector
        is_late = isinstance(connector, LateDatabase) and connector.is_missing()
        if is_late and not args.creates:
            return [f"{args.mode} {what} into {table}, whose database does not exist yet"]
        look_at = args.batch_rows if args.makes else None
        with self._loading(Rejects(args.max_rejects), look_at=look_at, is_late=is_late) as load:
            return load.effects(what, f" of resource {args.resource}")

    @contextmanager
    def _loading(self, rejects: Rejects, *, look_at: int | None = None, is_late: bool = False) -> Iterator[Load]:
        """The load; a Parquet file is read by a limited child before, all of it in batches of `look_at` rows."""
        args, file = self.args, existing_file(self.ctx, self.args.path)
        if args.is_workbook:
            form = FileForm(sheet=args.sheet, include_header=args.include_header, on_error=args.on_error)
            with sheet_rows(self, file, form) as source:
                yield self._load(source, rejects, is_late=is_late)
            return
        with decodable(self._source(file), self.ctx, look_at=look_at) as source:
            yield self._load(source, rejects, is_late=is_late)

    def _load(self, source: SourceFile, rejects: Rejects, *, is_late: bool) -> Load:
        args, ctx = self.args, self.ctx
        database = database_of(args.resource, ctx, writes=True, makes=args.makes, undoes=needs_undo(args.expect_rows))
        request = args.request(source, self._ending.load_id, ctx.run_id, args.batch_rows)
        return Load(target_of(database, ctx, self.job_id, self.id, args.table, is_late=is_late), request, rejects)

    @property
    def _ending(self) -> Ending:
        args = self.args
        return Ending(args, self.ctx, self.id, args.path, args.load_id or self.ctx.work_id, args.resource)

    def _source(self, path: Path) -> SourceFile:
        args = self.args
        packing = args.compression or packing_of(args.path)
        dialect, on_bytes = args.dialect(args.file_format), on_bytes_of(self.ctx, path)
        return SourceFile(path, args.file_format, packing, dialect, on_bytes, has_commas=args.has_commas)

    def _on_rows(self, rows: int) -> None:
        if not self.args.is_workbook and self.args.file_format == "parquet":
            self.ctx.progress(rows, None, "rows")
        self.ctx.check_cancelled()
