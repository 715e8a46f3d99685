"""The step `db_execute`."""

from typing import Any, Self

from pydantic import Field, model_validator

from aetherflow.core.api import Step, StepError, StepInputs, StepOutputs
from aetherflow_builtins_db.contract import ScriptResult
from aetherflow_builtins_db.steps.query import SqlInputs, connector_of, sql_of


class RowRange(StepInputs):
    """How many rows a script may change."""

    min: int | None = Field(None, ge=0, description="At least so many.")
    max: int | None = Field(None, ge=0, description="At most so many.")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError("min is above max")
        return self


class Inputs(SqlInputs):
    """SQL that changes something."""

    expect_rows: int | RowRange | None = Field(
        None,
        description="How many rows must change: a number, or `{min, max}`. If not so many would, nothing is changed.",
    )


class Outputs(StepOutputs):
    """What was done."""

    statements: int = Field(description="Number of statements that ran.")
    affected_rows: int | None = Field(description="Rows changed by all of them together; null if none changes rows.")


class DbExecute(Step[Inputs]):
    """Runs SQL that changes data: one statement, or a script of several in one transaction.

    If anything fails, or `expect_rows` is not met, everything is as before. BEGIN and COMMIT do not belong into the
    script. The step may run again after a crash, even if the database had already committed: write it so that a
    second run does no harm (CREATE TABLE IF NOT EXISTS, INSERT … ON CONFLICT, DELETE before INSERT).

        - id: load
          type: db_execute
          inputs:
            resource: warehouse
            sql: |
              DELETE FROM sales WHERE day = :day;
              INSERT INTO sales SELECT * FROM staging WHERE day = :day;
            params: {day: "2026-11-01"}
            expect_rows: {min: 1}
    """

    Outputs = Outputs

    def run(self) -> dict[str, Any]:
        """Run the script."""
        sql = sql_of(self.args, self.ctx)
        check = None if self.args.expect_rows is None else self._check
        result = connector_of(self.args, self.ctx).script(sql, self.args.params, before_commit=check)
        return {"statements": len(result.affected), "affected_rows": result.affected_rows}

    def _check(self, result: ScriptResult) -> None:
        expected, changed = self.args.expect_rows, result.affected_rows or 0
        if isinstance(expected, RowRange):
            low, high = expected.min or 0, expected.max
            wanted = f"{low} or more" if high is None else f"{low} to {high}"
        else:
            low, high = expected or 0, expected
            wanted = str(expected)
        if changed < low or (high is not None and changed > high):
            raise StepError(f"{changed} rows would change, but expect_rows is {wanted}; nothing was changed")
