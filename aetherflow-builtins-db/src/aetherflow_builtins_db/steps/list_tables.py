from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Any

from pydantic import Field

from aetherflow.core.api import (
    STEP_SKIPPED,
    DbResource,
    Lack,
    PlainText,
    SqlConnector,
    SqlDialect,
    Step,
    StepError,
    StepInputError,
    StepInputs,
    StepOutputs,
    StepResult,
)
from aetherflow_builtins_db.minimal import lacks_of
from aetherflow_builtins_db.steps.query import OnEmpty, database_of

_MYSQL = (
    "SELECT table_schema, table_name FROM information_schema.tables WHERE table_type = 'BASE TABLE' "
    "AND table_schema = coalesce(:schema, database()) ORDER BY 1, 2"
)
_LISTED = {
    "postgresql": "SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
    "WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND n.nspname <> 'pg_catalog' "
    "AND CASE WHEN :schema::text IS NULL THEN pg_table_is_visible(c.oid) ELSE n.nspname = :schema END ORDER BY 1, 2",
    "mysql": _MYSQL,
    "mariadb": _MYSQL,
    "sqlite": "SELECT schema, name FROM pragma_table_list WHERE type = 'table' AND substr(name, 1, 7) <> 'sqlite_' "
    "AND schema = coalesce(:schema, 'main') ORDER BY 1, 2",
    "duckdb": "SELECT schema_name, table_name FROM duckdb_tables() WHERE NOT internal AND NOT temporary "
    "AND database_name = current_database() AND schema_name = coalesce(:schema, current_schema()) ORDER BY 1, 2",
}
"""By dialect: the tables of a schema, or of the connection's own."""
_OURS = "aetherflow_*"
"""Tables in which steps keep books."""


class Inputs(StepInputs):
    """A database, and which of its tables are listed."""

    resource: DbResource = Field(description="Name of a resource of kind `db`: PostgreSQL, MySQL, SQLite or DuckDB.")
    pattern: PlainText = Field("*", min_length=1, description="Pattern of the tables' names: `orders_*`. Case counts.")
    exclude: tuple[PlainText, ...] = Field((), description="Patterns of names to leave out.")
    in_schema: PlainText | None = Field(
        None, min_length=1, description="The schema, on MySQL the database. Default: that of the connection."
    )
    on_empty: OnEmpty = Field("fail", description="If there is no such table: `fail`, `skip` the step, or `ok`.")


class Outputs(StepOutputs):
    """What was listed: names to repeat over, and names that other steps take."""

    count: int = Field(description="Number of tables.")
    names: list[str] = Field(description="Their names, in order.")
    tables: list[dict[str, str]] = Field(
        description="For each: `name`, `schema`, and `full_name`, both in quotes, as `from_table` and `table` take it."
    )


class DbListTables(Step[Inputs]):
    """Lists the tables of a database whose names match a pattern, for a `for_each`. Views are left out.

    - id: tables
      type: db_list_tables
      inputs: {resource: shop, pattern: "orders_*"}
    """

    Outputs = Outputs

    @classmethod
    def lacks(cls, inputs: Mapping[str, Any], connector: type, of: str) -> Iterable[Lack]:
        """What a connector class lacks for reading; its dialect, if the class tells one whose tables are not listed."""
        del inputs, of
        yield from lacks_of(connector)
        told = getattr(connector, "dialect", None)
        name = told.name if isinstance(told, SqlDialect) else told
        if told is None and not issubclass(connector, SqlConnector):
            name = "unknown"
        if isinstance(name, str) and name not in _LISTED:
            yield Lack(f"has the dialect {name}, whose tables are not listed by this step")

    def run(self) -> StepResult:
        args = self.args
        database = database_of(args.resource, self.ctx)
        sql = _LISTED.get(database.dialect.name)
        if sql is None:
            raise StepInputError(
                f"resource {args.resource}: the tables of {database.dialect.name} are not listed by this step",
                fix="give their names in for_each",
            )
        found = [
            {"name": str(name), "schema": str(schema), "full_name": _quoted(str(schema), str(name))}
            for schema, name in database.read(sql, {"schema": args.in_schema})[1]
            if fnmatchcase(str(name), args.pattern)
            and not any(fnmatchcase(str(name), each) for each in (*args.exclude, _OURS))
        ]
        output = {"count": len(found), "names": [each["name"] for each in found], "tables": found}
        where = f"schema {args.in_schema}" if args.in_schema else "the schema of the connection"
        if not found and args.on_empty == "fail":
            raise StepError(
                f"resource {args.resource} has no table whose name matches {args.pattern!r} in {where}",
                fix="check pattern, exclude and in_schema; views are no tables here; on_empty: skip or ok accepts that",
            )
        if not found and args.on_empty == "skip":
            return StepResult(STEP_SKIPPED, output, f"no table {args.pattern}")
        return StepResult(output=output)

    def plan(self) -> list[str]:
        return [f"list tables {self.args.pattern} of resource {self.args.resource}"]


def _quoted(*names: str) -> str:
    """The name as the inputs of steps take it, in whatever characters."""
    return ".".join('"' + name.replace('"', '""') + '"' for name in names)
