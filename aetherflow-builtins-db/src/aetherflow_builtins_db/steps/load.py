import hashlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pydantic import Field

from aetherflow.core.api import (
    STEP_SKIPPED,
    DbResource,
    LateDatabase,
    LoadJob,
    Step,
    StepError,
    StepInputError,
    StepResult,
)
from aetherflow_builtins_db.formats.options import DelimitedInputs
from aetherflow_builtins_db.formats.parquet import libraries_for
from aetherflow_builtins_db.formats.sink import Packing
from aetherflow_builtins_db.loading.job import Load
from aetherflow_builtins_db.loading.rejects import Rejects
from aetherflow_builtins_db.loading.request import LoadRequest, LoadResult
from aetherflow_builtins_db.loading.source import LoadFormat, SourceFile, format_of, packing_of
from aetherflow_builtins_db.loading.target import Target
from aetherflow_builtins_db.minimal import lacks_of, needs_undo
from aetherflow_builtins_db.row_range import is_met
from aetherflow_builtins_db.steps.loading import EmptyError, Outputs, TableInputs, makes_in, outputs_of
from aetherflow_builtins_db.steps.query import database_of

if TYPE_CHECKING:
    from aetherflow.core.api import Lack


class Inputs(DelimitedInputs, TableInputs):
    """A file and the table for its rows."""

    resource: DbResource = Field(description="Name of a resource of kind `db`.")
    path: str = Field(min_length=1, description="The file to load; a relative path is under the job's artifacts.")
    format: LoadFormat | None = Field(
        None, description="`csv`, `tsv`, `jsonl` or `parquet`. Default: by the file's suffix."
    )
    compression: Packing | None = Field(
        None, description="`none`, `gzip` or `zstd`. Default: by the file's suffix (`.gz`, `.zst`)."
    )
    columns: dict[str, str] | tuple[str, ...] | None = Field(
        None,
        description="Target columns: a map of file column to table column, which leaves out all others; or a list of "
        "table columns for the fields in their order. Default: file columns have the names of table columns.",
    )

    @property
    def file_format(self) -> LoadFormat:
        return self.format or format_of(self.path)


BASE_MEMORY, MEMORY_FACTOR = 224 << 20, 16
"""Bytes of memory for any Parquet file, and for each byte of its size. Usual files take 60 MiB and 2 for each byte."""
BASE_SECONDS, SECONDS_PER_MIB = 5, 2
"""CPU time for any Parquet file, and for each MiB of its size."""


class DbLoad(Step[Inputs]):
    """Loads a CSV, TSV, JSON Lines or Parquet file into a table, by the fastest way that the database has.

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
        """What reads Parquet, and what zstd has compressed."""
        return libraries_for(inputs, inputs.get("path"), (".zst", ".zstd"))

    @classmethod
    def lacks(cls, inputs: Mapping[str, Any], connector: type, of: str) -> "Iterable[Lack]":
        """What a connector class lacks for changing data."""
        del of
        return lacks_of(connector, writes=True, makes=makes_in(inputs), undoes=needs_undo(inputs.get("expect_rows")))

    def run(self) -> StepResult:
        args = self.args
        rejects = Rejects(args.max_rejects)
        try:
            with self._loading(rejects, look_at=args.batch_rows) as load:
                result = load.run(lambda done: self._accept(done, rejects), self._on_rows)
        except EmptyError:
            empty = LoadResult(load.table.sql, rejected=len(rejects.found))
            return StepResult(STEP_SKIPPED, self._output(empty), "row_count(0) < min_rows(1)")
        except StepError:
            if rejects.found and args.max_rejects:
                rejects.write(lambda: self.ctx.write_file(self._reject_path))
            raise
        if not result.loaded and args.on_empty is None and args.empty_means == "ok":
            later = "from version 1.2 on this fails: set on_empty to ok, skip or fail"
            self.ctx.log.warning("no row in %s; %s", args.path, later)
        return StepResult(output=self._output(result))

    def plan(self) -> list[str]:
        args = self.args
        path = self.ctx.read_path(args.path)
        there = f"{path.stat().st_size:,} bytes" if path.is_file() else "not there yet"
        what, table = f"{args.path} ({there})", f"{args.table} of resource {args.resource}"
        if not path.is_file():
            made = ", which is made if it is missing" if args.creates else ""
            return [f"{args.mode} {what} into {table}{made}"]
        connector = database_of(args.resource, self.ctx).connector
        is_late = isinstance(connector, LateDatabase) and connector.is_missing()
        if is_late and not args.creates:
            return [f"{args.mode} {what} into {table}, whose database does not exist yet"]
        with self._loading(Rejects(0), look_at=args.batch_rows if args.makes else None, is_late=is_late) as load:
            return load.effects(what, f" of resource {args.resource}")

    @contextmanager
    def _loading(self, rejects: Rejects, *, look_at: int | None = None, is_late: bool = False) -> Iterator[Load]:
        """The load; a Parquet file is read by a limited child before, all of it in batches of `look_at` rows."""
        source = self._source()
        if self.args.file_format != "parquet":
            yield self._load(source, rejects, is_late=is_late)
            return
        with self.ctx.steady_file(source.path) as path:
            subject, source = str(source.path), replace(source, path=path)
            self.ctx.call_limited(
                "aetherflow_builtins_db.loading.records:read_through",
                {"path": str(path), "size": look_at},
                subject=subject,
                memory_bytes=BASE_MEMORY + MEMORY_FACTOR * source.size,
                cpu_seconds=BASE_SECONDS + SECONDS_PER_MIB * (source.size >> 20),
                fix="look where the file is from; if it is sound, write it with smaller pages and row groups",
            )
            yield self._load(source, rejects, is_late=is_late)

    def _load(self, source: SourceFile, rejects: Rejects, *, is_late: bool) -> Load:
        args, ctx = self.args, self.ctx
        database = database_of(args.resource, ctx, writes=True, makes=args.makes, undoes=needs_undo(args.expect_rows))
        # The name is independent of the run, so that the next run finds a table that a killed load left behind.
        place = f"{ctx.flow_id}/{self.job_id}/{self.id}/{args.table}"
        load_name = hashlib.sha256(place.encode()).hexdigest()[:10]
        job = LoadJob(load_name, database.dialect, ctx.scratch_dir(self.job_id), ctx.log.info)
        request = LoadRequest(
            source=source,
            table=args.table,
            mode=args.mode,
            load_id=self._load_id,
            run_id=ctx.run_id,
            keys=args.keys,
            columns=args.columns,
            load_id_column=args.load_id_column,
            batch_rows=args.batch_rows,
            shape=args.shape,
        )
        return Load(Target(database, job, is_late=is_late), request, rejects)

    @property
    def _load_id(self) -> str:
        return self.args.load_id or self.ctx.work_id

    @property
    def _reject_path(self) -> str:
        return self.args.reject_file or f"{self.id}.rejects.csv"

    def _source(self) -> SourceFile:
        args = self.args
        path = self.ctx.read_path(args.path)
        if not path.is_file():
            raise StepInputError(
                f"there is no file {path}", fix="check path; a relative one is under the job's artifacts"
            )
        packing = args.compression or packing_of(args.path)
        size = path.stat().st_size

        def on_bytes(done: int) -> None:
            self.ctx.progress(done, size, "bytes")
            self.ctx.check_cancelled()

        return SourceFile(path, args.file_format, packing, args.dialect(args.file_format), on_bytes)

    def _on_rows(self, rows: int) -> None:
        if self.args.file_format == "parquet":
            self.ctx.progress(rows, None, "rows")
        self.ctx.check_cancelled()

    def _accept(self, result: LoadResult, rejects: Rejects) -> None:
        args = self.args
        self.ctx.check_cancelled()
        if not is_met(args.expect_rows, result.loaded):
            raise StepError(
                f"{result.loaded} rows would be loaded, but expect_rows is {args.expect_rows}; nothing was changed"
            )
        if not result.loaded and args.empty_means == "fail":
            raise StepError(f"{args.path} holds no row to load; nothing was changed", fix="on_empty: ok accepts that")
        if rejects.found:
            rejects.write(lambda: self.ctx.write_file(self._reject_path))
        if not result.loaded and args.empty_means == "skip":
            raise EmptyError

    def _output(self, result: LoadResult) -> dict[str, Any]:
        return outputs_of(result, self.args.mode, self._load_id, self._reject_file(result))

    def _reject_file(self, result: LoadResult) -> str | None:
        if not result.rejected:
            return None
        path = self.ctx.write_path(self._reject_path)
        if result.before is not None and path.is_file():
            self.ctx.artifact(path)  # written by the attempt that loaded, before the database's commit
        return str(path)
