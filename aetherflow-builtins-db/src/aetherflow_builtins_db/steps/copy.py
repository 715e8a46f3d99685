from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self

from pydantic import Field, model_validator

from aetherflow.core.api import (
    STEP_SKIPPED,
    AssetPath,
    ClaimBusyError,
    DbResource,
    LateDatabase,
    PlainText,
    PlainValue,
    SqlTable,
    Step,
    StepInputError,
    StepResult,
)
from aetherflow_builtins_db.database import Database
from aetherflow_builtins_db.loading.job import Load
from aetherflow_builtins_db.loading.query_rows import QueryRows
from aetherflow_builtins_db.loading.rejects import Rejects
from aetherflow_builtins_db.loading.request import LoadResult
from aetherflow_builtins_db.loading.table import place_of
from aetherflow_builtins_db.loading.target import Target
from aetherflow_builtins_db.minimal import lacks_of, needs_undo
from aetherflow_builtins_db.steps.loading import Ending, Outputs, TableInputs, makes_in, target_of
from aetherflow_builtins_db.steps.query import database_of, query_source, text_of
from aetherflow_builtins_db.steps.watermark import RowWatermark, Tracker

if TYPE_CHECKING:
    from aetherflow.core.api import Lack
    from aetherflow_builtins_db.steps.last_rows import Use


class Inputs(TableInputs):
    """What is read, and the table for its rows."""

    resource: DbResource = Field(description="Name of the resource of kind `db` that is read.")
    target: DbResource = Field(description="Name of the resource of kind `db` whose table is loaded; may be the same.")
    from_table: PlainText | None = Field(None, min_length=1, description="The table to copy: all its rows and columns.")
    sql: PlainText | None = Field(None, description="Or the query whose rows are copied. Values belong in `params`.")
    sql_file: AssetPath | None = Field(None, description="Or a file with the query, relative to the flow file.")
    params: dict[str, PlainValue] | None = Field(
        None, description="Values of the `:name` markers in the query; each must be used, and each marker needs one."
    )
    watermark: RowWatermark | None = Field(
        None,
        description="Copy only new rows: the query gets the greatest value of all successful runs as `:watermark`; of "
        "a table those rows are copied that have a greater value, or that came later with the same. For mode `merge`, "
        "or `append` with `load_id_column`.",
    )
    fetch_size: int = Field(5000, ge=1, description="Rows fetched at a time.")

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if sum(given is not None for given in (self.from_table, self.sql, self.sql_file)) != 1:
            raise ValueError("give exactly one of from_table, sql and sql_file")
        if self.from_table is not None and self.params:
            raise ValueError("params are for a query: give sql or sql_file")
        if self.watermark is not None:
            if "watermark" in (self.params or {}):
                raise ValueError("params.watermark and watermark are both given; the step sets :watermark itself")
            if self.mode != "merge" and self.load_id_column is None:
                # What a killed run has copied is read again, and there may be more of it.
                raise ValueError("watermark needs mode merge, or append with load_id_column")
        return self


class CopyOutputs(Outputs):
    """The result of the copy."""

    watermark: Any = Field(None, description="With `watermark`: the greatest value of this and all earlier runs.")
    watermark_before: Any = Field(None, description="With `watermark`: the value that `:watermark` had.")
    claim: str | None = Field(None, description="With `watermark`: names the rows after `watermark_before`.")
    taken_over_from: str | None = Field(
        None, description="With `watermark`: the run that had read them before, and did not finish."
    )


class DbCopy(Step[Inputs]):
    """Copies a table, or the rows of a query, into a table of the same or another database, without a file between.

    The copy takes effect completely or not at all, and can be repeated without duplicating rows, as a load by
    `db_load`. Between databases of PostgreSQL the rows go from COPY to COPY.

        - id: copy
          type: db_copy
          inputs:
            resource: shop
            from_table: orders
            target: warehouse
            table: orders
            create: if_missing
            mode: merge
            keys: [order_id]
    """

    Outputs = CopyOutputs
    _read: dict[str, Any]

    @classmethod
    def lacks(cls, inputs: Mapping[str, Any], connector: type, of: str) -> "Iterable[Lack]":
        """What a connector class lacks for reading, or for being loaded."""
        if of != "target":
            return lacks_of(connector)
        return lacks_of(connector, writes=True, makes=makes_in(inputs), undoes=needs_undo(inputs.get("expect_rows")))

    def run(self) -> StepResult:
        args, tracker = self.args, None
        if args.watermark is not None:
            try:
                tracker = Tracker(args.watermark, self.ctx, args.from_table, self._use_of(args.watermark))
            except ClaimBusyError as error:
                if args.watermark.if_claimed != "skip":
                    raise
                empty = self._ending(None).output(LoadResult(args.table))
                return StepResult(STEP_SKIPPED, empty, error.message, "claimed")
        with self._loading(tracker) as load:
            ending = self._ending(tracker)
            result = ending.with_receipt(ending.run(load, self._on_rows), self._read)
        if tracker is None:
            return result
        tracker.claim()
        return StepResult(result.status, {**(result.output or {}), **tracker.outputs}, result.reason)

    def plan(self) -> list[str]:
        args = self.args
        of = f" of resource {args.target}"
        for resource in (args.resource, args.target):
            connector = database_of(resource, self.ctx).connector
            late = isinstance(connector, LateDatabase) and connector.is_missing()
            if late and (resource == args.resource or not args.creates):
                return [f"{args.mode} {self._what} into {args.table}{of}; there is no database of {resource} yet"]
        with self._loading(None, is_late=late) as load:
            return load.effects(self._what, of)

    @property
    def _what(self) -> str:
        read = f"table {self.args.from_table}" if self.args.from_table else "the rows of a query"
        return f"{read} of resource {self.args.resource}"

    @contextmanager
    def _loading(self, tracker: Tracker | None, *, is_late: bool = False) -> Iterator[Load]:
        args, ctx = self.args, self.ctx
        database = database_of(args.target, ctx, writes=True, makes=args.makes, undoes=needs_undo(args.expect_rows))
        request = args.request(self._source(tracker), self._ending(tracker).load_id, ctx.run_id)
        target = target_of(database, ctx, self.job_id, self.id, args.table, is_late=is_late)
        self._refuse_itself(target)
        yield Load(target, request, Rejects(args.max_rejects, "row"))

    def _refuse_itself(self, target: Target) -> None:
        """StepInputError for a copy of a table into itself: a mode that empties it would wait for the reading end."""
        args = self.args
        if args.from_table is None or args.resource != args.target:
            return
        read, loaded = target.look_up(args.from_table), target.look_up(args.table)
        if read is not None and loaded is not None and read.sql == loaded.sql:
            raise StepInputError(
                f"{read.sql} would be copied into itself", fix="name another table, or change it by db_execute"
            )

    def _source(self, tracker: Tracker | None) -> QueryRows:
        args = self.args
        database, params = database_of(args.resource, self.ctx), args.params
        sql, found = text_of(args.sql, args.sql_file, self.ctx), None
        if args.from_table is not None:
            found = target_of(database, self.ctx, self.job_id, self.id, args.from_table).look_up(args.from_table)
            if found is None:
                raise StepInputError(
                    f"from_table: resource {args.resource} has no table {args.from_table}",
                    fix="check the name; sql reads what is no table",
                )
            sql = f"SELECT * FROM {found.sql}{self._newer(database, found, tracker)}"  # noqa: S608 - names of the catalogue
        if args.watermark is not None:
            params = {**(params or {}), "watermark": tracker.before if tracker else args.watermark.initial}
        self._read = query_source(args.resource, sql, params)
        if found is not None:
            self._read |= {"kind": "table", "name": f"{args.resource}: {found.sql}"}
        return QueryRows(database, sql, params, args.fetch_size, tracker.follow if tracker else None)

    def _use_of(self, watermark: RowWatermark) -> "Use | None":
        """For what rows of the watermark's value are remembered: a query that names no keys decides by itself."""
        if self.args.from_table is None and not watermark.keys:
            return None
        return "merge" if self.args.mode == "merge" else "append" if self.args.from_table else "keys"

    def _newer(self, database: Database, table: SqlTable, tracker: Tracker | None) -> str:
        """The condition for rows of a table at and above the watermark; none without one.

        Above only, as long as no run has remembered any: the initial value names no row.
        """
        if self.args.watermark is None:
            return ""
        names = [column.name for column in table.columns]
        column = names[place_of("watermark.column", self.args.watermark.column, names, "column of the table")]
        return f" WHERE {database.quote(column)} {'>=' if tracker and tracker.is_stored else '>'} :watermark"

    def _ending(self, tracker: Tracker | None) -> Ending:
        usual = tracker.outputs["claim"] if tracker else self.ctx.work_id
        args = self.args
        return Ending(args, self.ctx, self.id, self._what, args.load_id or usual, args.target)

    def _on_rows(self, rows: int) -> None:
        self.ctx.progress(rows, None, "rows")
        self.ctx.check_cancelled()
