"""Kinds of database failures, and DatabaseError, which carries one.

Each package under `connectors` has a module `errors` that classifies its driver's errors; no other module reads a
driver's message.
"""

import errno
import re
from collections.abc import Iterator, Mapping
from enum import Enum, auto
from typing import NamedTuple, TypeAlias

from aetherflow.core.api import ConnectorError


class Failure(Enum):
    """Kinds of failures that the program or its advice treats differently."""

    OTHER = auto()
    # connecting
    NO_DRIVER = auto()
    NO_HOST = auto()
    REFUSED = auto()
    """No server listens at the address."""
    CONNECT_TIMEOUT = auto()
    STARTING = auto()
    """The server is starting or shutting down."""
    CERTIFICATE = auto()
    LOGIN = auto()
    ACCOUNT_LOCKED = auto()
    NOT_ADMITTED = auto()
    """The server accepts no connection from this host or user."""
    NO_DATABASE = auto()
    BAD_ADDRESS = auto()
    TOO_MANY_CONNECTIONS = auto()
    CANNOT_OPEN = auto()
    """A database file cannot be opened."""
    WRONG_FILE = auto()
    """The file is no database of this kind or version."""
    MODES_DIFFER = auto()
    """The database is open in this process with other settings."""
    # the connection
    CONNECTION_LOST = auto()
    SILENT = auto()
    """The server did not answer in time."""
    STATEMENT_TIMEOUT = auto()
    INTERRUPTED = auto()
    """The statement was cancelled, in most cases by this run, which is being stopped."""
    # other transactions
    DEADLOCK = auto()
    CONFLICT = auto()
    """Another transaction changed the same rows."""
    LOCKED = auto()
    """Another transaction or process held a lock for too long."""
    # storage
    DISK_FULL = auto()
    OUT_OF_MEMORY = auto()
    # the statement
    SYNTAX = auto()
    NO_TABLE = auto()
    NO_COLUMN = auto()
    DUPLICATE_COLUMN = auto()
    NO_FUNCTION = auto()
    NO_EXTENSION = auto()
    NO_RIGHT = auto()
    READ_ONLY = auto()
    NO_TRANSACTION = auto()
    """The statement cannot run inside a transaction."""
    SEVERAL_STATEMENTS = auto()
    BAD_PARAMETER = auto()
    """A value that the driver cannot send."""
    # data
    UNIQUE_VIOLATION = auto()
    CONSTRAINT = auto()
    """A constraint of the table was violated, or an object already exists; a duplicate key is UNIQUE_VIOLATION."""


LOST = frozenset({Failure.CONNECTION_LOST, Failure.SILENT})
"""The connection is lost: the outcome of the last statement is unknown."""
PASSING = frozenset({Failure.REFUSED, Failure.STARTING, Failure.TOO_MANY_CONNECTIONS, Failure.CONNECTION_LOST})
"""Failures that may be gone at the next attempt to connect."""
Advice: TypeAlias = Mapping[Failure, str]
"""What the user can do about each kind of failure."""
ADVICE: Advice = {
    Failure.LOGIN: "check config.user and config.password",
    Failure.NO_HOST: "check config.host",
    Failure.NO_DATABASE: "check config.database",
    Failure.REFUSED: "check config.host and config.port, and that the server runs",
    Failure.CONNECT_TIMEOUT: "check config.host and the network, or raise options.connect_timeout",
    Failure.CERTIFICATE: "check config.ssl: its mode and ca_file",
    Failure.TOO_MANY_CONNECTIONS: "wait for other clients, or lower options.pool",
    Failure.SILENT: "look at the server and the network, or raise options.read_timeout; then run the step again",
    Failure.STATEMENT_TIMEOUT: "raise options.statement_timeout, or make the query faster",
    Failure.INTERRUPTED: "the run was being stopped",
    Failure.DEADLOCK: "another transaction held what this one wanted: run the step again (retry:)",
    Failure.CONFLICT: "another transaction changed the same rows: run the step again (retry:)",
    Failure.LOCKED: "another transaction holds a lock: run the step again (retry:)",
    Failure.DISK_FULL: "free disk space on the database server",
    Failure.NO_COLUMN: "check the column's name",
    Failure.SYNTAX: "check the SQL near the words quoted",
    Failure.NO_RIGHT: "the user lacks the right: GRANT it, or use another user",
    Failure.READ_ONLY: "reading cannot change data; use db_execute",
    Failure.UNIQUE_VIOLATION: "the data or the table stand against it",
    Failure.CONSTRAINT: "the data or the table stand against it",
    Failure.CONNECTION_LOST: "the connection was lost: look at the server's log, then run the step again",
}
"""The advice for connectors that have no entry in their own `ADVICE`."""


class Refusal(NamedTuple):
    """Why a database refuses a row because of its data."""

    reason: str
    line: int | None = None
    """Line of the file, from 1; None if the database does not tell it."""


class DatabaseError(ConnectorError):
    """A database or its driver failed; `failure` is the kind of failure."""

    def __init__(self, message: str, *, fix: str = "", failure: Failure = Failure.OTHER) -> None:
        super().__init__(message, fix=fix)
        self.failure = failure


class StatementTimeoutError(TimeoutError):
    """`statement_timeout` has passed; raised by this package, not by a server."""


def failure_of_os(error: BaseException) -> Failure | None:
    """Classify the operating system's error behind a driver's error; None if there is none."""
    import socket
    import ssl

    for each in causes(error):
        match each:
            case StatementTimeoutError():
                return Failure.STATEMENT_TIMEOUT
            case ConnectionRefusedError():
                return Failure.REFUSED
            case socket.gaierror():
                return Failure.NO_HOST
            case ssl.SSLError():
                return Failure.CERTIFICATE
            case TimeoutError():
                return Failure.CONNECT_TIMEOUT
            case OSError(errno=errno.ENOSPC):
                return Failure.DISK_FULL
            case OSError():
                return Failure.CONNECTION_LOST
    return None


def failure_of_file(error: BaseException) -> Failure:
    """Like `failure_of_os`, for databases in a file: CANNOT_OPEN in place of CONNECTION_LOST."""
    found = failure_of_os(error) or Failure.OTHER
    return Failure.CANNOT_OPEN if found is Failure.CONNECTION_LOST else found


def causes(error: BaseException) -> Iterator[BaseException]:
    """The error, then its causes and contexts in turn."""
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = seen.__cause__ or (None if seen.__suppress_context__ else seen.__context__)


_POINTER = re.compile(r"\n\s*\n?LINE (\d+):.*", re.DOTALL)


def one_line(message: str) -> str:
    """The message on one line; an excerpt that marks the faulty line is replaced by its number."""
    text = _POINTER.sub(lambda found: f" (line {found.group(1)})", message.strip())
    return " ".join(text.split())


def first_match(message: str, rules: Mapping[str, Failure]) -> Failure | None:
    """The kind of the first pattern that occurs in the message; None if none does. For errors without a code."""
    return next((kind for pattern, kind in rules.items() if re.search(pattern, message, re.IGNORECASE)), None)
