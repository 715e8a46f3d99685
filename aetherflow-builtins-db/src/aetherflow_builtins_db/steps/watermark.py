"""Incremental reading: the greatest value of a column, stored from one successful run to the next."""

import datetime
import decimal
from collections.abc import Callable
from typing import Any

from pydantic import Field

from aetherflow.core.api import RunContext, StepError, StepInputError, StepInputs
from aetherflow_builtins_db.columns import Column
from aetherflow_builtins_db.contract import Row
from aetherflow_builtins_db.formats.values import json_value, text_value

LEDGER = "db_watermarks"
"""The name of the ledger that holds the watermarks."""
_READERS: dict[str, Callable[[Any], Any]] = {
    "int": int,
    "float": float,
    "text": str,
    "decimal": decimal.Decimal,
    "datetime": datetime.datetime.fromisoformat,
    "date": datetime.date.fromisoformat,
}


class Watermark(StepInputs):
    """The column whose greatest value is stored, and its first value."""

    column: str = Field(min_length=1, description="The column of the result whose greatest value is remembered.")
    initial: str | int | float | datetime.datetime | datetime.date = Field(
        description="The value of `:watermark` as long as no run has succeeded."
    )
    name: str | None = Field(
        None,
        min_length=1,
        description="Under which name it is remembered, of all steps of this flow. Default: `<job>.<step>`.",
    )


class Tracker:
    """The watermark of one step: read before the query, updated with every batch, stored after the query."""

    def __init__(self, wanted: Watermark, ctx: RunContext) -> None:
        self._wanted = wanted
        self._ledger = ctx.ledger(LEDGER)
        self._key = wanted.name or f"{ctx.job_id}.{ctx.step_id}"
        stored = self._ledger.get(self._key)
        self.before: Any = wanted.initial if stored is None else _READERS[stored["kind"]](stored["value"])
        self.value: Any = None
        self._index = 0

    def follow(self, columns: list[Column]) -> Callable[[list[Row]], None]:
        """The function to call with every batch; StepInputError if the result has no such column."""
        names = [column.name for column in columns]
        if self._wanted.column not in names:
            raise StepInputError(
                f"watermark.column names no column of the query: {self._wanted.column}",
                fix=f"its columns are: {', '.join(names)}",
            )
        self._index = names.index(self._wanted.column)
        return self._look

    def _look(self, batch: list[Row]) -> None:
        values = [row[self._index] for row in batch if row[self._index] is not None]
        if not values:
            return
        try:
            greatest = max(values) if self.value is None else max(self.value, *values)
        except TypeError as error:
            raise StepError(
                f"watermark.column {self._wanted.column} has values that do not compare: {error}"
            ) from error
        self.value = greatest

    def put(self) -> None:
        """Store the greatest value; it takes effect when the step has succeeded. Without rows the old value stays."""
        if self.value is not None:
            kind = _kind_of(self.value, self._wanted.column)
            if (after := self._after) is not self.before:
                self._ledger.put(self._key, {"kind": kind, "value": _stored(after)})

    @property
    def outputs(self) -> dict[str, Any]:
        """The step outputs `watermark` (after) and `watermark_before`."""
        return {"watermark": json_value(self._after), "watermark_before": json_value(self.before)}

    @property
    def _after(self) -> Any:
        """The greatest value of all runs: a run that reads with an overlap may find a smaller one than the stored."""
        if self.value is None:
            return self.before
        try:
            return max(self.before, self.value)
        except TypeError:  # the initial value, written as another type
            return self.value


def _kind_of(value: Any, column: str) -> str:
    match value:
        case bool():
            pass
        case int():
            return "int"
        case float():
            return "float"
        case str():
            return "text"
        case decimal.Decimal():
            return "decimal"
        case datetime.datetime():
            return "datetime"
        case datetime.date():
            return "date"
    raise StepError(
        f"watermark.column {column} holds {text_value(value)}, which cannot be remembered",
        fix="use a column of numbers, text, dates or times",
    )


def _stored(value: Any) -> Any:
    return json_value(value)
