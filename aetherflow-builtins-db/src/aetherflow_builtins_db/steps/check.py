"""The step `db_check`."""

from typing import Any, Literal, Self, TypeAlias, cast

from pydantic import Field, model_validator

from aetherflow.core.api import (
    STEP_SKIPPED,
    DbResource,
    Step,
    StepError,
    StepInputs,
    StepOutputs,
    StepResult,
)
from aetherflow_builtins_db.checking import Checker, Finding
from aetherflow_builtins_db.contract import SqlConnector
from aetherflow_builtins_db.loading.servers import server_of
from aetherflow_builtins_db.steps.expect import RowRange

OnFail: TypeAlias = Literal["fail", "warn", "skip"]


class Freshness(StepInputs):
    """How old the newest row may be."""

    column: str = Field(description="A column with a date, or a date and time; without a zone it is taken for UTC.")
    max_age_seconds: float = Field(gt=0, description="The newest value may be so old.")


class AcceptedValues(StepInputs):
    """Which values a column may hold."""

    column: str = Field(description="The column.")
    values: tuple[Any, ...] = Field(min_length=1, description="The values; null is always accepted, see `not_null`.")


class Check(StepInputs):
    """One check: exactly one of row_count, freshness, not_null, unique, accepted_values, sql and sql_file."""

    row_count: int | RowRange | None = Field(None, description="How many rows there must be: a number or `{min, max}`.")
    freshness: Freshness | None = Field(None, description="How old the newest row may be.")
    not_null: tuple[str, ...] | str | None = Field(None, description="Columns that must hold no null.")
    unique: tuple[str, ...] | str | None = Field(None, description="Columns that together are different in every row.")
    accepted_values: AcceptedValues | None = Field(None, description="The values that a column may hold.")
    sql: str | None = Field(None, description="A query; each row that it returns is a failure.")
    sql_file: str | None = Field(None, description="A file with the query, relative to the flow file.")
    params: dict[str, Any] | None = Field(None, description="Values of the `:name` markers in `sql` and `where`.")
    name: str | None = Field(None, description="How outputs and messages call it. Default: what it checks.")
    table: str | None = Field(None, description="Another table than the step's.")
    where: str | None = Field(None, description="Look only at rows for which this SQL condition holds.")
    max_failures: int = Field(0, ge=0, description="So many rows may fail.")
    on_fail: OnFail | None = Field(None, description="Another answer than the step's `on_fail`.")

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        kinds = ("row_count", "freshness", "not_null", "unique", "accepted_values", "sql", "sql_file")
        given = [kind for kind in kinds if getattr(self, kind) is not None]
        if len(given) != 1:
            raise ValueError(f"give exactly one of {', '.join(kinds)}")
        if self.where is not None and given[0] in {"sql", "sql_file"}:
            raise ValueError("where is for checks of a table; a query has its own")
        return self


class Inputs(StepInputs):
    """Checks of one database."""

    resource: DbResource = Field(description="Name of a resource of kind `db`.")
    table: str | None = Field(None, description="The table that is checked; a check may name another one.")
    checks: tuple[Check, ...] = Field(description="The checks; all of them run, whatever they find.")
    on_fail: OnFail = Field(
        "fail",
        description="If a check finds something: `fail` fails the step, `warn` writes a warning to the log, `skip` "
        "ends the step as SKIPPED.",
    )

    @model_validator(mode="after")
    def _something_to_check(self) -> Self:
        # Not by min_length: of a list whose one item is wrong it would be said that it is empty.
        if not self.checks:
            raise ValueError("checks lists no check")
        for number, check in enumerate(self.checks, 1):
            if check.sql is None and check.sql_file is None and self.table is None and check.table is None:
                raise ValueError(f"checks.{number - 1}: no table is given, neither here nor for the step")
        return self


class Outputs(StepOutputs):
    """What was found."""

    passed: int = Field(description="Checks that found nothing.")
    warned: int = Field(description="Checks that found something and say `warn`.")
    skipped: int = Field(description="Checks that found something and say `skip`.")
    failed: int = Field(description="Checks that found something and say `fail`; the step fails then.")
    checks: list[dict[str, Any]] = Field(
        description="Of each check: name, kind, table, passed, value (what was found), expected, failures (rows that "
        "fail), sample (the first five), on_fail."
    )


class DbCheck(Step[Inputs]):
    """Checks data in a database: number of rows, age, nulls, doubles, values, and queries whose rows are failures.

    All checks run, whatever they find; then the step fails, warns or is skipped, as each check says.

        - id: quality
          type: db_check
          inputs:
            resource: warehouse
            table: sales
            checks:
              - {row_count: {min: 1}}
              - {not_null: [order_id, amount]}
              - {unique: order_id}
              - {accepted_values: {column: currency, values: [EUR, USD]}, on_fail: warn}
              - {name: no_refund_without_sale, sql: SELECT order_id FROM sales WHERE amount < 0}
    """

    Outputs = Outputs

    def run(self) -> StepResult:
        """Run all checks."""
        connector = cast(SqlConnector, self.ctx.connectors.db(self.args.resource))
        checker = Checker(server_of(connector, "check", self.ctx.scratch_dir(self.job_id)), self.ctx)
        findings: dict[str, list[Finding]] = {"pass": [], "fail": [], "warn": [], "skip": []}
        listed = []
        for number, check in enumerate(self.args.checks, 1):
            self.ctx.check_cancelled()
            self.ctx.progress(number - 1, len(self.args.checks), "checks")
            finding = checker.look(check, self.args.table)
            on_fail = check.on_fail or self.args.on_fail
            findings["pass" if finding.passed else on_fail].append(finding)
            listed.append({**finding.as_output(), "on_fail": on_fail})
            if not finding.passed and on_fail == "warn":
                self.ctx.log.warning("check %s: %s", finding.name, finding.message)
        if failed := findings["fail"]:
            texts = "; ".join(f"{finding.name}: {finding.message}" for finding in failed)
            raise StepError(f"{len(failed)} of {len(listed)} checks failed: {texts}")
        output = {
            "passed": len(findings["pass"]),
            "warned": len(findings["warn"]),
            "skipped": len(findings["skip"]),
            "failed": 0,
            "checks": listed,
        }
        if skipped := findings["skip"]:
            reason = "; ".join(f"{finding.name}: {finding.message}" for finding in skipped)
            return StepResult(STEP_SKIPPED, output, reason)
        return StepResult(output=output)
