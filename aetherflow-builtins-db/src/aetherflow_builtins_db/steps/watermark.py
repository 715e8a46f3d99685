"""Incremental reading: the greatest value of a column, remembered from one successful run to the next.

A step claims the new value; it becomes final with the run. What runs that did not end well have read is read again.
"""

import datetime
import decimal
import hashlib
import json
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Literal

from pydantic import Field

from aetherflow.core.api import (
    Claim,
    ClaimBusyError,
    Column,
    PlainText,
    Row,
    RunContext,
    StepError,
    StepInputError,
    StepInputs,
)
from aetherflow_builtins_db.formats.values import json_value, text_value
from aetherflow_builtins_db.loading.table import find_name
from aetherflow_builtins_db.steps.last_rows import LastRows, Use

LEDGER = "db_watermarks"
"""The name of the ledger that holds them."""
POLL_SECONDS = 1.0
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

    column: PlainText = Field(min_length=1, description="The column of the result whose greatest value is remembered.")
    initial: PlainText | int | float | datetime.datetime | datetime.date = Field(
        description="The value of `:watermark` as long as no run has succeeded."
    )
    name: PlainText | None = Field(
        None,
        min_length=1,
        description="Under which name it is remembered, of all steps of this flow. Default: `<job>.<step>`, with "
        "`from_table` also `.<table>`.",
    )
    if_claimed: Literal["fail", "wait", "skip"] = Field(
        "fail",
        description="Another run has moved it and has not ended: `fail`, `wait` for its end, or `skip` the step.",
    )


class RowWatermark(Watermark):
    """A watermark that can remember which rows have its value."""

    keys: tuple[PlainText, ...] = Field(
        (),
        description="Columns of the result that identify a row. The rows that have the remembered value are remembered "
        "by them and not given again, so that a query with `>= :watermark` gets late rows of that value once.",
    )


class Tracker:
    """The watermark of one step: read before, followed during, claimed after the query."""

    def __init__(self, wanted: Watermark, ctx: RunContext, table: str | None = None, use: Use | None = None) -> None:
        """ClaimBusyError if another run is at it and the step is not to wait. `table` has a watermark of its own.

        With `use` the rows of the value are remembered.
        """
        self._wanted = wanted
        self._ctx = ctx
        self._ledger = ctx.ledger(LEDGER)
        self._key = wanted.name or ".".join(filter(None, (ctx.job_id, ctx.step_id, table)))
        unfinished = self._wait_until_free()
        stored = self._ledger.get(self._key)
        self.before: Any = wanted.initial if stored is None else _READERS[stored["kind"]](stored["value"])
        self._stored = stored
        self.is_stored = stored is not None
        """Whether a run has succeeded; else `before` is the initial value."""
        keys = wanted.keys if isinstance(wanted, RowWatermark) else ()
        self._rows = None if use is None else LastRows(use, keys, stored)
        self.value: Any = None
        self._claim: Claim | None = None
        if unfinished is not None:
            ctx.log.info("read again from %s: run %s did not finish", text_value(self.before), unfinished.run_id)

    def _wait_until_free(self) -> Claim | None:
        """The claim of a run that ended badly, if there is one."""
        told = False
        while (claim := self._ledger.open_claims(self._key).get(self._key)) is not None and claim.alive:
            if self._wanted.if_claimed != "wait":
                raise ClaimBusyError(
                    f"run {claim.run_id} has moved the watermark {self._key} and has not ended",
                    run_id=claim.run_id,
                    fix="watermark.if_claimed: wait or skip",
                )
            if not told:
                self._ctx.log.info("waiting for run %s, which has moved the watermark %s", claim.run_id, self._key)
            told = True
            until = time.monotonic() + POLL_SECONDS
            while (left := until - time.monotonic()) > 0:
                self._ctx.check_cancelled()
                time.sleep(min(left, 0.1))
        return claim

    def follow(self, columns: list[Column]) -> Callable[[Iterable[list[Row]]], Iterator[list[Row]]]:
        """The function that passes the batches of the query through, without the rows that were given before.

        StepInputError if the result has no such column.
        """
        names = [column.name for column in columns]
        found = find_name(self._wanted.column, names)
        if found is None:
            raise StepInputError(
                f"watermark.column names no column of the query: {self._wanted.column}",
                fix=f"its columns are: {', '.join(names)}",
            )
        index = names.index(found)
        self.value = None
        if self._rows is not None:
            self._rows.open(names)
        return lambda batches: self._passed(batches, index)

    def _passed(self, batches: Iterable[list[Row]], index: int) -> Iterator[list[Row]]:
        rows = self._rows
        for batch in batches:
            new = batch if rows is None else rows.new_of(batch, index, self.before)
            last = self.value
            self._look(new, index)
            if rows is not None:
                rows.add(new, index, self.value, is_greater=self.value != last)
            if new:
                yield new
        self._entry()  # a StepError now undoes the load

    def _look(self, batch: list[Row], index: int) -> None:
        values = [row[index] for row in batch if row[index] is not None]
        if not values:
            return
        try:
            greatest = max(values) if self.value is None else max(self.value, *values)
        except TypeError as error:
            raise StepError(
                f"watermark.column {self._wanted.column} has values that do not compare: {error}"
            ) from error
        self.value = greatest

    def claim(self) -> None:
        """Claim the greatest value and its rows; it counts once the run has succeeded. Without rows the old one stays.

        ClaimBusyError if another run was faster: it has the same rows.
        """
        if (entry := self._entry()) is not None:
            self._claim = self._ledger.claim(self._key, entry)

    def _entry(self) -> dict[str, Any] | None:
        """What the ledger is to hold; None if that is what it holds already."""
        after = self._after
        is_same = after is self.before
        if is_same and not self.is_stored and (self._rows is None or self.value != self.before):
            return None
        rows = None
        if self._rows is not None:
            rows = self._rows.stored(same_value=is_same, found=self.value == after)
        entry = {"kind": _kind_of(after, self._wanted.column), "value": json_value(after)}
        if rows is not None:
            entry["rows"] = rows
        return None if is_same and rows == (self._stored or {}).get("rows") else entry

    @property
    def outputs(self) -> dict[str, Any]:
        """What templates may read: the value before and after, and what names the rows between in every run."""
        rows = [] if self._rows is None else self._rows.identity
        start = json.dumps([self._ctx.flow_id, LEDGER, self._key, json_value(self.before), *rows])
        return {
            "watermark": json_value(self._after),
            "watermark_before": json_value(self.before),
            "claim": hashlib.sha256(start.encode()).hexdigest()[:32],
            "taken_over_from": self._claim.taken_from if self._claim else None,
        }

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
