"""Classifies errors of SQLAlchemy: by the `errors` module of the driver's own connector, if there is one."""

from collections.abc import Mapping
from importlib import import_module

from aetherflow_builtins_db.failures import Failure, failure_of_os, first_match

_PACKAGES: Mapping[str, str] = {
    "psycopg": "postgres",
    "psycopg2": "postgres",
    "pymysql": "mysql",
    "oracledb": "oracledb",
    "duckdb_engine": "duckdb",
    "pysqlite": "sqlite3",
}
"""The package under `connectors` that classifies the errors of a driver; it is imported on use."""
_STATE_LENGTH = 5
_WORDS: Mapping[str, Failure] = {
    r"No module named|load plugin": Failure.NO_DRIVER,
    r"interrupt": Failure.INTERRUPTED,
    r"password|Access denied": Failure.LOGIN,
    r"refused|starting up|shutting down|too many|closed the connection|connection reset|EOF": Failure.REFUSED,
    r"resolve|Name or service|timed out|timeout expired": Failure.NO_HOST,
    r"unable to open": Failure.CANNOT_OPEN,
    r"deadlock|serialize|Lock wait": Failure.CONFLICT,
    r"No space left|disk (is )?full|is full": Failure.DISK_FULL,
    r"no such table|does not exist|doesn't exist": Failure.NO_TABLE,
    r"no such column|Unknown column": Failure.NO_COLUMN,
    r"syntax": Failure.SYNTAX,
    r"read-?\s?only": Failure.READ_ONLY,
    r"duplicate|unique": Failure.UNIQUE_VIOLATION,
}
"""Patterns for SQLAlchemy's own errors and those of unknown drivers, whose codes cannot be read."""


def failure_of(error: BaseException, driver: str) -> Failure:
    """Classify an error of SQLAlchemy, of its driver, or an OSError behind it.

    :param driver: SQLAlchemy's name of the driver; empty if it is not known yet
    """
    cause: BaseException = getattr(error, "orig", None) or error
    found = Failure.OTHER
    if cause is not error and driver in _PACKAGES:
        errors = import_module(f"aetherflow_builtins_db.connectors.{_PACKAGES[driver]}.errors")
        found = errors.failure_of(cause)
    if found is Failure.OTHER and getattr(error, "connection_invalidated", False):
        found = Failure.CONNECTION_LOST
    if found is Failure.OTHER and isinstance(error, TypeError | ValueError | AttributeError | OverflowError):
        found = Failure.BAD_PARAMETER
    return found if found is not Failure.OTHER else _of_any_driver(cause)


def _of_any_driver(cause: BaseException) -> Failure:
    from aetherflow_builtins_db.connectors.postgres.errors import failure_of_state

    state = getattr(cause, "sqlstate", None) or (cause.args[0] if cause.args else None)
    if isinstance(state, str) and len(state) == _STATE_LENGTH and (found := failure_of_state(state)):
        return found  # pyodbc passes the SQLSTATE as the first argument
    return first_match(str(cause), _WORDS) or failure_of_os(cause) or Failure.OTHER
