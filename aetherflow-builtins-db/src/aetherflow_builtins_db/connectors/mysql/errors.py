"""Classifies PyMySQL's errors by the server's error number, or by the OSError behind them."""

from collections.abc import Mapping
from typing import Any

from aetherflow_builtins_db.connectors.mysql.pymysql_parts import NONSENSE
from aetherflow_builtins_db.failures import Failure, Refusal, failure_of_os, one_line

_NUMBERS: Mapping[int, Failure] = {
    **dict.fromkeys((1045, 1698), Failure.LOGIN),
    1049: Failure.NO_DATABASE,
    **dict.fromkeys((1044, 1142, 1143, 1227, 1370), Failure.NO_RIGHT),
    **dict.fromkeys((2026, 3159), Failure.CERTIFICATE),
    **dict.fromkeys((1040, 1203), Failure.TOO_MANY_CONNECTIONS),
    **dict.fromkeys((1969, 3024), Failure.STATEMENT_TIMEOUT),
    1317: Failure.INTERRUPTED,
    1213: Failure.DEADLOCK,
    1205: Failure.LOCKED,
    1020: Failure.CONFLICT,
    **dict.fromkeys((1051, 1146), Failure.NO_TABLE),
    1054: Failure.NO_COLUMN,
    **dict.fromkeys((1064, 1149), Failure.SYNTAX),
    1792: Failure.READ_ONLY,
    **dict.fromkeys((1021, 1030, 1114), Failure.DISK_FULL),
    **dict.fromkeys((1062, 1586), Failure.UNIQUE_VIOLATION),
    **dict.fromkeys((1048, 1050, 1136, 1264, 1265, 1292, 1364, 1366, 1406, 1451, 1452, 4025), Failure.CONSTRAINT),
    **dict.fromkeys((0, 1053, 1927, 2006, 2014, 2055), Failure.CONNECTION_LOST),
}
_CANNOT_CONNECT, _LOST_IN_A_QUERY = 2003, 2013
"""Error numbers of the client; the OSError behind them tells the cause."""
_ABOUT_ROWS = frozenset(
    {1048, 1062, 1216, 1264, 1265, 1292, 1366, 1367, 1406, 1411, 1452, 1526, 1586, 1690, 3140, 3819, 4025}
)
"""Server errors about a row's data: null, duplicate, range, wrong value, length, foreign key, CHECK, JSON."""
_READ_OF_CLOSED = "read of closed file"
"""Python's message for a socket that another thread closed: a ValueError, as for a wrong parameter value."""


def failure_of(error: BaseException) -> Failure:
    """Classify an error of PyMySQL, or an OSError behind it."""
    number = number_of(error)
    if number is not None and number in _NUMBERS:
        return _NUMBERS[number]
    below = failure_of_os(getattr(error, "original_exception", None) or error)
    if number == _LOST_IN_A_QUERY:
        return Failure.SILENT if below is Failure.CONNECT_TIMEOUT else Failure.CONNECTION_LOST
    if number == _CANNOT_CONNECT or isinstance(error, OSError):
        return below or Failure.CONNECTION_LOST
    in_disorder = number is None and type(error).__name__ == "InternalError"
    if in_disorder or isinstance(error, NONSENSE):
        return Failure.CONNECTION_LOST
    if isinstance(error, TypeError | ValueError | AttributeError | OverflowError):
        return Failure.CONNECTION_LOST if _READ_OF_CLOSED in str(error) else Failure.BAD_PARAMETER
    return Failure.OTHER


def refusal(error: BaseException) -> Refusal | None:
    """The reason of a refused row; None if the error is not about the data."""
    return Refusal(one_line(str(error.args[-1]))) if number_of(error) in _ABOUT_ROWS else None


def number_of(error: BaseException) -> int | None:
    """The error number, None if there is none; the client's numbers are 2000 to 2999, all others the server's."""
    import pymysql

    first: Any = error.args[0] if isinstance(error, pymysql.MySQLError) and error.args else None
    return first if isinstance(first, int) else None
