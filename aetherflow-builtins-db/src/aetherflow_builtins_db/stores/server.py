"""The database of one store in a server: statements, transactions that survive a lost connection, its clock.

Statements of a transaction that only change rows wait for the next one that finds some, or for the commit, and go with
it: a step of a run takes two messages.

A transaction is kept as the list of its statements and what each has found. If the connection is lost in the middle, it
is done again over another one, and goes on if every statement finds the same; otherwise it ends with ConflictError,
undone.

Whether a commit whose answer was lost has happened stands in the row of the session: the transaction itself writes its
number there. A new connection of the session first takes that row (`link`), so that what the old one may still have in
hand can commit no more.
"""

import os
import secrets
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from typing import TypeVar

from aetherflow.core.api import StoreConflictError
from aetherflow_builtins_db.connectors.common.pooled import FIRST_PAUSE_SECONDS
from aetherflow_builtins_db.failures import Failure, one_line
from aetherflow_builtins_db.stores.kept import KeptConnection
from aetherflow_builtins_db.stores.owners import Owners
from aetherflow_builtins_db.stores.sending import AT_ONCE, Act, Found, FoundRows, Line, message_of
from aetherflow_builtins_db.stores.values import Values, plain

T = TypeVar("T")
_LONGEST_PAUSE_SECONDS = 1.0
_KEEP_SESSIONS_MS = 7 * 24 * 60 * 60 * 1000
_PASSING = frozenset(
    {
        *(Failure.CONNECTION_LOST, Failure.SILENT, Failure.STARTING, Failure.REFUSED, Failure.CONNECT_TIMEOUT),
        *(Failure.NO_HOST, Failure.TOO_MANY_CONNECTIONS, Failure.DEADLOCK, Failure.CONFLICT),
    }
)
"""Failures after which a transaction is done again, as long as its time allows."""
_LOOK = "SELECT count(*), 0, {clock} FROM schema_version"
_LINK = """INSERT INTO sessions (name, link, number, seen) VALUES (?, 1, 0, {clock})
    ON CONFLICT (name) DO UPDATE SET link=sessions.link + 1, seen=excluded.seen RETURNING link, number, {clock}"""
_FORGET = "DELETE FROM sessions WHERE name=? OR seen < {clock} - ?"
_VERSION = (
    "INSERT INTO schema_version (one, version) VALUES (1, ?) ON CONFLICT (one) DO UPDATE SET version=excluded.version"
)
_OWN_TABLES = {"sessions", "schema_version", "turns"}


class StoreError(OSError):
    """What the server says against a statement, or that it cannot be reached."""


class ConflictError(StoreError, StoreConflictError):
    """A transaction was undone, and others have changed rows since that it had read."""


class NoStoreError(StoreError, FileNotFoundError):
    """There is no such store yet."""


class ServerDatabase:
    """One connection to the schema of a store; made again when it is lost."""

    row_lock = " FOR UPDATE"

    def __init__(
        self, kind: type[Line], connections: KeptConnection, owners: Owners, schema: str,
        *, busy_seconds: float, reading: bool = False,
    ) -> None:  # fmt: skip
        """`connections` are a driver's, in autocommit mode; `busy_seconds` is how long others are waited for.

        Raises StoreError if the server cannot be reached meanwhile, FileNotFoundError if there is no such schema for
        `reading`, UntrustedError.
        """
        self._reading = reading
        self._kind, self._connections, self._schema, self._patience = kind, connections, schema, busy_seconds
        self._connect, self._owners = partial(connections.take, reading=reading), owners
        self.clock = kind.clock
        self._process = os.getpid()
        self._turn = threading.RLock()  # the items of a step read from threads of their own
        self._session = secrets.token_hex(16)
        self._line: Line | None = None
        self._link = self._number = self._stored = 0
        """`_number` counts commits; `_stored` is what the session's row said when this connection took it."""
        self._offset_ms = 0.0
        self._open = self._begun = False
        self._acts: list[tuple[Act, Found]] = []
        self._waiting: list[Act] = []
        """What comes after `_acts`, and has not been sent."""
        self._until(lambda: None)

    # Statements

    def execute(self, statement: str, values: Values = (), /) -> FoundRows:
        """Execute one statement; over a new connection, after what came before it, if this one is lost."""
        return self._act(Act("one", statement, plain(values)))

    def executemany(self, statement: str, values: Iterable[Values], /) -> FoundRows:
        """Execute one statement for each of the values."""
        return self._act(Act("many", statement, [plain(each) for each in values]))

    def attempt(self, statement: str, values: Values) -> bool:
        """Execute an INSERT in a transaction; False if a unique index refuses the row."""
        return bool(self._act(Act("attempt", statement, plain(values))).rowcount)

    def await_turn(self, name: str) -> None:
        """Wait until no other transaction that has given this name is open."""
        self._act(self._kind.turn(f"{self._schema} {name}"))

    # Transactions

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open."""
        return self._open

    def begin(self) -> None:
        """Begin a transaction; the server gets it with its first statement. StoreError if one is open."""
        with self._turn:
            if self._open:  # to begin another one would end it before it is complete
                raise StoreError("cannot start a transaction within a transaction")
            self._end(opens=True)

    def commit(self) -> None:
        """Commit. If the answer is lost, it is found out whether the commit has happened."""
        with self._turn:
            if self._acts or self._waiting:
                self._number += 1  # also of one whose end stays unknown
                self._until(lambda: self._commit(self._number))
            self._end()

    def _commit(self, number: int) -> None:
        if self._stored != number:  # else it has happened, over the connection before
            self._replay()
            commit = Act("one", "COMMIT", ())
            if self._reading:
                self._send([commit])
                return
            sent = time.monotonic()
            values: list[Values] = [(number, self._session, self._link), *((),) * (len(self._kind.mark) - 1)]
            marks = [Act("one", *each) for each in zip(self._kind.mark, values, strict=True)]
            found = self._send([*self._waiting, *marks, commit])
            self._acts += zip(self._waiting, found, strict=False)
            self._set_clock(found[-2].rows[0][-1], sent)

    def _end(self, *, opens: bool = False) -> None:
        self._open, self._begun, self._acts, self._waiting = opens, False, [], []

    def committed(self) -> None:
        """Nothing: what the server has committed is seen by all."""

    def rollback(self) -> None:
        """Undo all that the open transaction has done so far."""
        with self._turn:
            self._undo()
            self._end()

    # The database

    def require(self) -> None:
        """Nothing: a schema is not replaced unseen."""

    def again(self, *, busy_seconds: float) -> "ServerDatabase":
        """Another connection to the same schema."""
        return ServerDatabase(self._kind, self._connections, self._owners, self._schema, busy_seconds=busy_seconds)

    def wait_for_others(self, seconds: float) -> None:
        """Set how long a statement waits for a lock of others, and for the server."""
        if seconds != self._patience:
            self._patience = seconds
            self._until(lambda: self._connection.ask(self._connection.limit(seconds)))

    def relax(self) -> None:
        """Do not wait for the server's disk at commits, if it can do that; a new connection does again."""
        self.execute(self._kind.relax)

    def now_ms(self) -> int:
        """The server's clock: this host's monotonic one, as both were compared at the last commit."""
        return round(time.monotonic() * 1000 + self._offset_ms)

    def tables(self) -> set[str]:
        """The names of the tables; of those that a broken off creation has left, none."""
        if self._kind.commits_definitions and not self.schema_version():
            return set()
        query = "SELECT table_name FROM information_schema.tables WHERE table_schema=?"
        return {row[0] for row in self.execute(query, (self._schema,))} - _OWN_TABLES

    def schema_version(self) -> int:
        """The version of the tables; 0 in a new schema."""
        row = self.execute("SELECT version FROM schema_version").fetchone()
        return row[0] if row else 0

    def set_schema_version(self, version: int) -> None:
        """Note the version of the tables."""
        self.execute(_VERSION, (version,))

    @property
    def total_changes(self) -> int:
        """How many transactions of this connection have written."""
        return self._number

    def changes(self) -> object:
        """What the rows of the other sessions say: each transaction that writes has its number there."""
        query = "SELECT count(*), sum(number), max(seen) FROM sessions WHERE name<>?"
        return self.execute(query, (self._session,)).fetchone()

    def size(self) -> int:
        """How many bytes the tables of the schema take, with their indexes."""
        return int(self.execute(self._kind.size, (self._schema,)).fetchone()[0])

    def close(self) -> None:
        """Close the connection; what is not committed is undone. In a fork the copy is left to the process before."""
        if self._line is not None and self._process == os.getpid():
            with suppress(Exception):  # rows that stay are forgotten after a week
                if not self._reading:
                    forget = _FORGET.format(clock=self.clock)
                    self._line.ask(self._line.text(forget, (self._session, _KEEP_SESSIONS_MS)))
                else:
                    self._line.ask("ROLLBACK")
                    if self._connections.give_back(self._line.raw):
                        self._line = None
            self._drop()

    # Doing it, and again

    def _act(self, act: Act) -> FoundRows:
        with self._turn:
            return self._acted(act)

    def _acted(self, act: Act) -> FoundRows:
        if not act.statement.strip():
            return FoundRows(lambda: Found(0, []))
        if not self._open:
            (found,) = self._until(lambda: self._send([act]))
            return FoundRows(lambda: found)
        acts, place = self._acts, len(self._acts) + len(self._waiting)
        self._waiting.append(act)
        if self._reading or not act.can_wait or len(self._waiting) >= AT_ONCE:
            self._send_waiting()

        def found_there() -> Found:
            with self._turn:
                if acts is self._acts and place >= len(acts):
                    self._send_waiting()
            return acts[place][1] if place < len(acts) else Found(0, [])  # it was undone

        return FoundRows(found_there)

    def _send_waiting(self) -> None:
        def do() -> list[Found]:
            self._replay()
            return self._send(self._waiting)

        self._acts += zip(self._waiting, self._until(do), strict=True)
        self._waiting = []

    def _until(self, do: Callable[[], T]) -> T:
        """The result of `do`, which is called again after failures that pass."""
        until, pause = time.monotonic() + self._patience, FIRST_PAUSE_SECONDS / 4
        while True:
            try:
                if self._line is None:
                    self._line = self._entered()
                return do()
            except self._kind.errors() as error:
                taken_over = self._kind.taken_over(error)
                passing = taken_over or self._kind.is_undone(error) or self._kind.failure_of(error) in _PASSING
                if time.monotonic() > until or not passing:
                    raise StoreError(message_of(error)) from error
                if taken_over:
                    self._drop()
                self._undo()
            time.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)

    def _undo(self) -> None:
        """Undo what the server has of the transaction: on this connection, or with it."""
        if self._begun and self._line is not None:
            try:
                self._line.ask("ROLLBACK")
            except Exception:  # noqa: BLE001 the server undoes what is open on a connection that is lost
                self._drop()
        if self._line is not None and self._line.closed:
            self._drop()
        self._begun = False

    def _replay(self) -> None:
        """Do again what the open transaction has done so far, if the server has nothing of it any more."""
        if self._open and not self._begun:
            again = self._send([act for act, _ in self._acts]) if self._acts else []
            for (act, before), now in zip(self._acts, again, strict=True):
                if now != before:  # the rows themselves may be nobody's business
                    what = one_line(act.statement)[:80]
                    raise ConflictError(f"a transaction was undone, and others have changed its rows since: {what}")

    def _entered(self) -> Line:
        """A new connection that has taken the row of the session."""
        line = self._kind(self._connect(), self._schema)
        try:
            try:
                self._owners.require(line)
                self._enter(line)
            except self._kind.errors() as error:
                if not self._kind.no_schema(error):
                    raise
                if self._reading:
                    raise NoStoreError(f"there is no schema {self._schema} in it") from error
                line.make()
                self._owners.require(line)
                self._enter(line)
        except BaseException:
            line.close()
            raise
        return line

    def _enter(self, line: Line) -> None:
        text, values = (_LOOK, ()) if self._reading else (_LINK, (self._session,))
        sent = time.monotonic()
        found = line.ask(
            *line.entering(reading=self._reading),
            line.limit(self._patience),
            line.text(text.format(clock=self.clock), values),
        )
        ((self._link, self._stored, now_ms),) = found[-1].rows
        self._set_clock(now_ms, sent)

    def _set_clock(self, now_ms: int, sent: float) -> None:
        self._offset_ms = now_ms - (sent + time.monotonic()) * 500

    def _drop(self) -> None:
        if self._line is not None:
            with suppress(Exception):
                self._line.close()
            self._line = None

    @property
    def _connection(self) -> Line:
        if self._line is None:
            raise StoreError("the database is closed")
        return self._line

    def _send(self, acts: list[Act]) -> list[Found]:
        begin = None
        if self._open and not self._begun:
            begin = self._kind.begin_reading if self._reading else "BEGIN"
            self._begun = True
        return self._connection.send(acts, begin)
