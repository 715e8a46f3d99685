"""What kind of failure an error of Python's sqlite3 is: by SQLite's code, where it has one for it, else by words."""

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
"""The bits of an extended code that are the code it refines."""
_WORDS: Mapping[str, Failure] = {
    r"no such table": Failure.NO_TABLE,
    r"no such column": Failure.NO_COLUMN,
    r"syntax error|incomplete input|unrecognized token": Failure.SYNTAX,
    r"cannot .*within a transaction": Failure.NO_TRANSACTION,
}
"""SQLITE_ERROR is the one code for whatever is wrong with a statement."""
_ONE_STATEMENT = "only execute one statement"
"""Python's module says that, and what is wrong with a parameter, without a code of SQLite's."""


def failure_of(error: BaseException) -> Failure:
    """The kind of an error of sqlite3, or of Python below it."""
    code = getattr(error, "sqlite_errorcode", None)
    if code is not None:
        found = _CODES.get(code) or _CODES.get(code & _PRIMARY)
        return found or first_match(str(error), _WORDS) or Failure.OTHER
    if isinstance(error, sqlite3.ProgrammingError | sqlite3.Warning) and _ONE_STATEMENT in str(error):
        return Failure.SEVERAL_STATEMENTS
    if isinstance(error, sqlite3.ProgrammingError | sqlite3.InterfaceError | OverflowError):
        return Failure.BAD_PARAMETER
    return failure_of_file(error)
