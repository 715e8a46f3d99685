import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from pydantic import Field

from aetherflow.core.api import STEP_SKIPPED, OutputError, Row, Step, StepOutputs, StepResult
from aetherflow_builtins_db.columns import refuse_duplicates
from aetherflow_builtins_db.formats.values import json_value
from aetherflow_builtins_db.formats.widening import refine
from aetherflow_builtins_db.minimal import lacks_of
from aetherflow_builtins_db.steps.query import QueryInputs, database_of, sql_of

if TYPE_CHECKING:
    from aetherflow.core.api import Difference, Lack


class Inputs(QueryInputs):
    """A query with a small result."""

    max_rows: int = Field(
        50_000, ge=1, description="More rows than this are an error; `db_extract_stream` has no limit."
    )


class Outputs(StepOutputs):
    """The result. In `rows`, decimals are text, dates ISO 8601, bytes base64; NaN and infinity are null."""

    columns: list[str] = Field(description="Names of the columns.")
    rows: list[list[Any]] = Field(description="The rows, each a list.")
    row_count: int = Field(description="Number of rows.")
    first: dict[str, Any] = Field(description="The first row as a map; empty without rows. `{{steps.count.first.n}}`")
    dtypes: dict[str, str] = Field(description="Column to bool, int, float, date, datetime or string.")
    columns_json: str = Field(description="`columns` as JSON text.")
    rows_json: str = Field(description="`rows` as JSON text.")
    dtypes_json: str = Field(description="`dtypes` as JSON text.")


class DbFetchSmall(Step[Inputs]):
    """Reads a small result into the step's outputs, where templates and later steps find it.

    `{{steps.<id>.first.<column>}}` is one value of the first row, `{{steps.<id>.rows}}` all rows.

        - id: count
          type: db_fetch_small
          inputs:
            resource: warehouse
            sql: SELECT count(*) AS n FROM flights WHERE carrier = :carrier
            params: {carrier: UA}
    """

    Outputs = Outputs

    @classmethod
    def differences(cls, inputs: Mapping[str, Any], version: str) -> "Iterable[Difference]":
        """The values in the outputs."""
        from aetherflow_builtins_db.steps.upgrade import differences_of_fetch  # one command needs it

        return differences_of_fetch(inputs) if version.startswith("0") else ()

    @classmethod
    def lacks(cls, inputs: Mapping[str, Any], connector: type, of: str) -> "Iterable[Lack]":
        """What a connector class lacks for reading."""
        del inputs, of
        return lacks_of(connector)

    def run(self) -> StepResult:
        args = self.args
        with database_of(args.resource, self.ctx).stream(
            sql_of(args, self.ctx), args.params, fetch_size=min(args.fetch_size, args.max_rows + 1)
        ) as result:
            columns = list(result.columns)
            refuse_duplicates(columns)
            found: list[Row] = []
            for batch in result.batches():
                found += batch
                if len(found) > args.max_rows:
                    raise OutputError(
                        f"the query returns more than max_rows ({args.max_rows}) rows",
                        fix="use db_extract_stream, which writes any number of rows to a file",
                    )
                self.ctx.check_cancelled()
            exact = result.exact
        for column in columns:
            if column.warning:
                self.ctx.log.warning("column %s %s", column.name, column.warning)
        types = columns if exact else refine(columns, found)
        args.refuse_shortage(len(found))
        names = [column.name for column in columns]
        rows = [[json_value(value) for value in row] for row in found]
        dtypes = {column.name: column.type.simple_name for column in types}
        output = {
            "columns": names,
            "rows": rows,
            "row_count": len(rows),
            "first": dict(zip(names, rows[0], strict=True)) if rows else {},
            "dtypes": dtypes,
            "columns_json": _json(names),
            "rows_json": _json(rows),
            "dtypes_json": _json(dtypes),
        }
        if args.verdict(len(rows)) == "skip":
            return StepResult(STEP_SKIPPED, output, args.shortage(len(rows)))
        return StepResult(output=output)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
