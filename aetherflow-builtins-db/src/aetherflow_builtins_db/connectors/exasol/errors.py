"""Classifies pyexasol's errors by code or class, and by message where one code covers several failures."""

from collections.abc import Mapping

from aetherflow_builtins_db.failures import Failure, causes, failure_of_os, first_match

_CODES: Mapping[str, Failure] = {
    "08004": Failure.LOGIN,
    "27001": Failure.CONSTRAINT,
    "27002": Failure.UNIQUE_VIOLATION,
    "27003": Failure.CONSTRAINT,
    "40001": Failure.CONFLICT,
    "42500": Failure.NO_RIGHT,
    "R0001": Failure.STATEMENT_TIMEOUT,
    "R0003": Failure.INTERRUPTED,
}
_WORDS: Mapping[str, Failure] = {
    r"collision|deadlock|GlobalTransactionRollback": Failure.CONFLICT,
    r"No space|disk.*full|out of (disk )?space": Failure.DISK_FULL,
    r"object .* not found|does not exist|unknown schema": Failure.NO_TABLE,
    r"duplicate column": Failure.DUPLICATE_COLUMN,
    r"column|Referenced": Failure.NO_COLUMN,
    r"syntax error": Failure.SYNTAX,
    r"privilege": Failure.NO_RIGHT,
    r"already exists|constraint|violat": Failure.CONSTRAINT,
}
"""Patterns: code 42000 covers all errors of statements, and pyexasol's own errors have no code."""


def failure_of(error: BaseException) -> Failure:
    """Classify an error of pyexasol, of its WebSocket library, or an OSError behind them."""
    import pyexasol
    import websocket

    if (kind := _CODES.get(getattr(error, "code", ""))) is not None:
        return kind
    match error:
        case pyexasol.ExaAuthError():
            return Failure.LOGIN
        case pyexasol.ExaQueryTimeoutError():
            return Failure.STATEMENT_TIMEOUT
        case pyexasol.ExaQueryAbortError():
            return Failure.INTERRUPTED
        case pyexasol.ExaConnectionError():
            if any(isinstance(each, websocket.WebSocketTimeoutException) for each in causes(error)):
                return Failure.CONNECT_TIMEOUT
            return failure_of_os(error) or Failure.BAD_ADDRESS
        case websocket.WebSocketTimeoutException():
            return Failure.SILENT
        case pyexasol.ExaCommunicationError():
            waited = isinstance(error.__context__, websocket.WebSocketTimeoutException)
            return Failure.SILENT if waited else Failure.CONNECTION_LOST
        case websocket.WebSocketException():
            return Failure.CONNECTION_LOST
        case pyexasol.ExaError():
            return first_match(str(error.message), _WORDS) or Failure.OTHER
        case TypeError() | ValueError() | AttributeError() | OverflowError():
            return Failure.BAD_PARAMETER
    return failure_of_os(error) or Failure.OTHER
