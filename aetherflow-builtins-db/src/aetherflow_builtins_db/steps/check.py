from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Self

from pydantic import Field, model_validator

from aetherflow.core.api import (
    STEP_SKIPPED,
    DbResource,
    LoadJob,
    PlainText,
    Step,
    StepError,
    StepInputs,
    StepOutputs,
    StepResult,
)
from aetherflow_builtins_db.checking.checker import Checker, Finding
from aetherflow_builtins_db.checking.rules import Check, OnFail
from aetherflow_builtins_db.loading.target import Target
from aetherflow_builtins_db.minimal import lacks_of
from aetherflow_builtins_db.steps.query import database_of

if TYPE_CHECKING:
    from aetherflow.core.api import Lack


class Inputs(StepInputs):
    """The checks and the database they run on."""

    resource: DbResource = Field(description="Name of a resource of kind `db`.")
    table: PlainText | None = Field(None, description="The table that is checked; a check may name another one.")
    checks: tuple[Check, ...] = Field(description="The checks; all of them run, even after a failure.")
    on_fail: OnFail = Field(
        "fail",
        description="If a check fails: `fail` fails the step, `warn` writes a warning to the log, `skip` "
        "ends the step as SKIPPED.",
    )

    @model_validator(mode="after")
    def _something_to_check(self) -> Self:
        # Not by min_length: for a list whose only item is invalid, pydantic would also report that it is too short.
        if not self.checks:
            raise ValueError("checks lists no check")
        for number, check in enumerate(self.checks, 1):
            if check.sql is None and check.sql_file is None and self.table is None and check.table is None:
                raise ValueError(f"checks.{number - 1}: no table is given, neither here nor for the step")
        return self


class Outputs(StepOutputs):
    """The results of the checks."""

    passed: int = Field(description="Number of checks that passed.")
    warned: int = Field(description="Number of failed checks with `on_fail: warn`.")
    skipped: int = Field(description="Number of failed checks with `on_fail: skip`.")
    failed: int = Field(description="Failed checks with `on_fail: fail`; 0, as they fail the step.")
    checks: list[dict[str, Any]] = Field(
        description="For each check: name, kind, table, passed, message, value (as measured), expected, failures "
        "(number of failing rows), sample (the first five of them), on_fail."
    )


class DbCheck(Step[Inputs]):
    """Checks data in a database: number of rows, age, nulls, duplicates, values, and queries whose rows are failures.

    All checks run, even after a failure; then the step fails, warns or is skipped, as `on_fail` of each check says.

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

    @classmethod
    def lacks(cls, inputs: Mapping[str, Any], connector: type, of: str) -> "Iterable[Lack]":
        """What a connector class lacks for reading."""
        del inputs, of
        return lacks_of(connector)

    def run(self) -> StepResult:
        database = database_of(self.args.resource, self.ctx)
        job = LoadJob("check", database.dialect, self.ctx.scratch_dir(self.job_id), self.ctx.log.info)
        checker = Checker(Target(database, job), self.ctx)
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
