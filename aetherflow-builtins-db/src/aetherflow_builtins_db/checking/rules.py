"""The model of one check, as flows write it."""

from typing import Literal, Self, TypeAlias

from pydantic import Field, model_validator

from aetherflow.core.api import AssetPath, PlainText, PlainValue, StepInputs
from aetherflow_builtins_db.row_range import RowRange

OnFail: TypeAlias = Literal["fail", "warn", "skip"]


class Freshness(StepInputs):
    """How old the newest row may be."""

    column: PlainText = Field(
        description="A column with a date, or a date and time; without a zone it is taken for UTC."
    )
    max_age_seconds: float = Field(gt=0, description="Maximum age of the newest value, in seconds.")


class AcceptedValues(StepInputs):
    """Which values a column may hold."""

    column: PlainText = Field(description="The column.")
    values: tuple[PlainValue, ...] = Field(
        min_length=1, description="The values; null is always accepted, see `not_null`."
    )


class Check(StepInputs):
    """One check: exactly one of row_count, freshness, not_null, unique, accepted_values, sql and sql_file."""

    row_count: int | RowRange | None = Field(None, description="How many rows there must be: a number or `{min, max}`.")
    freshness: Freshness | None = Field(None, description="How old the newest row may be.")
    not_null: tuple[PlainText, ...] | PlainText | None = Field(None, description="Columns that must hold no null.")
    unique: tuple[PlainText, ...] | PlainText | None = Field(
        None, description="Columns whose values together occur only once."
    )
    accepted_values: AcceptedValues | None = Field(None, description="The values that a column may hold.")
    sql: PlainText | None = Field(None, description="A query; each row that it returns is a failure.")
    sql_file: AssetPath | None = Field(None, description="A file with the query, relative to the flow file.")
    params: dict[str, PlainValue] | None = Field(
        None, description="Values of the `:name` markers in `sql` and `where`."
    )
    name: PlainText | None = Field(None, description="Name in outputs and messages. Default: what it checks.")
    table: PlainText | None = Field(None, description="Table to check. Default: the step's `table`.")
    where: PlainText | None = Field(None, description="SQL condition; only rows that meet it are checked.")
    max_failures: int = Field(0, ge=0, description="Number of rows that may fail.")
    on_fail: OnFail | None = Field(None, description="What a failure does. Default: the step's `on_fail`.")

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        kinds = ("row_count", "freshness", "not_null", "unique", "accepted_values", "sql", "sql_file")
        given = [kind for kind in kinds if getattr(self, kind) is not None]
        if len(given) != 1:
            raise ValueError(f"give exactly one of {', '.join(kinds)}")
        if self.where is not None and given[0] in {"sql", "sql_file"}:
            raise ValueError("where is for checks of a table; a query has its own")
        return self
