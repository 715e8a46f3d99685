"""What kind of failure an error of a driver is: by its code, whatever its words are."""

import errno
import socket
import sqlite3
import ssl
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import duckdb
import oracledb
import psycopg
import pyexasol
import pymysql
import pytest
import sqlalchemy
import websocket
from oracledb import errors as oracle_errors

from aetherflow_builtins_db.connectors.duckdb import errors as of_duckdb
from aetherflow_builtins_db.connectors.exasol import errors as of_exasol
from aetherflow_builtins_db.connectors.mysql import errors as of_mysql
from aetherflow_builtins_db.connectors.oracledb import errors as of_oracle
from aetherflow_builtins_db.connectors.postgres import errors as of_postgres
from aetherflow_builtins_db.connectors.sqlalchemy import errors as of_sqlalchemy
from aetherflow_builtins_db.connectors.sqlite3 import errors as of_sqlite
from aetherflow_builtins_db.failures import Failure

WORDS = "unlesbar"
"""The message of an error whose code says all."""


def raised(work: Callable[[], Any]) -> BaseException:
    with pytest.raises(Exception) as caught:  # noqa: PT011 - whatever the driver raises
        work()
    return caught.value


def from_cause(error: BaseException, cause: BaseException) -> BaseException:
    error.__cause__ = cause
    return error


# Oracle: the driver's own exceptions, as it makes them of what the server sends


def oracle(message: str, code: int = 0) -> BaseException:
    told = oracle_errors._Error(message, code=code)
    error: BaseException = told.exc_type(told)
    return error


@pytest.mark.parametrize(
    ("message", "code", "kind"),
    [
        (f"ORA-00001: {WORDS}", 1, Failure.UNIQUE_VIOLATION),
        (f"ORA-01400: {WORDS}", 1400, Failure.CONSTRAINT),
        (f"ORA-01013: {WORDS}", 1013, Failure.INTERRUPTED),
        (f"ORA-00060: {WORDS}", 60, Failure.DEADLOCK),
        (f"ORA-01033: {WORDS}", 1033, Failure.STARTING),
        (f"ORA-12520: {WORDS}", 12520, Failure.TOO_MANY_CONNECTIONS),
        (f"ORA-01017: {WORDS}", 1017, Failure.LOGIN),
        (f"ORA-00936: {WORDS}", 936, Failure.SYNTAX),
        (f"ORA-01653: {WORDS}", 1653, Failure.DISK_FULL),
        (f"ORA-03113: {WORDS}", 3113, Failure.CONNECTION_LOST),
        (f"DPY-4024: {WORDS}", 0, Failure.STATEMENT_TIMEOUT),
        (f"DPI-1047: {WORDS}", 0, Failure.NO_DRIVER),
        (f"ORA-20001: {WORDS}, ORA-00001 is not meant", 20001, Failure.OTHER),
    ],
)
def test_oracle_by_its_number(message: str, code: int, kind: Failure) -> None:
    assert of_oracle.failure_of(oracle(message, code)) is kind


def test_oracle_by_what_is_below_a_failed_connect() -> None:
    listener = from_cause(oracle("DPY-6005: x"), oracle("DPY-6001: x"))
    assert of_oracle.failure_of(listener) is Failure.NO_DATABASE
    assert of_oracle.failure_of(from_cause(oracle("DPY-6005: x"), ConnectionRefusedError())) is Failure.REFUSED
    assert isinstance(listener, oracledb.Error)


# Exasol: pyexasol's exceptions with the codes of the protocol

CONNECTION: Any = SimpleNamespace(options={"verbose_error": False})
EXA: Any = pyexasol


def exasol(code: str, words: str = WORDS) -> BaseException:
    error: BaseException = EXA.ExaQueryError(CONNECTION, "SELECT 1", code, words)
    return error


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (exasol("27002"), Failure.UNIQUE_VIOLATION),
        (exasol("27001"), Failure.CONSTRAINT),
        (exasol("40001"), Failure.CONFLICT),
        (exasol("42500"), Failure.NO_RIGHT),
        (exasol("42000", "object T not found [line 1]"), Failure.NO_TABLE),
        (exasol("42000", "syntax error, unexpected SELEC"), Failure.SYNTAX),
        (exasol("42000"), Failure.OTHER),
        (EXA.ExaQueryTimeoutError(CONNECTION, "SELECT 1", "R0001", WORDS), Failure.STATEMENT_TIMEOUT),
        (EXA.ExaQueryAbortError(CONNECTION, "SELECT 1", "R0003", WORDS), Failure.INTERRUPTED),
        (EXA.ExaAuthError(CONNECTION, "08004", WORDS), Failure.LOGIN),
        (EXA.ExaCommunicationError(CONNECTION, WORDS), Failure.CONNECTION_LOST),
        (websocket.WebSocketTimeoutException(), Failure.SILENT),
        (websocket.WebSocketConnectionClosedException(), Failure.CONNECTION_LOST),
        (from_cause(EXA.ExaConnectionFailedError(CONNECTION, WORDS), ConnectionRefusedError()), Failure.REFUSED),
        (from_cause(EXA.ExaConnectionDsnError(CONNECTION, WORDS), socket.gaierror()), Failure.NO_HOST),
        (from_cause(EXA.ExaConnectionFailedError(CONNECTION, WORDS), ssl.SSLError()), Failure.CERTIFICATE),
        (
            from_cause(EXA.ExaConnectionFailedError(CONNECTION, WORDS), websocket.WebSocketTimeoutException()),
            Failure.CONNECT_TIMEOUT,
        ),
        (TypeError(WORDS), Failure.BAD_PARAMETER),
    ],
)
def test_exasol_by_code_and_class(error: BaseException, kind: Failure) -> None:
    assert of_exasol.failure_of(error) is kind


# MySQL and PostgreSQL: what their servers say for real is in tests/system


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (1062, Failure.UNIQUE_VIOLATION),
        (3024, Failure.STATEMENT_TIMEOUT),
        (1969, Failure.STATEMENT_TIMEOUT),
        (1317, Failure.INTERRUPTED),
        (1213, Failure.DEADLOCK),
        (1205, Failure.LOCKED),
        (2006, Failure.CONNECTION_LOST),
        (1234, Failure.OTHER),
    ],
)
def test_mysql_by_its_number(number: int, kind: Failure) -> None:
    assert of_mysql.failure_of(pymysql.OperationalError(number, f"{WORDS} 1062 Duplicate")) is kind


def test_mysql_by_the_systems_error_below() -> None:
    def told(number: int, cause: BaseException | None = None) -> Failure:
        error = pymysql.OperationalError(number, WORDS)
        return of_mysql.failure_of(from_cause(error, cause) if cause else error)

    assert told(2003, ConnectionRefusedError()) is Failure.REFUSED
    assert told(2003, socket.gaierror()) is Failure.NO_HOST
    assert told(2013, TimeoutError()) is Failure.SILENT
    assert told(2013, ssl.SSLError()) is Failure.CONNECTION_LOST
    assert told(2013) is Failure.CONNECTION_LOST
    assert of_mysql.failure_of(OSError(errno.EPIPE, WORDS)) is Failure.CONNECTION_LOST
    assert of_mysql.failure_of(ValueError(WORDS)) is Failure.BAD_PARAMETER


@pytest.mark.parametrize(
    ("state", "kind"),
    [
        ("23505", Failure.UNIQUE_VIOLATION),
        ("23502", Failure.CONSTRAINT),
        ("40001", Failure.CONFLICT),
        ("57P01", Failure.CONNECTION_LOST),
        ("57P03", Failure.STARTING),
        ("42P01", Failure.NO_TABLE),
        ("22012", Failure.OTHER),
    ],
)
def test_postgresql_by_its_sqlstate(state: str, kind: Failure) -> None:
    assert of_postgres.failure_of(psycopg.errors.lookup(state)(f"{WORDS} Connection refused")) is kind


def test_postgresql_without_a_state() -> None:
    refused = psycopg.OperationalError("connection failed: Connection refused")
    assert of_postgres.failure_of(refused) is Failure.REFUSED
    assert of_postgres.failure_of(psycopg.OperationalError(WORDS)) is Failure.CONNECTION_LOST
    assert of_postgres.failure_of(psycopg.ProgrammingError(WORDS)) is Failure.BAD_PARAMETER


# Databases in this process: provoked


def test_sqlite_by_its_extended_code() -> None:
    db = sqlite3.connect(":memory:")
    db.execute("CREATE TABLE t (a INTEGER PRIMARY KEY, b UNIQUE NOT NULL, CHECK (b <> 'unique'))")
    db.execute("INSERT INTO t VALUES (1, 'x')")

    def told(sql: str, *values: Any) -> Failure:
        return of_sqlite.failure_of(raised(lambda: db.execute(sql, *values)))

    assert told("INSERT INTO t VALUES (1, 'y')") is Failure.UNIQUE_VIOLATION
    assert told("INSERT INTO t VALUES (2, 'x')") is Failure.UNIQUE_VIOLATION
    assert told("INSERT INTO t VALUES (2, NULL)") is Failure.CONSTRAINT
    assert told("INSERT INTO t VALUES (2, 'unique')") is Failure.CONSTRAINT
    assert told("SELECT * FROM nope") is Failure.NO_TABLE
    assert told("SELEC") is Failure.SYNTAX
    assert told("SELECT 1; SELECT 2") is Failure.SEVERAL_STATEMENTS
    assert told("SELECT ?", (object(),)) is Failure.BAD_PARAMETER
    assert of_sqlite.failure_of(PermissionError(errno.EACCES, WORDS)) is Failure.CANNOT_OPEN, "no connection is lost"
    db.close()


def test_duckdb_by_class_and_words() -> None:
    db = duckdb.connect()
    db.execute("CREATE TABLE t (a INTEGER PRIMARY KEY, b VARCHAR NOT NULL)")
    db.execute("INSERT INTO t VALUES (1, 'x')")

    def told(sql: str) -> Failure:
        return of_duckdb.failure_of(raised(lambda: db.execute(sql)))

    assert told("INSERT INTO t VALUES (1, 'y')") is Failure.UNIQUE_VIOLATION
    assert told("INSERT INTO t VALUES (2, NULL)") is Failure.OTHER
    assert told("SELECT * FROM nope") is Failure.NO_TABLE
    assert told("SELECT nope FROM t") is Failure.NO_COLUMN
    assert told("SELEC 1") is Failure.SYNTAX
    assert of_duckdb.failure_of(duckdb.InterruptException(WORDS)) is Failure.INTERRUPTED
    assert of_duckdb.failure_of(duckdb.OutOfMemoryException(WORDS)) is Failure.OUT_OF_MEMORY
    assert of_duckdb.refusal(duckdb.InterruptException(WORDS)) is None
    refused = of_duckdb.refusal(raised(lambda: db.execute("SELECT CAST('x' AS INTEGER)")))
    assert refused is not None
    assert (refused.reason, refused.line) == ("Could not convert string 'x' to INT32", None)
    db.close()


# SQLAlchemy: what its driver said


def test_sqlalchemy_asks_the_room_of_its_driver() -> None:
    def told(cause: BaseException, driver: str, *, invalid: bool = False) -> Failure:
        error = sqlalchemy.exc.DBAPIError("SELECT 1", {}, cause, connection_invalidated=invalid)
        return of_sqlalchemy.failure_of(error, driver)

    assert told(psycopg.errors.UniqueViolation(WORDS), "psycopg") is Failure.UNIQUE_VIOLATION
    assert told(pymysql.IntegrityError(1062, WORDS), "pymysql") is Failure.UNIQUE_VIOLATION
    assert told(oracle(f"ORA-00001: {WORDS}", 1), "oracledb") is Failure.UNIQUE_VIOLATION
    assert told(Exception("23505", WORDS), "pyodbc") is Failure.UNIQUE_VIOLATION
    assert told(Exception(WORDS), "pyodbc", invalid=True) is Failure.CONNECTION_LOST
    assert told(Exception(WORDS), "pyodbc") is Failure.OTHER
