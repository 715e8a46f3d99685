"""Stores in PostgreSQL: each has a schema of the resource's database."""

from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from aetherflow_builtins_db.connectors.postgres.errors import failure_of
from aetherflow_builtins_db.failures import Failure
from aetherflow_builtins_db.stores.dialect import postgres
from aetherflow_builtins_db.stores.sending import Act, Found, Line, OfOthers
from aetherflow_builtins_db.stores.values import Values, adapt

if TYPE_CHECKING:
    import psycopg

_NOW = "(extract(epoch FROM clock_timestamp()) * 1000)::bigint"
_NEW = """
SET search_path = pg_catalog;
SELECT pg_advisory_xact_lock(hashtextextended('aetherflow schema', 0));
DO $$ BEGIN
  IF to_regnamespace('{schema}') IS NULL THEN CREATE SCHEMA IF NOT EXISTS {schema} AUTHORIZATION CURRENT_USER; END IF;
END $$;
CREATE TABLE IF NOT EXISTS {schema}.sessions (name TEXT PRIMARY KEY, link BIGINT, number BIGINT, seen BIGINT);
CREATE TABLE IF NOT EXISTS {schema}.schema_version (one BIGINT PRIMARY KEY, version BIGINT)
"""
_ENTER = ("SET synchronous_commit = on", "SET idle_in_transaction_session_timeout = 15000")
_MARK = f"""WITH mine AS (UPDATE sessions SET number=?, seen={_NOW} WHERE name=? AND link=? RETURNING 1)
    SELECT 1 / count(*), {_NOW} FROM mine"""  # noqa: S608 names are ours
"""A division by zero, and no commit, if the session has another connection by now."""
_OF_OTHERS = """
WITH store AS (SELECT oid, nspname, nspacl FROM pg_namespace WHERE oid = '{schema}'::regnamespace),
tables AS (SELECT pg_class.oid, relacl FROM pg_class JOIN store ON relnamespace = store.oid),
parts (kind, class, id, owned, owned_id) AS (
  SELECT 1, 'pg_namespace'::regclass, oid, 'pg_namespace'::regclass, oid FROM store
  UNION ALL SELECT 2, classid, objid, classid, objid FROM pg_depend JOIN store ON refobjid = store.oid
    WHERE refclassid = 'pg_namespace'::regclass AND deptype = 'n'
  UNION ALL SELECT 3, 'pg_trigger'::regclass, pg_trigger.oid, 'pg_proc'::regclass, tgfoid
    FROM pg_trigger JOIN tables ON tgrelid = tables.oid
  UNION ALL SELECT 3, 'pg_event_trigger'::regclass, oid, 'pg_proc'::regclass, evtfoid FROM pg_event_trigger),
found (kind, type, name, role) AS (
  SELECT kind, part.type, part.identity, refobjid
    FROM parts JOIN pg_shdepend ON classid = owned AND objid = owned_id AND deptype = 'o'
      AND dbid = (SELECT oid FROM pg_database WHERE datname = current_database()),
    LATERAL pg_identify_object(class, id, 0) AS part
  UNION SELECT 4, privilege_type, 'SCHEMA ' || nspname, grantee FROM store, aclexplode(nspacl)
    WHERE privilege_type = 'CREATE'
  UNION SELECT 4, privilege_type, 'ALL TABLES IN SCHEMA ' || nspname, grantee
    FROM store, tables, aclexplode(relacl) WHERE privilege_type = 'TRIGGER')
SELECT kind, type, name, CASE role WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(role)) END,
  quote_ident(current_user)
FROM found WHERE CASE role WHEN 0 THEN true ELSE NOT pg_has_role(role, current_user, 'MEMBER') END ORDER BY 1, 2, 3, 4
"""
"""Everything in the schema, with the functions of triggers, whose owner hasn't the account's rights, as itself,
superusers and members of its role have, and the rights by which others could add some. Only the owner of a table can
give it rules, policies, defaults and generated columns.
"""
_DIVISION_BY_ZERO = "22012"
_IDLE_TOO_LONG = "25P03"
_TRIGGER, _RIGHT = 3, 4
_BY = "as an administrator of the database"


class PostgresLine(Line):
    """A connection of psycopg."""

    raw: "psycopg.Connection[Any]"
    clock: ClassVar = _NOW
    begin_reading: ClassVar = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
    mark: ClassVar = (_MARK,)
    size: ClassVar = """SELECT sum(pg_total_relation_size(oid)) FROM pg_class
        WHERE relkind='r' AND relnamespace=?::regnamespace"""
    schemas: ClassVar = "SELECT nspname FROM pg_namespace ORDER BY nspname"
    before_looks: ClassVar = "SET search_path = pg_catalog"
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

        return isinstance(error, psycopg.errors.UndefinedTable | psycopg.errors.InvalidSchemaName)

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

    def of_others(self) -> list[OfOthers]:
        rows = self.ask(self.before_looks, _OF_OTHERS.format(schema=self.schema))[1].rows
        return [_of_others(*row) for row in rows]

    def limit(self, seconds: float) -> str:
        setattr(self.raw, "silence_limit", seconds + 1)  # noqa: B010 of `connectors.postgres.wait`
        return f"SET lock_timeout = {max(round(seconds * 1000), 1)}"

    @staticmethod
    def turn(name: str) -> Act:
        return Act("one", "SELECT pg_advisory_xact_lock(hashtextextended(?, 0))", (name,))

    @property
    def closed(self) -> bool:
        return self.raw.closed


def _of_others(kind: int, type_: str, name: str, role: str, account: str) -> OfOthers:
    if kind == _RIGHT:
        what = "create functions in it" if type_ == "CREATE" else "create triggers for its tables"
        return OfOthers(f"{role} may {what}", f"{_BY}: REVOKE {type_} ON {name} FROM {role}")
    drop = f"DROP {type_.upper()} {name}"
    if kind == _TRIGGER:
        what = f"the {type_} {name} calls a function of the role {role}"
        return OfOthers(what, f"{_BY}: {drop}")
    what = f"it belongs to the role {role}" if type_ == "schema" else f"the {type_} {name} belongs to the role {role}"
    fix = (
        f"{_BY}: {drop}{' CASCADE' if type_ == 'schema' else ''}; or, if {role} is an "
        f"earlier account of this project: REASSIGN OWNED BY {role} TO {account}"
    )
    return OfOthers(what, fix)


def _state(error: Exception) -> str | None:
    import psycopg

    return error.sqlstate if isinstance(error, psycopg.Error) else None
