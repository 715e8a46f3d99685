"""The base class of connectors to database servers: connection pool, transactions, interruption, mapped errors."""

import threading
import time
from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from aetherflow.core.api import ConnectorError, ConnectorInit, install_command
from aetherflow_builtins_db.connectors.common.pool import Limits, Pool, PoolFullError
from aetherflow_builtins_db.connectors.common.pooled import (
    FIRST_PAUSE_SECONDS,
    LONGEST_PAUSE_SECONDS,
    PooledBase,
)
from aetherflow_builtins_db.connectors.common.progress import Progress
from aetherflow_builtins_db.connectors.common.settings import ServerConfig, ServerOptions, Ssl
from aetherflow_builtins_db.connectors.common.stops import StoppedError, Stops
from aetherflow_builtins_db.failures import PASSING, Failure
from aetherflow_builtins_db.files import local_file

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

ConfigT = TypeVar("ConfigT", bound=ServerConfig)
OptionsT = TypeVar("OptionsT", bound=ServerOptions)

_CANCEL_PAUSE_SECONDS, _INSIST_SECONDS = 0.5, 60.0
_BREAK_SECONDS = 5.0
"""If a statement has not ended so long after the first cancel, its connection is broken off."""
_STOPPED = "the run was being stopped"


class ServerBase(PooledBase[ConfigT, OptionsT]):
    """A database server. Subclasses open, use and close single connections.

    Every call uses its own connection from the pool, so calls from several threads are independent of each other, and
    a reader sees one snapshot of the data. A connection that returns to the pool is reset by `reset`, because a plain
    query can call a function that changes its session or takes a lock. After statements other than queries and changes
    of rows (SET, temporary tables) the connection is closed.
    """

    PASSING: ClassVar = PASSING
    """Failures after which another attempt to connect is made."""
    EXTRA: ClassVar[str]
    """The extra of aetherflow-core that installs the driver."""

    def __init__(self, init: ConnectorInit) -> None:
        super().__init__(init)
        pooling = self.opts.pooling
        self._stops = Stops()
        self.silence_limit = self.opts.silence_limit
        limits = Limits(
            pooling.size, pooling.size + pooling.max_overflow, pooling.recycle_seconds, self.opts.connect_timeout
        )
        self._pool: Pool[Any] = Pool(
            self._open_with_retries, self.shut, self._is_alive if pooling.pre_ping else None, limits
        )
        self.read_only = self.conf.read_only

    # Supplied by subclasses

    @abstractmethod
    def open(self) -> Any:
        """Open a connection and apply the session options. Raises the driver's errors."""

    @abstractmethod
    def check(self, connection: Any) -> None:
        """Check that the server answers; raises the driver's error if not."""

    @abstractmethod
    def cancel(self, connection: Any) -> None:
        """Cancel the statement that runs on the connection; called from another thread."""

    def break_off(self, connection: Any) -> None:
        """Make a thread that waits for the server on this connection fail; called from another thread."""
        self.shut(connection)

    def end_session(self, connection: Any) -> None:
        """End the server's session of a lost connection, over a second connection; may raise anything.

        If only the network failed, the server still waits for its client and holds locks that the next attempt needs.
        """

    @abstractmethod
    def begin(self, connection: Any, *, read_only: bool) -> None:
        """Start a transaction, read-only if asked for."""

    def commit(self, connection: Any) -> None:
        """Commit the transaction; raises the driver's errors."""
        connection.commit()

    def rollback(self, connection: Any) -> None:
        connection.rollback()

    def reset(self, connection: Any) -> None:
        """Roll back, and undo what statements changed in the session; raises anything if that fails.

        A database whose queries cannot change the session has nothing more to undo than the transaction.
        """
        self.rollback(connection)

    def shut(self, connection: Any) -> None:
        """Close a connection in any state."""
        connection.close()

    @property
    def address(self) -> str:
        """The server's address in messages: `user@host:port/database`."""
        place = self.conf.place
        host, port, database = place.get("host") or "localhost", place.get("port"), place.get("database")
        user = f"{place['user']}@" if place.get("user") else ""
        return f"{user}{host}{f':{port}' if port else ''}{f'/{database}' if database else ''}"

    def file(self, path: str) -> str:
        """The absolute path of a key, a certificate or their folder, relative to the flow file.

        ConnectorError if it is not there: of the drivers, some then connect without it, others do not name it.
        """
        found = local_file(self, path)
        try:
            Path(found).stat()
        except OSError as error:
            raise self.refuse(f"{path} cannot be read: {error.strerror}", f"looked at {found}") from error
        return found

    def tls_context(self, wanted: Ssl) -> "ssl.SSLContext":
        """What `config.ssl` wants, for drivers that take an SSL context; the name of the host is not checked by it."""
        import ssl

        context = ssl.create_default_context(cafile=self.file(wanted.ca_file) if wanted.ca_file else None)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_REQUIRED if wanted.mode.startswith("verify") else ssl.CERT_NONE
        if wanted.cert_file:
            context.load_cert_chain(
                self.file(wanted.cert_file), self.file(wanted.key_file) if wanted.key_file else None
            )
        return context

    # Connections

    def _open_with_retries(self) -> Any:
        self._require_driver()
        errors: tuple[type[BaseException], ...] = (*self.driver_errors(), OSError)
        pause, since, most = FIRST_PAUSE_SECONDS, self._stops.count, self.opts.connect_attempts
        for attempt in range(1, most + 1):
            try:
                return self._stops.opened(since, self.open, self.shut)
            except StoppedError:
                raise self.refuse(f"interrupted while connecting to {self.address}", _STOPPED) from None
            except errors as error:
                failure = self.failure_of(error)
                again = failure in self.PASSING
                if attempt == most or not again or self._stops.count != since:
                    count = f" (attempt {attempt} of {most})" if again and most > 1 else ""
                    raise self.error_of(failure, f"connecting to {self.address}", error, count) from error
            except (TypeError, ValueError) as error:  # an unknown key of connect_args
                raise self.failed(f"connecting to {self.address}", error) from error
            self._stops.pause(pause, since)
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
        """The password; it is masked in every message."""
        return str(self.conf.place.get("password") or "")

    def message_of(self, error: object, failure: Failure) -> str:
        """The driver's message on one line."""
        text = super().message_of(error, failure)
        return f"interrupted: {text}" if failure is Failure.INTERRUPTED else text

    def acquire(self) -> Any:
        """Lend a connection to the caller, who must `release` or `discard` it; ConnectorError if none is available."""
        since = self._stops.count
        try:
            connection = self._pool.acquire()
        except PoolFullError as error:
            if self._stops.count != since:
                raise self.refuse("interrupted before it began", _STOPPED) from error
            most = self.opts.pooling.size + self.opts.pooling.max_overflow
            raise self.refuse(
                f"all {most} connections are in use", "raise options.pool.max_overflow, or close results that were read"
            ) from error
        if self._stops.count != since:
            self.release(connection)
            raise self.refuse("interrupted before it began", _STOPPED)
        return connection

    def release(self, connection: Any) -> None:
        """Take back a connection without an open transaction."""
        self._pool.release(connection)

    def discard(self, connection: Any) -> None:
        """Close a connection that cannot be used again; idempotent."""
        self._pool.discard(connection)

    def give_back(self, connection: Any, *, keep: bool = True) -> None:
        """Reset and take back a connection; if that fails, close it and end its session on the server.

        :param keep: whether `reset` undoes all that may have been changed; if not, the connection is closed
        """
        try:
            (self.reset if keep else self.rollback)(connection)
        except Exception:  # noqa: BLE001 - the connection is of no use any more
            self.discard(connection)
            with suppress(Exception):  # the server may be gone altogether
                self.end_session(connection)
        else:
            (self.release if keep else self.discard)(connection)

    def interrupt(self) -> None:
        """End waits for a connection and cancel all running statements; called from another thread, returns at once.

        A server ignores a cancel that arrives before its statement, so the cancel is repeated until the statement has
        ended. If the server does not answer it at all, or has not ended the statement, the connection is broken off.
        """
        self._stops.add()
        self._pool.stop_waiting()
        for connection, number in self._pool.used:
            # two threads: a cancel, over a second connection, may wait for the server, too
            for act, begin, end in (
                (self.cancel, 0.0, _BREAK_SECONDS),
                (self.break_off, _BREAK_SECONDS, _INSIST_SECONDS),
            ):
                threading.Thread(target=self._insist, args=(act, connection, number, begin, end), daemon=True).start()

    def _insist(self, act: "Callable[[Any], None]", connection: Any, number: int, begin: float, end: float) -> None:
        """Call `act` again and again from `begin` to `end`, in seconds from now, while the connection is lent."""
        begun = time.monotonic()
        while self._pool.lends(connection, number) and (past := time.monotonic() - begun) < end:
            if past >= begin:
                with suppress(Exception):  # the connection may have been closed meanwhile
                    act(connection)
            time.sleep(_CANCEL_PAUSE_SECONDS)

    def close(self) -> None:
        """Close all connections; more calls have no effect."""
        self._pool.close()

    def probe(self) -> None:
        """Connect, check that the server answers, and close; ConnectorError if that fails."""
        connection = self._open_with_retries()
        try:
            self.check(connection)
        except self.driver_errors() as error:
            raise self.failed("asking for a sign of life", error) from error
        finally:
            with suppress(Exception):
                self.shut(connection)

    # Scripts and transactions

    @contextmanager
    def working(self, *, together: bool, keep: bool, progress: Progress | None = None) -> Iterator[Any]:
        """Lend a connection, in a transaction if `together`; commit at the end of the block, roll back if it raises."""
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
            self.give_back(connection)
        else:
            self.discard(connection)
