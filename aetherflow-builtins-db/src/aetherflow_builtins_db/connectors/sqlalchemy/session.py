"""Timeouts, server identity, cancellation and the reset of sessions, for which SQLAlchemy has no common interface."""

from collections.abc import Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any

from aetherflow_builtins_db.connectors.common.base import setting_literal
from aetherflow_builtins_db.connectors.mysql import pymysql_parts
from aetherflow_builtins_db.connectors.mysql import types as mysql_types
from aetherflow_builtins_db.connectors.postgres import types as postgres_types
from aetherflow_builtins_db.connectors.postgres.session import RESET
from aetherflow_builtins_db.connectors.sqlalchemy.settings import Options

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine
    from sqlalchemy.engine import URL, Dialect

_SERVER = "aetherflow_server"


def connect_args(url: "URL", options: Options) -> dict[str, Any]:
    """The arguments for the driver's connect function: timeouts of known drivers, and `options.connect_args`."""
    timeout, limit = options.connect_timeout, options.statement_timeout
    known: dict[str, dict[str, Any]] = {
        "psycopg": {"connect_timeout": max(round(timeout), 2)},
        "psycopg2": {"connect_timeout": max(round(timeout), 2)},
        "pymysql": {"connect_timeout": timeout, "read_timeout": options.silence_limit},
        "pysqlite": {"check_same_thread": False},
    }
    driver = url.get_driver_name()
    chosen = dict(known.get(driver, {}))
    if limit and driver.startswith("psycopg"):
        chosen["options"] = f"-c statement_timeout={max(round(limit * 1000), 1)}"
    return chosen | options.connect_args


def set_up_sessions(engine: "Engine", statements: Sequence[str]) -> None:
    """Run the statements in each new session, and in each that returns to the pool, which is reset first."""
    from sqlalchemy import event

    sqlite, driver = engine.dialect.name == "sqlite", engine.dialect.driver

    event.listen(engine, "do_connect", _connected)

    @event.listens_for(engine, "connect")
    def _session(connection: Any, record: Any) -> None:
        if sqlite:
            connection.isolation_level = None  # _begin sends BEGIN; Python's module would not before DDL
        _convert(driver, connection)
        _set_up(driver, connection, statements)
        _note_server(engine, connection, record.info)

    @event.listens_for(engine, "reset")
    def _returned(connection: Any, _record: Any, state: Any) -> None:
        if not state.terminate_only:  # else it is closed
            _reset(engine.dialect, connection, statements)

    if sqlite:

        @event.listens_for(engine, "begin")
        def _begin(connection: "Connection") -> None:
            connection.exec_driver_sql("BEGIN")


def _connected(dialect: "Dialect", record: Any, given: Sequence[Any], named: dict[str, Any]) -> Any:
    """A connection of PyMySQL that reads no certificates in vain; None for other drivers, for SQLAlchemy to connect."""
    del record
    return pymysql_parts.unchecked_class()(*given, **named) if dialect.driver == "pymysql" else None


OWN_DRIVERS = frozenset({"psycopg", "pymysql"})
"""Drivers that have a connector of their own: values are what that one gives."""


def _convert(driver: str, raw: Any) -> None:
    """Let a new connection convert values as the driver's own connector does."""
    if driver == "psycopg":
        postgres_types.register_loaders(raw)
    elif driver == "pymysql":
        raw.decoders = mysql_types.decoders()


def _set_up(driver: str, raw: Any, statements: Sequence[str]) -> None:
    """Run the statements, and those whose settings the values of the driver's own connector need."""
    wanted = list(statements)
    if driver == "psycopg":
        ours = (f"SET {name} = {setting_literal(value)}" for name, value in postgres_types.SETTINGS.items())
        wanted.insert(0, "; ".join(ours))
    elif driver == "pymysql":
        wanted.append("SET SESSION time_zone = '+00:00'")  # last: TIMESTAMP values are read as UTC
    with closing(raw.cursor()) as cursor:
        for statement in wanted:
            cursor.execute(statement)
    if driver.startswith("psycopg"):
        raw.commit()  # the server takes settings back with a transaction that is rolled back


def _note_server(engine: "Engine", raw: Any, info: dict[Any, Any]) -> None:
    """Store the server's identity in `info` for drivers of MySQL: a session's id is valid on that server only."""
    if not hasattr(raw, "thread_id"):
        return
    cursor = raw.cursor()
    try:
        cursor.execute("SELECT connection_id(), @@hostname, @@port, @@server_id")
        number, *place = cursor.fetchone()
    except engine.dialect.loaded_dbapi.Error:  # not every MySQL-compatible server has these variables
        return
    finally:
        cursor.close()
    if number == raw.thread_id():  # a proxy may number sessions differently
        info[_SERVER] = place


def can_reset(dialect: "Dialect") -> bool:
    """Whether a session can be reset, or only a rollback is known for its database; if not, close the connection."""
    if dialect.name == "postgresql":
        return dialect.driver.startswith("psycopg")  # others send no script in one message
    return dialect.name not in {"mysql", "mariadb"} or (dialect.driver == "pymysql" and pymysql_parts.are_known())


def _reset(dialect: "Dialect", raw: Any, statements: Sequence[str]) -> None:
    """Undo what statements changed in the session, and set it up again."""
    if not can_reset(dialect):
        return
    if dialect.name == "postgresql":
        raw.rollback()
        raw.autocommit = True
        try:
            with closing(raw.cursor()) as cursor:
                cursor.execute(RESET)
            _set_up(dialect.driver, raw, statements)
        finally:
            raw.autocommit = False
    elif dialect.name in {"mysql", "mariadb"}:
        variables = pymysql_parts.reset(raw)
        with closing(raw.cursor()) as cursor:
            cursor.execute(f"SET {variables}")
        _set_up(dialect.driver, raw, statements)


def cancel(engine: "Engine", connection: "Connection") -> None:
    """Cancel the statement that runs on the connection, if the driver can; called from another thread."""
    raw: Any = connection.connection.driver_connection
    for name in ("interrupt", "cancel_safe", "cancel"):
        if hasattr(raw, name):
            getattr(raw, name)()
            return
    if (place := connection.info.get(_SERVER)) is not None:
        with engine.connect() as killer:
            # Behind a load balancer this may be another server, where the id belongs to a different session.
            if killer.info.get(_SERVER) == place:
                killer.exec_driver_sql(f"KILL QUERY {int(raw.thread_id())}")
