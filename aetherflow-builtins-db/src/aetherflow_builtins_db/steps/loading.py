"""What the steps that load a table share: their inputs, outputs, and what becomes of a load without rows."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from aetherflow.core.api import (
    STEP_SKIPPED,
    LoadJob,
    PlainText,
    RunContext,
    StepError,
    StepInputs,
    StepOutputs,
    StepResult,
    WritePath,
)
from aetherflow_builtins_db.columns import parse_type
from aetherflow_builtins_db.database import Database
from aetherflow_builtins_db.formats.options import ColumnTypes
from aetherflow_builtins_db.loading.batch import RowSource
from aetherflow_builtins_db.loading.job import Load
from aetherflow_builtins_db.loading.making import OnChange, Shape
from aetherflow_builtins_db.loading.rejects import Rejects
from aetherflow_builtins_db.loading.request import BATCH_ROWS, LoadRequest, LoadResult, Mode
from aetherflow_builtins_db.loading.table import loaded_name
from aetherflow_builtins_db.loading.target import Target
from aetherflow_builtins_db.row_range import RowRange, is_met
from aetherflow_builtins_db.steps.query import OnEmpty


class TableInputs(StepInputs):
    """A table, and how it is loaded."""

    table: PlainText = Field(
        min_length=1,
        description='The table: `table`, `schema.table`, or `"My Schema"."My Table"`. It must exist unless `create` '
        "makes it.",
    )
    mode: Mode = Field(
        "append",
        description="`append` adds the rows. `truncate` empties the table first, in the same transaction. `replace` "
        "fills a new table and exchanges it for the old one. `merge` updates the rows whose `keys` exist and inserts "
        "the others.",
    )
    keys: tuple[PlainText, ...] = Field(
        (),
        description="For `merge`: the columns of the table that identify a row. With `create`: its primary key.",
    )
    columns: dict[str, PlainText] | tuple[PlainText, ...] | None = Field(
        None,
        description="Target columns: a map of file column (or column of the query) to table column, which leaves out "
        "the others; or a list of table columns for the fields in their order. Default: they have the same names.",
    )
    create: Literal["never", "if_missing"] = Field(
        "never",
        description="`if_missing` makes the table, with the columns and types of what is loaded, in the same "
        "transaction; `keys` become its primary key.",
    )
    on_schema_change: OnChange = Field(
        "fail",
        description="If what is loaded does not fit the table: `fail`; `add_columns` adds the columns that the table "
        "lacks; `widen` does that, and gives columns the wider types that the values need.",
    )
    types: ColumnTypes = Field(
        default_factory=dict,
        description="For columns that are made: column to type: bool, int, float, decimal(p,s), string, bytes, date, "
        "datetime, datetime(utc), time. Default: the type that Parquet tells, else that of all values.",
    )
    not_null: tuple[PlainText, ...] = Field((), description="For a table that is made: its columns that take no null.")
    comments: dict[str, PlainText] = Field(
        default_factory=dict, description="For a table that is made: the comments of its columns."
    )
    load_id_column: PlainText | None = Field(
        None,
        description="For `append`: a text column of the table for the load's id, so that a repeated load deletes its "
        "own rows first.",
    )
    load_id: PlainText | None = Field(
        None,
        min_length=1,
        max_length=600,
        description="Identifies this load in the database. Default: flow, job, step and the run's slot; without a "
        "slot, the run's id.",
    )
    max_rejects: int = Field(
        0, ge=0, description="Number of rows that may be left out because they do not fit; one more fails the load."
    )
    reject_file: WritePath | None = Field(
        None,
        description="CSV file for the rows that were left out: line, column, reason, record. "
        "Default: `<step>.rejects.csv`.",
    )
    expect_rows: int | RowRange | None = Field(
        None, description="How many rows must be loaded: a number, or `{min, max}`. Otherwise nothing is changed."
    )
    on_empty: OnEmpty | None = Field(
        None,
        description="If no row is loaded: `skip` changes nothing and ends the step as SKIPPED, `fail` changes nothing "
        "and fails it, `ok` goes on. Default: `fail` for `truncate` and `replace`; for `append` and `merge` a warning, "
        "from version 1.2 on `fail`.",
    )

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        makes = self.creates
        if self.mode == "merge" and not self.keys:
            raise ValueError("mode merge needs keys")
        if self.keys and self.mode != "merge" and not makes:
            raise ValueError("keys are for mode merge, and for create: if_missing")
        if self.load_id_column is not None and self.mode != "append":
            raise ValueError("load_id_column is for mode append; the other modes can be repeated anyway")
        if self.types and not makes and self.on_schema_change == "fail":
            raise ValueError("types are for columns that are made: add create: if_missing or on_schema_change: widen")
        if (self.not_null or self.comments) and not makes:
            raise ValueError("not_null and comments are for a table that is made: add create: if_missing")
        self._name_loaded_columns()
        return self

    def _name_loaded_columns(self) -> None:
        """StepInputError for a name of no column, if `columns` says which are loaded."""
        if self.columns is None or not self.columns:
            return
        loaded = list(self.columns.values() if isinstance(self.columns, dict) else self.columns)
        given = {"keys": self.keys, "types": self.types, "not_null": self.not_null, "comments": self.comments}
        for field, names in given.items():
            for name in names:
                if "{{" not in "".join([name, *loaded]):  # as long as it is not rendered
                    loaded_name(field, name, loaded)

    @property
    def creates(self) -> bool:
        """Whether the table may be made."""
        return self.create != "never"

    @property
    def makes(self) -> bool:
        """Whether a table or columns may be made."""
        return self.creates or self.on_schema_change != "fail"

    def request(self, source: RowSource, load_id: str, run_id: str, batch_rows: int = BATCH_ROWS) -> LoadRequest:
        """The load that is asked for."""
        shape = Shape(
            create=self.creates,
            on_change=self.on_schema_change,
            types={name: parse_type(kind) for name, kind in self.types.items()},
            not_null=self.not_null,
            comments=self.comments,
        )
        return LoadRequest(
            source=source,
            table=self.table,
            mode=self.mode,
            load_id=load_id,
            run_id=run_id,
            keys=self.keys,
            columns=self.columns,
            load_id_column=self.load_id_column,
            batch_rows=batch_rows,
            shape=shape,
        )

    @property
    def empty_means(self) -> OnEmpty:
        """What happens if no row is loaded: `on_empty`, or its default for the mode."""
        return self.on_empty or ("fail" if self.mode in {"truncate", "replace"} else "ok")


class Outputs(StepOutputs):
    """The result of the load."""

    table: str = Field(description="The table as the database knows it.")
    receipt: dict[str, list[dict[str, Any]]] = Field(
        default_factory=dict, description="What was `read` and `made`, as `runs show --receipts` shows it."
    )
    mode: str = Field(description="How it was loaded.")
    rows: int = Field(description="Rows loaded.")
    row_count: int = Field(description="The same.")
    inserted: int = Field(description="Rows that were inserted.")
    updated: int = Field(description="Rows that existed and were updated; always 0 except for `merge`.")
    deleted: int | None = Field(description="Rows that were deleted first; null if their number is not known.")
    created: bool = Field(False, description="Whether the table was made by this load.")
    rejected: int = Field(description="Rows left out.")
    reject_file: str | None = Field(description="Absolute path of the file with them; null if there are none.")
    load_id: str = Field(description="The id of this load in the database.")
    already_loaded: bool = Field(
        description="Whether an earlier attempt had done this load, so that nothing was done now."
    )


def makes_in(inputs: Mapping[str, Any]) -> bool:
    """Whether a step with these raw inputs makes a table or columns."""
    return inputs.get("create") == "if_missing" or inputs.get("on_schema_change") in {"add_columns", "widen"}


class _EmptyError(Exception):
    """Rolls back a load without rows whose step is to be skipped."""


def target_of(
    database: Database, ctx: RunContext, job_id: str, step_id: str, table: str, *, is_late: bool = False
) -> Target:
    """The database as the target of this step's load; `is_late`: it does not exist yet."""
    # The name is independent of the run, so that the next run finds a table that a killed load left behind.
    place = f"{ctx.flow_id}/{job_id}/{step_id}/{table}"
    name = hashlib.sha256(place.encode()).hexdigest()[:10]
    job = LoadJob(name, database.dialect, ctx.scratch_dir(job_id), ctx.log.info, run_id=ctx.run_id)
    return Target(database, job, is_late=is_late)


@dataclass(frozen=True)
class Ending:
    """What becomes of a load: whether its rows are accepted, what is rejected, the outputs."""

    args: TableInputs
    ctx: RunContext
    step_id: str
    what: str
    """What is loaded, for messages."""
    load_id: str
    resource: str

    def run(self, load: Load, on_rows: Callable[[int], None]) -> StepResult:
        """Load; the result of the step."""
        args, rejects = self.args, load.rejects
        self.ctx.write_path(self._reject_path)  # a place that is refused is reported before the load
        try:
            result = load.run(lambda done: self._accept(done, rejects), on_rows)
        except _EmptyError:
            empty = LoadResult(load.table.sql, rejected=len(rejects.found))
            return StepResult(STEP_SKIPPED, self.output(empty), "row_count(0) < min_rows(1)")
        except StepError:
            if rejects.found and args.max_rejects:
                rejects.write(lambda: self.ctx.write_file(self._reject_path))
            raise
        if not result.loaded and args.on_empty is None and args.empty_means == "ok":
            later = "from version 1.2 on this fails: set on_empty to ok, skip or fail"
            self.ctx.log.warning("no row in %s; %s", self.what, later)
        return StepResult(output=self.output(result))

    @property
    def _reject_path(self) -> str:
        return self.args.reject_file or f"{self.step_id}.rejects.csv"

    def _accept(self, result: LoadResult, rejects: Rejects) -> None:
        args = self.args
        self.ctx.check_cancelled()
        if not is_met(args.expect_rows, result.loaded):
            raise StepError(
                f"{result.loaded} rows would be loaded, but expect_rows is {args.expect_rows}; nothing was changed"
            )
        if not result.loaded and args.empty_means == "fail":
            raise StepError(f"{self.what} holds no row to load; nothing was changed", fix="on_empty: ok accepts that")
        if rejects.found:
            rejects.write(lambda: self.ctx.write_file(self._reject_path))
        if not result.loaded and args.empty_means == "skip":
            raise _EmptyError

    def output(self, result: LoadResult) -> dict[str, Any]:
        return {
            "table": result.table,
            "mode": self.args.mode,
            "rows": result.loaded,
            "row_count": result.loaded,
            "inserted": result.inserted,
            "updated": result.updated,
            "deleted": result.deleted,
            "created": result.created,
            "rejected": result.rejected,
            "reject_file": self._reject_file(result),
            "load_id": self.load_id,
            "already_loaded": result.before is not None,
        }

    def with_receipt(self, result: StepResult, read: Mapping[str, Any]) -> StepResult:
        """The result of the step with its receipt: what it read, and the table."""
        output = result.output or {}
        name = f"{self.resource}: {output['table']}"
        made = {"kind": "table", "name": name, "rows": output["rows"], "id": self.load_id}
        receipt = {"read": [{**read, "rows": output["rows"] + output["rejected"]}], "made": [made]}
        return StepResult(result.status, {**output, "receipt": receipt}, result.reason)

    def _reject_file(self, result: LoadResult) -> str | None:
        if not result.rejected:
            return None
        path = self.ctx.write_path(self._reject_path)
        if result.before is not None and path.is_file():
            self.ctx.artifact(path)  # written by the attempt that loaded, before the database's commit
        return str(path)
