"""The step `db_execute`."""

from typing import Any

from pydantic import Field

from aetherflow.core.api import Step, StepError, StepOutputs
from aetherflow_builtins_db.contract import ScriptResult
from aetherflow_builtins_db.steps.expect import RowRange, is_met
from aetherflow_builtins_db.steps.query import SqlInputs, connector_of, sql_of


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
        if not is_met(expected, changed):
            raise StepError(f"{changed} rows would change, but expect_rows is {expected}; nothing was changed")
