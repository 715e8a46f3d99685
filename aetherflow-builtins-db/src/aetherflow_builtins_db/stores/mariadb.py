"""Stores in MariaDB: each is a database of its own, named after that of the resource."""

import re
import zlib
from typing import TYPE_CHECKING, Any, ClassVar

from aetherflow_builtins_db.connectors.mysql import pymysql_parts
from aetherflow_builtins_db.connectors.mysql.errors import failure_of, number_of
from aetherflow_builtins_db.failures import Failure
from aetherflow_builtins_db.stores.dialect import mariadb
from aetherflow_builtins_db.stores.sending import Act, Found, Line, OfOthers
from aetherflow_builtins_db.stores.values import Values

if TYPE_CHECKING:
    from pymysql.connections import Connection

_NOW = "CAST(unix_timestamp(sysdate(6)) * 1000 AS SIGNED)"
"""`now` would be the time at which the statement began to wait for others."""
_NEW = (
    "CREATE DATABASE IF NOT EXISTS {schema}",
    "USE {schema}",
    *(
        f"CREATE TABLE IF NOT EXISTS {table} ENGINE=InnoDB"
        for table in (
            "sessions (name CHAR(32) CHARACTER SET ascii PRIMARY KEY, link BIGINT, number BIGINT, seen BIGINT)",
            "schema_version (one BIGINT PRIMARY KEY, version BIGINT)",
            "turns (turn BIGINT PRIMARY KEY)",
        )
    ),
)
_ENTER = (
    "SET NAMES utf8mb4 COLLATE utf8mb4_nopad_bin",
    "SET sql_mode = 'STRICT_ALL_TABLES,PIPES_AS_CONCAT,SIMULTANEOUS_ASSIGNMENT,NO_ENGINE_SUBSTITUTION'",
    "SET idle_transaction_timeout = 15",
)
_MARK = (
    f"UPDATE sessions SET number=?, seen={_NOW} WHERE name=? AND link=?",  # noqa: S608 names are ours
    "BEGIN NOT ATOMIC IF row_count() <> 1 THEN SIGNAL SQLSTATE '45000'; END IF; END",
    f"SELECT {_NOW}",
)
_OF_OTHERS = """
SELECT 'VIEW', table_name, definer FROM information_schema.views
  WHERE table_schema = '{schema}' AND definer <> current_user()
UNION SELECT 'TRIGGER', trigger_name, definer FROM information_schema.triggers
  WHERE trigger_schema = '{schema}' AND definer <> current_user()
UNION SELECT 'TABLE', table_name, engine FROM information_schema.tables
  WHERE table_schema = '{schema}' AND table_type = 'BASE TABLE' AND engine <> 'InnoDB'
ORDER BY 1, 2
"""
"""A view can call functions with the rights of the account, a trigger change its session, an engine ask another server.

Databases and tables have no owners. Default values, checks and generated columns call no functions.
"""
_WILD = {"%": ".*", "_": "."}
_GRANT = re.compile(r"GRANT (.*) ON (?:\*|`([^`]*)`)\.\* TO ")
_TURNS = 1 << 16
"""So many rows at most are kept for turns: two names may share one, and wait without need."""
_NO_DATABASE, _NO_TABLE, _NOT_NULL, _DOUBLE, _DOUBLE_OF_PART, _SIGNAL = 1049, 1146, 1048, 1062, 1586, 1644


class MariadbLine(Line):
    """A connection of PyMySQL that may send several statements in one message."""

    raw: "Connection[Any]"
    clock: ClassVar = _NOW
    begin_reading: ClassVar = "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY"
    mark: ClassVar = _MARK
    size: ClassVar = "SELECT sum(data_length + index_length) FROM information_schema.tables WHERE table_schema=?"
    schemas: ClassVar = "SELECT schema_name FROM information_schema.schemata ORDER BY schema_name"
    commits_definitions: ClassVar = True

    @staticmethod
    def errors() -> tuple[type[Exception], ...]:
        import pymysql

        return (pymysql.MySQLError,)

    @staticmethod
    def failure_of(error: Exception) -> Failure:
        return failure_of(error)

    @staticmethod
    def taken_over(error: Exception) -> bool:
        return number_of(error) == _SIGNAL

    @staticmethod
    def is_undone(error: Exception) -> bool:
        """Never: it ends the connection of such a process."""
        del error
        return False

    @staticmethod
    def no_schema(error: Exception) -> bool:
        return number_of(error) in {_NO_DATABASE, _NO_TABLE}

    @staticmethod
    def is_double(error: Exception) -> bool:
        return number_of(error) in {_DOUBLE, _DOUBLE_OF_PART, _NOT_NULL}  # see `dialect` for the last one

    def text(self, statement: str, values: Values) -> str:
        with self.raw.cursor() as cursor:
            return str(cursor.mogrify(mariadb(statement), values))

    def ask(self, *texts: str) -> list[Found]:
        found = []
        with self.raw.cursor() as cursor:
            cursor.execute("; ".join(texts))
            for _ in texts:
                found.append(Found(max(cursor.rowcount, 0), list(cursor.fetchall()) if cursor.description else []))
                cursor.nextset()
        return found

    def entering(self, *, reading: bool) -> tuple[str, ...]:
        level = "REPEATABLE READ" if reading else "READ COMMITTED"
        return (*_ENTER, f"SET SESSION TRANSACTION ISOLATION LEVEL {level}", f"USE {self.schema}")

    def make(self) -> None:
        self.ask(*(each.format(schema=self.schema) for each in _NEW))

    def of_others(self) -> list[OfOthers]:
        use, find = f"USE {self.schema}", _OF_OTHERS.format(schema=self.schema)
        _, found, grants, account = self.ask(use, find, "SHOW GRANTS", "SELECT current_user()")
        granted = [each.groups("%") for (text,) in grants.rows if (each := _GRANT.match(text)) is not None]
        here = {pattern: rights for rights, pattern in granted if _is_like(self.schema, pattern)}
        if not any({"TRIGGER", "ALL PRIVILEGES"} & {*rights.split(", ")} for rights in here.values()):
            what = "the account lacks the right TRIGGER, without which it can't see the triggers there"
            # of two patterns for one database the server takes one: a further one would hide the rights of this one
            where = next((f"`{pattern}`" for pattern in here if pattern != "%"), self.schema)
            user = "`@`".join(account.rows[0][0].rsplit("@", 1))
            return [OfOthers(what, f"as an administrator: GRANT TRIGGER ON {where}.* TO `{user}`")]
        return [
            OfOthers(
                f"the table {name} is kept by the engine {other}, not by InnoDB"
                if kind == "TABLE"
                else f"the {kind.lower()} {name} belongs to the user {other}",
                f"as an administrator: DROP {kind} {self.schema}.{name}",
            )
            for kind, name, other in found.rows
        ]

    def limit(self, seconds: float) -> str:
        pymysql_parts.limit_silence(self.raw, seconds + 1, seconds + 1)
        whole = max(round(seconds), 1)
        return f"SET innodb_lock_wait_timeout = {whole}, lock_wait_timeout = {whole}"

    @staticmethod
    def turn(name: str) -> Act:
        take = "INSERT INTO turns (turn) VALUES (?) ON CONFLICT DO NOTHING"
        return Act("one", take, (zlib.crc32(name.encode()) % _TURNS,))

    def close(self) -> None:
        if self.raw.open:
            self.raw.close()

    @property
    def closed(self) -> bool:
        return not self.raw.open


def _is_like(name: str, pattern: str) -> bool:
    wanted = re.sub(r"\\?(.)", lambda part: _WILD.get(part[0], re.escape(part[1])), pattern)
    return re.fullmatch(wanted, name) is not None
