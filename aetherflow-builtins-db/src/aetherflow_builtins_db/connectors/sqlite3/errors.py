"""Classifies errors of Python's sqlite3 by SQLite's result code, else by message."""

import sqlite3
from collections.abc import Mapping

from aetherflow_builtins_db.failures import Failure, failure_of_file, first_match

_CODES: Mapping[int, Failure] = {
    sqlite3.SQLITE_BUSY: Failure.LOCKED,
    sqlite3.SQLITE_LOCKED: Failure.LOCKED,
    sqlite3.SQLITE_READONLY: Failure.READ_ONLY,
    sqlite3.SQLITE_INTERRUPT: Failure.INTERRUPTED,
    sqlite3.SQLITE_FULL: Failure.DISK_FULL,
    sqlite3.SQLITE_NOMEM: Failure.OUT_OF_MEMORY,
    sqlite3.SQLITE_CANTOPEN: Failure.CANNOT_OPEN,
    sqlite3.SQLITE_NOTADB: Failure.WRONG_FILE,
    sqlite3.SQLITE_CONSTRAINT: Failure.CONSTRAINT,
    **dict.fromkeys(
        (
            sqlite3.SQLITE_CONSTRAINT_UNIQUE,
            sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY,
            sqlite3.SQLITE_CONSTRAINT_ROWID,
        ),
        Failure.UNIQUE_VIOLATION,
    ),
}
_PRIMARY = 0xFF
"""Mask: the low byte of an extended result code is the primary code."""
_WORDS: Mapping[str, Failure] = {
    r"no such table": Failure.NO_TABLE,
    r"no such column": Failure.NO_COLUMN,
    r"syntax error|incomplete input|unrecognized token": Failure.SYNTAX,
    r"cannot .*within a transaction": Failure.NO_TRANSACTION,
}
"""Patterns: code SQLITE_ERROR covers all errors of a statement."""
_ONE_STATEMENT = "only execute one statement"
"""Part of a message of Python's module; its own errors have no SQLite code."""


def failure_of(error: BaseException) -> Failure:
    """Classify an error of sqlite3, or an OSError behind it."""
    code = getattr(error, "sqlite_errorcode", None)
    if code is not None:
        found = _CODES.get(code) or _CODES.get(code & _PRIMARY)
        return found or first_match(str(error), _WORDS) or Failure.OTHER
    if isinstance(error, sqlite3.ProgrammingError | sqlite3.Warning) and _ONE_STATEMENT in str(error):
        return Failure.SEVERAL_STATEMENTS
    if isinstance(error, sqlite3.ProgrammingError | sqlite3.InterfaceError | OverflowError):
        return Failure.BAD_PARAMETER
    return failure_of_file(error)
