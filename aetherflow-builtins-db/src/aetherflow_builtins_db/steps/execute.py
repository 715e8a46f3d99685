import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from pydantic import Field

from aetherflow.core.api import Flag, ScriptResult, Step, StepError, StepOutputs
from aetherflow_builtins_db.database import Database
from aetherflow_builtins_db.formats.values import json_value
from aetherflow_builtins_db.loading.ledger import LoadLedger
from aetherflow_builtins_db.minimal import lacks_of, needs_undo
from aetherflow_builtins_db.params import bind, translate
from aetherflow_builtins_db.row_range import RowRange, is_met
from aetherflow_builtins_db.statements import commits
from aetherflow_builtins_db.steps.query import SqlInputs, database_of, sql_of

_SHOWN = 100
"""Characters of a statement that a dry run shows."""


if TYPE_CHECKING:
    from aetherflow.core.api import Lack


class Inputs(SqlInputs):
    """SQL that changes data, and its conditions."""

    expect_rows: int | RowRange | None = Field(
        None,
        description="How many rows must change: a number, or `{min, max}`. Otherwise everything is rolled back.",
    )
    exactly_once: Flag = Field(
        False,
        description="Record the script in the table `aetherflow_loads` of the same database, in its transaction, so "
        "that a repetition of this step in the run, or in another run of its slot, does nothing.",
    )
    allow_implicit_commit: Flag = Field(
        False,
        description="For databases that commit at CREATE, ALTER and DROP (MySQL, MariaDB, Oracle): run a "
        "script that has them after other changes, although a failure can then leave half of it.",
    )


class Outputs(StepOutputs):
    """The result of the script."""

    statements: int = Field(description="Number of statements that ran.")
    affected_rows: int | None = Field(description="Rows changed by all of them together; null if none changes rows.")
    already_done: bool = Field(
        description="With `exactly_once`: whether an earlier attempt had run the script, so that nothing was done now."
    )


class DbExecute(Step[Inputs]):
    """Runs SQL that changes data: one statement, or a script of several in one transaction.

    If anything fails, or `expect_rows` is not met, everything is rolled back. The script must not contain BEGIN and
    COMMIT. The step may run again after a crash, even if the database had already committed: write the script so that
    a second run does no harm (CREATE TABLE IF NOT EXISTS, INSERT … ON CONFLICT, DELETE before INSERT), or set
    `exactly_once: true`.

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

    @classmethod
    def lacks(cls, inputs: Mapping[str, Any], connector: type, of: str) -> "Iterable[Lack]":
        """What a connector class lacks for changing data."""
        del of
        return lacks_of(connector, writes=True, undoes=needs_undo(inputs.get("expect_rows")))

    def run(self) -> dict[str, Any]:
        args, sql = self.args, sql_of(self.args, self.ctx)
        database = database_of(args.resource, self.ctx, writes=True, undoes=needs_undo(args.expect_rows))
        if args.exactly_once:
            return self._run_once(database, sql)
        check = None if args.expect_rows is None else self._check
        result = database.script(
            sql, args.params, before_commit=check, allow_implicit_commit=args.allow_implicit_commit
        )
        return self._output(result)

    def plan(self) -> list[str]:
        statements = database_of(self.args.resource, self.ctx).statements(sql_of(self.args, self.ctx))
        texts = [" ".join(statement.split()) for statement in statements]
        shown = [text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…" for text in texts]
        return [f"run on resource {self.args.resource}: {text}" for text in shown]

    def _run_once(self, database: Database, sql: str) -> dict[str, Any]:
        statements = database.statements(sql)
        database.check_script(statements)
        names = [translate(statement, str, lexis=database.dialect.lexis)[1] for statement in statements]
        values = bind(list(dict.fromkeys(name for each in names for name in each)), self.args.params)
        if not database.dialect.transactional_ddl and any(commits(each, database.dialect.name) for each in statements):
            raise StepError(
                "exactly_once: this database commits at CREATE, ALTER and DROP, and cannot undo them",
                fix="put them into a step of their own, with IF NOT EXISTS or IF EXISTS",
            )
        content = hashlib.sha256(json.dumps([statements, json_value(values)], sort_keys=True).encode()).hexdigest()
        ledger = LoadLedger(database, self.ctx.work_id, "")
        ledger.create()
        with database.transaction() as tx:
            if (before := ledger.find(tx)) is not None:
                before.refuse_unfinished(f"the script of step {self.ctx.work_id}")
                if before.content != content:
                    raise StepError(
                        f"the database has this step ({self.ctx.work_id}, run {before.run_id}, {before.loaded_at}) "
                        "with another script or other params; nothing was changed",
                        fix="without exactly_once it may run again; or give the run another slot",
                    )
                affected = None if before.rows < 0 else before.rows
                return {"statements": len(statements), "affected_rows": affected, "already_done": True}
            ledger.claim(tx, self.ctx.run_id)
            result = ScriptResult(
                tuple(
                    tx.execute(statement, {name: values[name] for name in wanted} or None)
                    for statement, wanted in zip(statements, names, strict=True)
                )
            )
            if self.args.expect_rows is not None:
                self._check(result)
            ledger.complete(tx, content, -1 if result.affected_rows is None else result.affected_rows, 0)
        return self._output(result)

    @staticmethod
    def _output(result: ScriptResult) -> dict[str, Any]:
        return {"statements": len(result.affected), "affected_rows": result.affected_rows, "already_done": False}

    def _check(self, result: ScriptResult) -> None:
        expected, changed = self.args.expect_rows, result.affected_rows or 0
        if not is_met(expected, changed):
            raise StepError(f"{changed} rows would change, but expect_rows is {expected}; nothing was changed")
