"""Inputs that the SQL steps share: the SQL, its parameters, and the handling of too few rows."""

from collections.abc import Iterable, Mapping
from typing import Any, Literal, Self, TypeAlias

from pydantic import Field, model_validator

from aetherflow.core.api import (
    AssetPath,
    ConnectorError,
    DbResource,
    PlainText,
    PlainValue,
    RunContext,
    StepError,
    StepInputError,
    StepInputs,
    class_place,
)
from aetherflow_builtins_db import minimal
from aetherflow_builtins_db.database import Database
from aetherflow_builtins_db.formats.values import query_sha256
from aetherflow_builtins_db.minimal import lacks_of

OnEmpty: TypeAlias = Literal["skip", "fail", "ok"]


class SqlInputs(StepInputs):
    """A resource and SQL for it."""

    resource: DbResource = Field(description="Name of a resource of kind `db`.")
    sql: PlainText | None = Field(None, description="The SQL. Values belong in `params`, never in the text.")
    sql_file: AssetPath | None = Field(None, description="A file with the SQL instead, relative to the flow file.")
    params: dict[str, PlainValue] | None = Field(
        None, description="Values of the `:name` markers in the SQL; each must be used, and each marker needs one."
    )

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.sql is None) == (self.sql_file is None):
            raise ValueError("give exactly one of sql and sql_file")
        return self


class QueryInputs(SqlInputs):
    """A query whose rows are read."""

    fetch_size: int = Field(5000, ge=1, description="Rows fetched at a time.")
    min_rows: int = Field(0, ge=0, description="Minimum number of rows; `on_empty` applies to fewer rows, and to none.")
    on_empty: OnEmpty | None = Field(
        None,
        description="If there are too few rows: `skip` ends the step as SKIPPED, `fail` fails it, `ok` goes on. "
        "Default: `ok`, or `fail` if `min_rows` is given.",
    )

    def verdict(self, row_count: int) -> OnEmpty:
        """What happens to the step with this number of rows; `ok` if there are enough."""
        if row_count >= max(self.min_rows, 1):
            return "ok"
        return self.on_empty or ("fail" if self.min_rows else "ok")

    def shortage(self, row_count: int) -> str:
        """The reason of a skip, in the same words as `check_items`."""
        return f"row_count({row_count}) < min_rows({max(self.min_rows, 1)})"

    def refuse_shortage(self, row_count: int) -> None:
        """Raise StepError if there are too few rows and `on_empty` is `fail`."""
        if self.verdict(row_count) == "fail":
            raise StepError(f"too few rows: {self.shortage(row_count)}", fix="on_empty: skip or ok accepts that")


def query_source(resource: str, sql: str, params: Mapping[str, Any] | None) -> dict[str, Any]:
    """A query as what a step has read, for its receipt."""
    return {"kind": "query", "name": resource, "sha256": query_sha256(sql, params)}


def sql_of(inputs: SqlInputs, ctx: RunContext) -> str:
    """The SQL text of a step, from `sql` or `sql_file`; StepInputError if the file cannot be read."""
    return text_of(inputs.sql, inputs.sql_file, ctx)


def text_of(sql: str | None, sql_file: str | None, ctx: RunContext) -> str:
    """The SQL text, or that of the file; StepInputError if it cannot be read."""
    if sql_file is None:
        return sql or ""
    file = ctx.asset_path(sql_file)
    try:
        return file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise StepInputError(f"sql_file {sql_file} cannot be read: {reason}", fix=f"looked at {file}") from error


def database_of(
    resource: str, ctx: RunContext, *, writes: bool = False, makes: bool = False, undoes: Iterable[str] = ()
) -> Database:
    """The database of a resource; ConnectorError if its class lacks what the step needs, as `lacks_of` says.

    A weaker promise is a warning in the log.
    """
    connector = ctx.connectors.db(resource)
    cls = type(connector)
    for lack in lacks_of(cls, writes=writes, makes=makes, undoes=undoes):
        text = f"resource {resource}: {class_place(cls)} {lack.text}"
        if lack.refused:
            raise ConnectorError(text, fix="add it to the class, or leave out what needs it")
        ctx.log.warning("%s", text)
    return minimal.database_over(connector)
