from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import Field, model_validator

from aetherflow.core.api import (
    STEP_SKIPPED,
    AssetPath,
    ClaimBusyError,
    DbResource,
    LateDatabase,
    PlainText,
    PlainValue,
    Step,
    StepError,
    StepInputError,
    StepInputs,
    StepOutputs,
    StepResult,
    WritePath,
)
from aetherflow_builtins_db.database import Database
from aetherflow_builtins_db.formats.values import json_value
from aetherflow_builtins_db.loading.table import find_name, place_of
from aetherflow_builtins_db.minimal import lacks_of
from aetherflow_builtins_db.params import translate
from aetherflow_builtins_db.reconciling.compare import Comparison, Reconciled
from aetherflow_builtins_db.reconciling.listing import Listing
from aetherflow_builtins_db.reconciling.pairs import Pair, Told, pair, reader
from aetherflow_builtins_db.reconciling.side import Side
from aetherflow_builtins_db.steps.loading import target_of
from aetherflow_builtins_db.steps.query import database_of, query_source, text_of
from aetherflow_builtins_db.steps.watermark import Tracker, Watermark

if TYPE_CHECKING:
    from aetherflow.core.api import Lack

_STORED = frozenset({"number", "date", "local", "instant"})
"""What is in the same order on all databases, and can be remembered."""
_COMPARED = "column that is compared"


class Inputs(StepInputs):
    """The two sides, and what names a row."""

    resource: DbResource = Field(description="Name of the resource of kind `db` that the rows come from.")
    target: DbResource = Field(description="Name of the resource of kind `db` that is to hold them; may be the same.")
    from_table: PlainText | None = Field(None, min_length=1, description="The table of the source: all its rows.")
    sql: PlainText | None = Field(None, description="Or a query of the source. Values belong in `params`.")
    sql_file: AssetPath | None = Field(None, description="Or a file with the query, relative to the flow file.")
    table: PlainText | None = Field(None, min_length=1, description="The table of the target.")
    target_sql: PlainText | None = Field(
        None, description="Or a query of the target, if its table also holds what the source does not."
    )
    params: dict[str, PlainValue] | None = Field(
        None, description="Values of the `:name` markers in both queries; each must be used, and each marker needs one."
    )
    keys: tuple[PlainText, ...] = Field(description="The columns of the target that name a row. They hold no null.")
    columns: dict[str, PlainText] | None = Field(
        None,
        description="Map of source column to target column, which leaves out the others. Default: all columns of the "
        "source; they have the same names.",
    )
    verified_through: Watermark | None = Field(
        None,
        description="Compare only rows that are new since the last run that found no difference: the column of the "
        "target, of numbers, dates or times, whose greatest value is remembered.",
    )
    on_difference: Literal["fail", "report"] = Field(
        "fail", description="If rows differ: `fail` fails the step, `report` goes on with a warning."
    )
    output: WritePath | None = Field(
        None, description="CSV file for the rows that differ. Default: `<step>.differences.csv`."
    )
    max_listed: int = Field(
        1000, ge=0, le=100_000, description="Most rows that are listed in the file; all are counted."
    )
    fetch_size: int = Field(5000, ge=1, description="Rows fetched at a time.")

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if sum(given is not None for given in (self.from_table, self.sql, self.sql_file)) != 1:
            raise ValueError("give exactly one of from_table, sql and sql_file")
        if (self.table is None) == (self.target_sql is None):
            raise ValueError("give exactly one of table and target_sql")
        if not self.keys:
            raise ValueError("keys lists no column")
        return self


class Outputs(StepOutputs):
    """What was compared, and what differs."""

    equal: bool = Field(description="Whether no row differs.")
    rows: int = Field(description="Rows of the source.")
    row_count: int = Field(description="The same.")
    target_rows: int = Field(description="Rows of the target.")
    missing: int = Field(description="Rows that only the source has.")
    extra: int = Field(description="Rows that only the target has.")
    changed: int = Field(description="Rows of both with values that differ.")
    sums: dict[str, list[Any]] = Field(
        description="For each column of numbers that is no key: its sums in source and target, as text; null for none."
    )
    columns: list[str] = Field(description="Columns of the target that were compared.")
    compared_by: Literal["checksums", "rows"] = Field(
        description="`checksums` that the databases computed, and rows of ranges that differ; or all `rows`, read."
    )
    rows_read: int = Field(description="Rows that were read one by one, of both sides.")
    output: str | None = Field(description="Absolute path of the file with what differs; null if nothing does.")
    receipt: dict[str, list[dict[str, Any]]] = Field(
        default_factory=dict, description="What was `read` and `made`, as `runs show --receipts` shows it."
    )
    verified_through: Any = Field(
        None, description="With `verified_through`: the value up to which no row differs, now and in earlier runs."
    )
    verified_before: Any = Field(None, description="With `verified_through`: the value that was remembered before.")


class DbReconcile(Step[Inputs]):
    """Compares the rows of two tables or queries by their keys, and tells which are missing, extra or changed.

    Where both databases write values in the same way, they compute checksums of ever smaller ranges, and only rows of
    ranges that differ are read; otherwise all are. Values are compared exactly. It only reads.

        - id: arrived
          type: db_reconcile
          inputs:
            resource: shop
            from_table: orders
            target: warehouse
            table: orders
            keys: [order_id]
            verified_through: {column: order_id, initial: 0}
    """

    Outputs = Outputs

    @classmethod
    def lacks(cls, inputs: Mapping[str, Any], connector: type, of: str) -> "Iterable[Lack]":
        """What a connector class lacks for reading."""
        del inputs, of
        return lacks_of(connector)

    def run(self) -> StepResult:
        args, tracker = self.args, None
        output = self.ctx.write_path(args.output or f"{self.id}.differences.csv")
        if args.verified_through is not None:
            try:
                tracker = Tracker(args.verified_through, self.ctx, args.from_table)
            except ClaimBusyError as error:
                if args.verified_through.if_claimed != "skip":
                    raise
                return StepResult(STEP_SKIPPED, self._output(Reconciled(), [], None, None), error.message, "claimed")
        source, target, pairs = self._sides()
        wanted = args.verified_through
        if wanted and tracker and not self._narrow(source, target, pairs, wanted.column, tracker):
            return StepResult(output=self._output(Reconciled(), pairs, tracker, None))
        listing = Listing(args.max_listed, target.names, [target.names[index] for index in target.keys])
        result = Comparison(source, target, pairs, self._on_rows, self.ctx.log.info).run(listing.add)
        path = None
        if not result.equal:
            listing.write(lambda: self.ctx.write_file(output))
            path = str(output)
            self._tell(result, path)
        elif tracker is not None:
            tracker.claim()
        sides = ((source, args.from_table, result.source_rows), (target, args.table, result.target_rows))
        verdict = "equal" if result.equal else "different"
        made = [{"kind": "comparison", "name": verdict, "rows": result.source_rows}]
        sources = []
        for side, table, rows in sides:
            told = query_source(side.resource, side.relation, side.params) | {"rows": rows}
            sources.append(told | {"kind": "table", "name": f"{side.resource}: {side.relation}"} if table else told)
        return StepResult(
            output={**self._output(result, pairs, tracker, path), "receipt": {"read": sources, "made": made}}
        )

    def plan(self) -> list[str]:
        args = self.args
        of_target = f"table {args.table}" if args.table else "the rows of a query"
        what = f"compare {self._what} with {of_target} of resource {args.target}, by {', '.join(args.keys)}"
        for resource in (args.resource, args.target):
            connector = database_of(resource, self.ctx).connector
            if isinstance(connector, LateDatabase) and connector.is_missing():
                return [f"{what}; there is no database of {resource} yet"]
        if args.table is None or self._relation_of(args.target, args.table) is not None:
            self._sides()
            return [what]
        return [f"{what}, which is not there yet"]

    @property
    def _what(self) -> str:
        read = f"table {self.args.from_table}" if self.args.from_table else "the rows of a query"
        return f"{read} of resource {self.args.resource}"

    def _tell(self, result: Reconciled, path: str) -> None:
        """StepError, or a warning, with the numbers of rows that differ."""
        counts = ", ".join(f"{number:,} {found}" for found, number in result.counts.items())
        text = (
            f"{self._what} ({result.source_rows:,} rows) and resource {self.args.target} ({result.target_rows:,} rows) "
            f"differ: {counts}"
        )
        if self.args.on_difference == "fail":
            raise StepError(text, fix=f"they are listed in {path}; on_difference: report goes on")
        self.ctx.log.warning("%s; see %s", text, path)

    # The sides

    def _sides(self) -> tuple[Side, Side, list[Pair]]:
        args = self.args
        sql = None if args.from_table else text_of(args.sql, args.sql_file, self.ctx)
        self._refuse_unused([sql, args.target_sql])
        source = self._side(args.resource, "from_table", args.from_table, sql)
        target = self._side(args.target, "table", args.table, args.target_sql)
        told = [
            {column.name: Told(column, side.database.dialect.name, side.resource) for column in side.columns()}
            for side in (source, target)
        ]
        pairs = [pair(told[0][here], told[1][there]) for here, there in self._names(list(told[0]), list(told[1]))]
        names = [each.name for each in pairs]
        keys = tuple(place_of("keys", name, names, _COMPARED) for name in args.keys)
        for index in keys:
            if pairs[index].meaning == "float":
                raise StepInputError(
                    f"keys: {names[index]} is a float, which names no row exactly", fix="choose other keys"
                )
        texts = frozenset(index for index, each in enumerate(pairs) if each.meaning in {"string", "any"})
        return (
            replace(source, names=tuple(each.source.column.name for each in pairs), keys=keys, texts=texts),
            replace(target, names=tuple(names), keys=keys, texts=texts),
            pairs,
        )

    def _side(self, resource: str, field: str, table: str | None, sql: str | None) -> Side:
        database = database_of(resource, self.ctx)
        if table is None:
            sql = sql or ""
            params = self._params_of(sql, database)
            return Side(database, resource, Side.of_query(sql), params, self.args.fetch_size)
        relation = self._relation_of(resource, table)
        if relation is None:
            raise StepInputError(f"{field}: resource {resource} has no table {table}", fix="check the name")
        return Side(database, resource, relation, {}, self.args.fetch_size)

    def _relation_of(self, resource: str, table: str) -> str | None:
        found = target_of(database_of(resource, self.ctx), self.ctx, self.job_id, self.id, table).look_up(table)
        return found.sql if found else None

    def _params_of(self, sql: str, database: Database) -> dict[str, Any]:
        names = set(translate(sql, str, lexis=database.dialect.lexis)[1])
        return {name: value for name, value in (self.args.params or {}).items() if name in names}

    def _refuse_unused(self, queries: Iterable[str | None]) -> None:
        """StepInputError for a value of `params` that neither query has."""
        names = {name for sql in queries if sql for name in translate(sql, str)[1]}
        unused = [name for name in self.args.params or {} if name not in names]
        if unused:
            raise StepInputError(
                f"params not used by the SQL: {', '.join(unused)}", fix="write :name where the value belongs"
            )

    def _names(self, source: list[str], target: list[str]) -> list[tuple[str, str]]:
        """The names of the compared columns in source and target."""
        wanted = self.args.columns or {name: name for name in source}
        found = []
        for here, there in wanted.items():
            mine, its = find_name(here, source), find_name(there, target)
            if mine is None or its is None:
                side, name, known = ("source", here, source) if mine is None else ("target", there, target)
                raise StepInputError(
                    f"columns: the {side} has no column {name!r}",
                    fix=f"it has: {', '.join(known)}; columns: {{source column: target column}} maps or leaves out",
                )
            found.append((mine, its))
        return found

    def _narrow(self, source: Side, target: Side, pairs: list[Pair], column: str, tracker: Tracker) -> bool:
        """Let both sides have only rows after what is verified, up to the source's last; False if there are none."""
        names = [each.name for each in pairs]
        index = place_of("verified_through.column", column, names, _COMPARED)
        if pairs[index].meaning not in _STORED:
            raise StepInputError(
                f"verified_through.column: {names[index]} holds no numbers, dates or times",
                fix="choose a column of these",
            )
        above = ">=" if tracker.is_stored else ">"  # rows may have come later with the value that was verified
        after = f"{source.quoted(index)} {above} :aetherflow_v"
        ((last,),) = source.read(f"max({source.quoted(index)})", None, f"WHERE {after}", aetherflow_v=tracker.before)
        if last is None:
            return False
        tracker.value = last
        typed = reader(pairs[index].meaning)
        for side, read in ((source, None), (target, typed)):
            name = side.quoted(index)
            side.window = f"{name} {above} :aetherflow_v AND {name} <= :aetherflow_w"
            bounds = (tracker.before, last) if read is None else (read(tracker.before), read(last))
            side.window_params = dict(zip(("aetherflow_v", "aetherflow_w"), bounds, strict=True))
        return True

    _compared = 0

    def _on_rows(self, rows: int) -> None:
        self._compared += rows
        self.ctx.progress(self._compared, None, "rows")
        self.ctx.check_cancelled()

    def _output(
        self, result: Reconciled, pairs: list[Pair], tracker: Tracker | None, path: str | None
    ) -> dict[str, Any]:
        verified = {}
        if tracker is not None:
            told = tracker.outputs
            now = told["watermark"] if result.equal else told["watermark_before"]
            verified = {"verified_through": now, "verified_before": told["watermark_before"]}
        return {
            "equal": result.equal,
            "rows": result.source_rows,
            "row_count": result.source_rows,
            "target_rows": result.target_rows,
            **{str(found): count for found, count in result.counts.items()},
            "sums": {name: [_number(each) for each in both] for name, both in result.sums.items()},
            "columns": [each.name for each in pairs],
            "compared_by": result.how,
            "rows_read": result.read_rows,
            "output": path,
            **verified,
        }


def _number(value: Any) -> Any:
    return None if value is None else str(json_value(value))
