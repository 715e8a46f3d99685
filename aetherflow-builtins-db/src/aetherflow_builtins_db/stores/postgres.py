"""Stores in PostgreSQL: each has a schema of the resource's database."""

from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from aetherflow_builtins_db.connectors.postgres.errors import failure_of
from aetherflow_builtins_db.failures import Failure
from aetherflow_builtins_db.stores.dialect import postgres
from aetherflow_builtins_db.stores.sending import Act, Found, Line
from aetherflow_builtins_db.stores.values import Values, adapt

if TYPE_CHECKING:
    import psycopg

_NOW = "(extract(epoch FROM clock_timestamp()) * 1000)::bigint"
_NEW = """
SELECT pg_advisory_xact_lock(hashtextextended('aetherflow schema', 0));
CREATE SCHEMA IF NOT EXISTS {schema};
CREATE TABLE IF NOT EXISTS {schema}.sessions (name TEXT PRIMARY KEY, link BIGINT, number BIGINT, seen BIGINT);
CREATE TABLE IF NOT EXISTS {schema}.schema_version (one BIGINT PRIMARY KEY, version BIGINT)
"""
_ENTER = ("SET synchronous_commit = on", "SET idle_in_transaction_session_timeout = 15000")
_MARK = f"""WITH mine AS (UPDATE sessions SET number=?, seen={_NOW} WHERE name=? AND link=? RETURNING 1)
    SELECT 1 / count(*), {_NOW} FROM mine"""  # noqa: S608 names are ours
"""A division by zero, and no commit, if the session has another connection by now."""
_DIVISION_BY_ZERO = "22012"
_IDLE_TOO_LONG = "25P03"


class PostgresLine(Line):
    """A connection of psycopg."""

    raw: "psycopg.Connection[Any]"
    clock: ClassVar = _NOW
    begin_reading: ClassVar = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
    mark: ClassVar = (_MARK,)
    size: ClassVar = """SELECT sum(pg_total_relation_size(oid)) FROM pg_class
        WHERE relkind='r' AND relnamespace=?::regnamespace"""
    schemas: ClassVar = "SELECT nspname FROM pg_namespace ORDER BY nspname"
    relax: ClassVar = "SET synchronous_commit = off"

    @staticmethod
    def errors() -> tuple[type[Exception], ...]:
        import psycopg

        return (psycopg.Error,)

    @staticmethod
    def failure_of(error: Exception) -> Failure:
        return failure_of(error)

    @staticmethod
    def taken_over(error: Exception) -> bool:
        return _state(error) == _DIVISION_BY_ZERO

    @staticmethod
    def is_undone(error: Exception) -> bool:
        return _state(error) == _IDLE_TOO_LONG

    @staticmethod
    def no_schema(error: Exception) -> bool:
        import psycopg

        return isinstance(error, psycopg.errors.UndefinedTable)

    @staticmethod
    def is_double(error: Exception) -> bool:
        import psycopg

        return isinstance(error, psycopg.errors.UniqueViolation)

    def text(self, statement: str, values: Values) -> str:
        return self._texts.mogrify(postgres(statement), values)

    @cached_property
    def _texts(self) -> "psycopg.ClientCursor[Any]":
        import psycopg

        return psycopg.ClientCursor(self.raw)

    def ask(self, *texts: str) -> list[Found]:
        found = []
        cursor = self.raw.execute("; ".join(texts))
        for _ in texts:
            found.append(Found(max(cursor.rowcount, 0), cursor.fetchall() if cursor.description else []))
            cursor.nextset()
        return found

    def entering(self, *, reading: bool) -> tuple[str, ...]:
        del reading
        adapt(self.raw)
        return (f"SET search_path = {self.schema}", *_ENTER)

    def make(self) -> None:
        self.raw.execute(_NEW.format(schema=self.schema))

    def limit(self, seconds: float) -> str:
        setattr(self.raw, "silence_limit", seconds + 1)  # noqa: B010 of `connectors.postgres.wait`
        return f"SET lock_timeout = {max(round(seconds * 1000), 1)}"

    @staticmethod
    def turn(name: str) -> Act:
        return Act("one", "SELECT pg_advisory_xact_lock(hashtextextended(?, 0))", (name,))

    @property
    def closed(self) -> bool:
        return self.raw.closed


def _state(error: Exception) -> str | None:
    import psycopg

    return error.sqlstate if isinstance(error, psycopg.Error) else None
