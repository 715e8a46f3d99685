"""What all database servers do in the same way: a pool of connections, transactions in plain SQL, mapped errors."""

import threading
import time
from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, ClassVar, TypeVar

from aetherflow.core.api import ConnectorError, ConnectorInit, install_command
from aetherflow_builtins_db.connectors.common.pool import Limits, Pool, PoolFullError
from aetherflow_builtins_db.connectors.common.pooled import (
    FIRST_PAUSE_SECONDS,
    LONGEST_PAUSE_SECONDS,
    PooledBase,
)
from aetherflow_builtins_db.connectors.common.progress import Progress
from aetherflow_builtins_db.connectors.common.settings import ServerConfig, ServerOptions
from aetherflow_builtins_db.failures import PASSING, Failure
from aetherflow_builtins_db.files import local_file

ConfigT = TypeVar("ConfigT", bound=ServerConfig)
OptionsT = TypeVar("OptionsT", bound=ServerOptions)

_CANCEL_PAUSE_SECONDS, _INSIST_SECONDS = 0.5, 60.0
_BREAK_SECONDS = 5.0
"""A server that has not answered a cancel by then is not waited for."""


class ServerBase(PooledBase[ConfigT, OptionsT]):
    """A database server. Subclasses say how one connection is opened, used and closed.

    Every call has a connection of its own, taken from a pool: calls from several threads do not disturb each other, and
    a reader sees one state of the data. A connection whose session a script may have changed (SET, temporary tables)
    is closed after it, so the next call finds a clean one.
    """

    PASSING: ClassVar = PASSING
    """Failures to connect after which it is tried again."""
    EXTRA: ClassVar[str]
    """The extra of aetherflow-core that brings the driver."""

    def __init__(self, init: ConnectorInit) -> None:
        super().__init__(init)
        pooling = self.opts.pooling
        self.silence_limit = self.opts.silence_limit
        limits = Limits(
            pooling.size, pooling.size + pooling.max_overflow, pooling.recycle_seconds, self.opts.connect_timeout
        )
        self._pool: Pool[Any] = Pool(
            self._open_with_retries, self.shut, self._is_alive if pooling.pre_ping else None, limits
        )
        self.read_only = self.conf.read_only
        self._interrupts = 0

    # What a driver says

    @abstractmethod
    def open(self) -> Any:
        """A new connection, its session set up as the options say. Raises the driver's errors."""

    @abstractmethod
    def check(self, connection: Any) -> None:
        """Ask the server for a sign of life."""

    @abstractmethod
    def cancel(self, connection: Any) -> None:
        """Stop what runs on the connection; called from another thread."""

    def break_off(self, connection: Any) -> None:
        """Wake whoever waits for the server on this connection, with an error; called from another thread."""
        self.shut(connection)

    def end_session(self, connection: Any) -> None:
        """End the session of a lost connection on the server, over another one; may raise anything.

        A server that was only cut off goes on waiting for its client, and keeps the locks that the next try needs.
        """

    @abstractmethod
    def begin(self, connection: Any, *, read_only: bool) -> None:
        """Start a transaction."""

    def commit(self, connection: Any) -> None:
        """End the transaction for good."""
        connection.commit()

    def rollback(self, connection: Any) -> None:
        connection.rollback()

    def shut(self, connection: Any) -> None:
        """Close a connection, whatever state it is in."""
        connection.close()

    @property
    def address(self) -> str:
        """Where messages say that the server is."""
        place = self.conf.place
        host, port, database = place.get("host") or "localhost", place.get("port"), place.get("database")
        user = f"{place['user']}@" if place.get("user") else ""
        return f"{user}{host}{f':{port}' if port else ''}{f'/{database}' if database else ''}"

    def file(self, path: str) -> str:
        """Absolute path of a key or certificate; a relative one stands beside the flow file."""
        return local_file(self, path)

    # Connections

    def _open_with_retries(self) -> Any:
        self._require_driver()
        errors: tuple[type[BaseException], ...] = (*self.driver_errors(), OSError)
        pause, interrupts, most = FIRST_PAUSE_SECONDS, self._interrupts, self.opts.connect_attempts
        for attempt in range(1, most + 1):
            try:
                return self.open()
            except errors as error:
                failure = self.failure_of(error)
                again = failure in self.PASSING
                if attempt == most or not again or self._interrupts != interrupts:
                    count = f" (attempt {attempt} of {most})" if again and most > 1 else ""
                    raise self.error_of(failure, f"connecting to {self.address}", error, count) from error
            except (TypeError, ValueError) as error:  # an unknown key of connect_args
                raise self.failed(f"connecting to {self.address}", error) from error
            time.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS)
        raise AssertionError("unreachable")

    def _require_driver(self) -> None:
        try:
            self.driver_errors()
        except ImportError as error:
            raise ConnectorError(f"{self.requires[0]} is not installed", fix=install_command(self.EXTRA)) from error

    def _is_alive(self, connection: Any) -> bool:
        try:
            self.check(connection)
        except Exception:  # noqa: BLE001 - whatever it is, a new connection is opened
            return False
        return True

    @property
    def password(self) -> str:
        """The password, which every message masks."""
        return str(self.conf.place.get("password") or "")

    def message_of(self, error: object, failure: Failure) -> str:
        """The driver's message on one line."""
        text = super().message_of(error, failure)
        return f"interrupted: {text}" if failure is Failure.INTERRUPTED else text

    def acquire(self) -> Any:
        """A connection for the caller alone; hand it to `release` or `discard`."""
        interrupts = self._interrupts
        try:
            connection = self._pool.acquire()
        except PoolFullError as error:
            most = self.opts.pooling.size + self.opts.pooling.max_overflow
            raise self.refuse(
                f"all {most} connections are in use", "raise options.pool.max_overflow, or close results that were read"
            ) from error
        if self._interrupts != interrupts:
            self.release(connection)
            raise self.refuse("interrupted before it began", "the run was being stopped")
        return connection

    def release(self, connection: Any) -> None:
        """Take back a connection without an open transaction."""
        self._pool.release(connection)

    def discard(self, connection: Any) -> None:
        """Close a connection that cannot be used again; twice is fine."""
        self._pool.discard(connection)

    def give_back(self, connection: Any, *, keep: bool = True) -> None:
        """Take back a connection after a failure: undo what is open; if that fails, close it here and there.

        :param keep: whether its session is as it was; if not, it is closed: locks and temporary tables are not undone
        """
        try:
            self.rollback(connection)
        except Exception:  # noqa: BLE001 - the connection is of no use any more
            self.discard(connection)
            with suppress(Exception):  # the server may be gone altogether
                self.end_session(connection)
        else:
            (self.release if keep else self.discard)(connection)

    def interrupt(self) -> None:
        """Stop everything that runs; called from another thread, which does not wait for the server.

        A server forgets a cancel that comes before the statement does, so it is repeated until the work has ended. A
        server that does not answer at all is left: the connection breaks.
        """
        self._interrupts += 1
        for each in self._pool.used:
            threading.Thread(target=self._cancel_until_idle, args=each, daemon=True).start()

    def _cancel_until_idle(self, connection: Any, number: int) -> None:
        begun = time.monotonic()
        while self._pool.lends(connection, number) and (past := time.monotonic() - begun) < _INSIST_SECONDS:
            with suppress(Exception):  # it was closed in this moment
                (self.cancel if past < _BREAK_SECONDS else self.break_off)(connection)
            time.sleep(_CANCEL_PAUSE_SECONDS)

    def close(self) -> None:
        """Close all connections; twice is fine."""
        self._pool.close()

    def probe(self) -> None:
        """Connect, ask for a sign of life, and close."""
        connection = self._open_with_retries()
        try:
            self.check(connection)
        except self.driver_errors() as error:
            raise self.failed("asking for a sign of life", error) from error
        finally:
            with suppress(Exception):
                self.shut(connection)

    # The contract

    @contextmanager
    def working(self, *, together: bool, keep: bool, progress: Progress | None = None) -> Iterator[Any]:
        """A connection, in a transaction if `together`; committed at the end of the block, undone if it raises."""
        connection = self.acquire()
        try:
            with self.mapped("begin"):
                if together:
                    self.begin(connection, read_only=False)
            yield connection
            with self.committing(progress):
                self.commit(connection)
        except BaseException:
            self.give_back(connection, keep=keep)
            raise
        if keep:
            self.release(connection)
        else:
            self.discard(connection)
