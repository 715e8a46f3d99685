"""What all database servers do in the same way: a pool of connections, transactions in plain SQL, mapped errors."""

import threading
import time
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, ClassVar, TypeVar

from aetherflow.core.api import ConnectorError, ConnectorInit, install_command
from aetherflow_builtins_db.connectors.common.base import SqlBase, step_name
from aetherflow_builtins_db.connectors.common.pool import Limits, Pool, PoolFullError
from aetherflow_builtins_db.connectors.common.progress import Moved
from aetherflow_builtins_db.connectors.common.settings import ServerConfig, ServerOptions
from aetherflow_builtins_db.connectors.common.transaction import ServerTransaction
from aetherflow_builtins_db.contract import Params, Row, ScriptResult
from aetherflow_builtins_db.files import local_file
from aetherflow_builtins_db.statements import changes_rows, keeps_session

ConfigT = TypeVar("ConfigT", bound=ServerConfig)
OptionsT = TypeVar("OptionsT", bound=ServerOptions)

VALUE_ERRORS = (TypeError, ValueError, AttributeError, OverflowError)
"""What drivers raise for a value that they cannot send."""

LOST = "the connection was lost: look at the server's log, then run the step again"
DOUBT = "nobody can tell whether the server has committed: look, before you repeat what must not happen twice"
_CANCEL_PAUSE_SECONDS, _INSIST_SECONDS = 0.5, 60.0
_BREAK_SECONDS = 5.0
"""A server that has not answered a cancel by then is not waited for."""
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.2, 5.0


class ServerBase(SqlBase[ConfigT, OptionsT]):
    """A database server. Subclasses say how one connection is opened, used and closed.

    Every call has a connection of its own, taken from a pool: calls from several threads do not disturb each other, and
    a reader sees one state of the data. A connection whose session a script may have changed (SET, temporary tables)
    is closed after it, so the next call finds a clean one.
    """

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
            self._open_patiently, self.shut, self._is_alive if pooling.pre_ping else None, limits
        )
        self.read_only = self.conf.read_only
        self._interrupts = 0

    # What a driver says

    @abstractmethod
    def driver_errors(self) -> tuple[type[BaseException], ...]:
        """The driver's exceptions; importing them may raise ImportError."""

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

    def is_lost(self, error: BaseException) -> bool:
        """Whether the error says that the connection is gone, and not what the server thinks of a statement."""
        return isinstance(error, OSError)

    @abstractmethod
    def begin(self, connection: Any, *, read_only: bool) -> None:
        """Start a transaction."""

    @abstractmethod
    def markers(self, sql: str) -> tuple[str, list[str]]:
        """The SQL with the driver's markers, and the names of its parameters."""

    @abstractmethod
    def run(self, connection: Any, sql: str, values: Mapping[str, Any]) -> int | None:
        """Run a translated statement to its end; the number of rows that it changed as the driver counts."""

    @abstractmethod
    def run_many(self, connection: Any, sql: str, rows: Iterable[Mapping[str, Any]]) -> int:
        """Run a translated statement for every map of values; the number of rows changed."""

    @abstractmethod
    def fetch(self, connection: Any, sql: str, values: Mapping[str, Any]) -> tuple[list[str], list[Row]]:
        """Run a translated query; the names of its columns and all its rows."""

    def go_on(self, connection: Any, sql: str) -> None:
        """Start a transaction again if this statement has ended the one that it was in."""

    def commit(self, connection: Any) -> None:
        """End the transaction for good."""
        connection.commit()

    def rollback(self, connection: Any) -> None:
        """Undo the transaction."""
        connection.rollback()

    def shut(self, connection: Any) -> None:
        """Close a connection, whatever state it is in."""
        connection.close()

    def is_transient(self, error: BaseException) -> bool:
        """Whether trying to connect again may help."""
        del error
        return False

    @property
    def address(self) -> str:
        """Where messages say that the server is; without the password."""
        place = self.conf.place
        host, port, database = place.get("host") or "localhost", place.get("port"), place.get("database")
        user = f"{place['user']}@" if place.get("user") else ""
        return f"{user}{host}{f':{port}' if port else ''}{f'/{database}' if database else ''}"

    def file(self, path: str) -> str:
        """Absolute path of a key or certificate; a relative one stands beside the flow file."""
        return local_file(self, path)

    # Connections

    def _open_patiently(self) -> Any:
        self._require_driver()
        errors: tuple[type[BaseException], ...] = (*self.driver_errors(), OSError)
        pause, interrupts, most = FIRST_PAUSE_SECONDS, self._interrupts, self.opts.connect_attempts
        for attempt in range(1, most + 1):
            try:
                return self.open()
            except errors as error:
                again = self.is_transient(error)
                if attempt == most or not again or self._interrupts != interrupts:
                    count = f" (attempt {attempt} of {most})" if again and most > 1 else ""
                    raise self.failed(f"connecting to {self.address}", error, count) from error
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

    def failed(self, operation: str, error: BaseException, detail: str = "") -> ConnectorError:
        """The driver's error in our words: a lost connection with its peer; the password is in none of them."""
        found = super().failed(operation, error, detail)
        if self.is_lost(error):
            where = "" if self.address in str(found) else f" ({self.address})"
            found = ConnectorError(f"{found}{where}", fix=found.fix or LOST)
        password = self.conf.place.get("password")
        if password and password in str(found):
            return ConnectorError(str(found).replace(password, "***"), fix=found.fix)
        return found

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
            threading.Thread(target=self._insist, args=each, daemon=True).start()

    def _insist(self, connection: Any, number: int) -> None:
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
        connection = self._open_patiently()
        try:
            self.check(connection)
        except self.driver_errors() as error:
            raise self.failed("asking for a sign of life", error) from error
        finally:
            with suppress(Exception):
                self.shut(connection)

    # The contract

    def script(
        self,
        sql: str,
        params: Params = None,
        *,
        before_commit: Callable[[ScriptResult], None] | None = None,
        allow_implicit_commit: bool = False,
    ) -> ScriptResult:
        """Run one or more statements, several (or any with `before_commit`) in one transaction."""
        statements = self.statements(sql)
        self.check_script(statements, allow_implicit_commit=allow_implicit_commit)
        self.check_writable()
        translated = [(statement, *self.markers(statement)) for statement in statements]
        values = self.bound(list(dict.fromkeys(name for *_, names in translated for name in names)), params)
        together = len(statements) > 1 or before_commit is not None
        with self._working(together=together, keep=all(map(keeps_session, statements))) as connection:
            affected = []
            for number, (statement, text, names) in enumerate(translated, 1):
                with self.mapped(step_name(number, len(statements))):
                    count = self.run(connection, text, {name: values[name] for name in names})
                    if together:
                        self.go_on(connection, statement)
                affected.append(count if changes_rows(statement) else None)
            result = ScriptResult(tuple(affected))
            if before_commit:
                before_commit(result)
        return result

    @contextmanager
    def transaction(self) -> Iterator[ServerTransaction]:
        """Several operations on one connection that come true together."""
        self.check_writable()
        moved = Moved()
        with self._working(together=True, keep=False, moved=moved) as connection:
            yield self.transaction_on(connection, moved)

    def transaction_on(self, connection: Any, moved: Moved) -> ServerTransaction:
        """The object that `transaction` hands out."""
        return ServerTransaction(self, connection, moved)

    @contextmanager
    def _working(self, *, together: bool, keep: bool, moved: Moved | None = None) -> Iterator[Any]:
        """A connection, in a transaction if `together`; committed at the end of the block, undone if it raises."""
        connection = self.acquire()
        try:
            with self.mapped("begin"):
                if together:
                    self.begin(connection, read_only=False)
            yield connection
            self._commit(connection, str(moved or ""))
        except BaseException:
            self.give_back(connection, keep=keep)
            raise
        if keep:
            self.release(connection)
        else:
            self.discard(connection)

    def _commit(self, connection: Any, detail: str) -> None:
        known: tuple[type[BaseException], ...] = (*self.driver_errors(), OSError)
        try:
            self.commit(connection)
        except known as error:
            found = self.failed("commit", error, detail)
            if not self.is_lost(error):
                raise found from error
            raise ConnectorError(str(found), fix=DOUBT) from error

    @contextmanager
    def mapped(self, operation: str, moved: Moved | None = None) -> Iterator[None]:
        """Driver errors inside become ours, with what was moved before."""
        known: tuple[type[BaseException], ...] = (*self.driver_errors(), *VALUE_ERRORS, OSError)
        try:
            yield
        except known as error:
            raise self.failed(operation, error, str(moved or "")) from error
