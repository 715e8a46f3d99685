"""Classifies errors of psycopg and psycopg2 by SQLSTATE, then by class, and last by message."""

import re
from collections.abc import Mapping

from aetherflow_builtins_db.failures import Failure, Refusal, failure_of_os, first_match

_STATES: Mapping[str, Failure] = {
    "28P01": Failure.LOGIN,
    "3D000": Failure.NO_DATABASE,
    "53300": Failure.TOO_MANY_CONNECTIONS,
    "57P03": Failure.STARTING,
    "40P01": Failure.DEADLOCK,
    "40001": Failure.CONFLICT,
    "55P03": Failure.LOCKED,
    "53100": Failure.DISK_FULL,
    "42P01": Failure.NO_TABLE,
    "3F000": Failure.NO_TABLE,
    "42703": Failure.NO_COLUMN,
    "42883": Failure.NO_FUNCTION,
    "42601": Failure.SYNTAX,
    "42501": Failure.NO_RIGHT,
    "25006": Failure.READ_ONLY,
    "25001": Failure.NO_TRANSACTION,
    "23505": Failure.UNIQUE_VIOLATION,
    **dict.fromkeys(("42P06", "42P07", "42710", "42723"), Failure.CONSTRAINT),
}
_CLASSES: Mapping[str, Failure] = {
    "08": Failure.CONNECTION_LOST,
    "23": Failure.CONSTRAINT,
    "57P": Failure.CONNECTION_LOST,
}
"""By the first characters of the SQLSTATE."""
_CANCELED = "57014"
_AT_CONNECT: Mapping[str, Failure] = {
    r"password authentication failed|no password supplied|role \".*\" does not exist": Failure.LOGIN,
    r"database \".*\" does not exist": Failure.NO_DATABASE,
    r"could not translate host name|failed to resolve host|Name or service not known": Failure.NO_HOST,
    r"Connection refused": Failure.REFUSED,
    r"starting up|shutting down": Failure.STARTING,
    r"remaining connection slots|too many clients": Failure.TOO_MANY_CONNECTIONS,
    r"timeout expired|timed out": Failure.CONNECT_TIMEOUT,
    r"no pg_hba.conf entry": Failure.NOT_ADMITTED,
    r"certificate verify failed|root certificate file|SSL": Failure.CERTIFICATE,
}
"""Patterns: libpq gives no code for a failed connect; not even the server's SQLSTATE reaches psycopg."""
_BY_TIME = "statement timeout"
"""SQLSTATE 57014 covers a statement timeout and a cancel; only the message tells them apart."""
_LINE = re.compile(r"^COPY [^\n]*?, line (\d+)", re.MULTILINE)
_COLUMN = re.compile(r", column ([^:\n]+)")
"""Line and column of a refused row, which only the text of the error's context holds."""


def failure_of(error: BaseException) -> Failure:
    """Classify an error of psycopg or psycopg2, or an OSError behind it."""
    error = first_cause(error)
    if getattr(error, "silent", False):
        return Failure.SILENT
    if getattr(error, "late", False):
        return Failure.STATEMENT_TIMEOUT
    state = getattr(error, "sqlstate", None) or getattr(error, "pgcode", None)
    if state == _CANCELED:
        return Failure.STATEMENT_TIMEOUT if _BY_TIME in str(error) else Failure.INTERRUPTED
    if state:
        return failure_of_state(state) or Failure.OTHER
    kinds = [each.__name__ for each in type(error).__mro__]
    if "OperationalError" in kinds:
        return first_match(str(error), _AT_CONNECT) or Failure.CONNECTION_LOST
    if kinds[0] == "DatabaseError":  # of libpq itself, not of the server: what came is no message of PostgreSQL
        return Failure.CONNECTION_LOST
    if "ProgrammingError" in kinds or isinstance(error, TypeError | ValueError | AttributeError | OverflowError):
        return Failure.BAD_PARAMETER
    return failure_of_os(error) or Failure.OTHER


def failure_of_state(state: str) -> Failure | None:
    """Classify an SQLSTATE, of any database; None if it is unknown."""
    classes = (_CLASSES[state[:length]] for length in (2, 3) if state[:length] in _CLASSES)
    return _STATES.get(state) or next(classes, None)


def first_cause(error: BaseException) -> BaseException:
    """The error in the context chain that reports a limit of waiting; otherwise the error itself.

    At the end of a COPY psycopg sends a message to the server; its failure hides the first error.
    """
    seen: BaseException | None = error
    while seen is not None:
        if any(getattr(seen, kind, False) for kind in ("silent", "late", "endless")):
            return seen
        seen = seen.__context__
    return error


def refusal(error: BaseException | None) -> Refusal | None:
    """The reason and line number of a refused row; None if the error is not about the data."""
    import psycopg

    if not isinstance(error, psycopg.DataError | psycopg.IntegrityError):
        return None
    context = error.diag.context or ""
    line, column = _LINE.search(context), _COLUMN.search(context)
    where = f"column {column.group(1)}: " if column else ""
    detail = f" ({error.diag.message_detail})" if error.diag.message_detail else ""
    return Refusal(f"{where}{error.diag.message_primary}{detail}", int(line.group(1)) if line else None)
