"""The database of one store in PostgreSQL: statements, transactions that survive a lost connection, its clock.

Statements of a transaction that only change rows wait for the next one that finds some, or for the commit, and go with
it: a step of a run takes two messages.

A transaction is kept as the list of its statements and what each has found. If the connection is lost in the middle, it
is done again over another one, and goes on if every statement finds the same; otherwise it ends with an error, undone.

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
from typing import TYPE_CHECKING, Any, TypeVar

from aetherflow_builtins_db.connectors.common.pooled import FIRST_PAUSE_SECONDS
from aetherflow_builtins_db.connectors.postgres.errors import failure_of
from aetherflow_builtins_db.failures import Failure, one_line
from aetherflow_builtins_db.stores.sending import AT_ONCE, Act, Found, FoundRows, last, send
from aetherflow_builtins_db.stores.values import Values, adapt, plain

if TYPE_CHECKING:
    import psycopg

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
NOW = "(extract(epoch FROM clock_timestamp()) * 1000)::bigint"
_READ = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
_NEW = """
SELECT pg_advisory_xact_lock(hashtextextended('aetherflow schema', 0));
CREATE SCHEMA IF NOT EXISTS {schema};
CREATE TABLE IF NOT EXISTS {schema}.sessions (name TEXT PRIMARY KEY, link BIGINT, number BIGINT, seen BIGINT);
CREATE TABLE IF NOT EXISTS {schema}.schema_version (version BIGINT)
"""
_ENTER = "SET search_path = {schema}; SET synchronous_commit = on; SET idle_in_transaction_session_timeout = 15000"
_LOOK = f"SELECT count(*), 0, {NOW} FROM schema_version"  # noqa: S608 names are ours
_LINK = f"""INSERT INTO sessions (name, link, number, seen) VALUES (%s, 1, 0, {NOW})
    ON CONFLICT (name) DO UPDATE SET link=sessions.link + 1, seen=excluded.seen RETURNING link, number, {NOW}"""  # noqa: S608
_FORGET = f"DELETE FROM sessions WHERE name=%s OR seen < {NOW} - {_KEEP_SESSIONS_MS}"  # noqa: S608 names are ours
_MARK = f"""WITH mine AS (UPDATE sessions SET number=?, seen={NOW} WHERE name=? AND link=? RETURNING 1)
    SELECT 1 / count(*), {NOW} FROM mine"""  # noqa: S608 names are ours
"""A division by zero, and no commit, if the session has another connection by now."""
_SIZE = "SELECT sum(pg_total_relation_size(oid)) FROM pg_class WHERE relkind='r' AND relnamespace=?::regnamespace"
_DIVISION_BY_ZERO = "22012"
_IDLE_TOO_LONG = "25P03"
"""A process that was stopped in a transaction: the server has undone it, so that others need not wait."""


class StoreError(OSError):
    """What the server says against a statement, or that it cannot be reached."""


class NoStoreError(StoreError, FileNotFoundError):
    """There is no such store yet."""


class PostgresDatabase:
    """One connection to the schema of a store; made anew when it is lost."""

    row_lock = " FOR UPDATE"
    clock = NOW

    def __init__(self, connect: Callable[[], Any], schema: str, *, busy_seconds: float, reading: bool = False) -> None:
        """`connect` gives a psycopg connection in autocommit mode; `busy_seconds` is how long others are waited for.

        Raises StoreError if the server cannot be reached meanwhile, FileNotFoundError if there is no such schema for
        `reading`.
        """
        self._reading = reading
        self._connect, self._schema, self._patience = connect, schema, busy_seconds
        self._process = os.getpid()
        self._turn = threading.RLock()  # the items of a step read from threads of their own
        self._session = secrets.token_hex(16)
        self._raw: psycopg.Connection[Any] | None = None
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
        self.execute("SELECT pg_advisory_xact_lock(hashtextextended(?, 0))", (f"{self._schema} {name}",))

    # Transactions

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open."""
        return self._open

    def begin(self) -> None:
        """Begin a transaction; the server is told with its first statement."""
        with self._turn:
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
            if self._reading:
                self._connection.execute("COMMIT")
                return
            sent = time.monotonic()
            mark = Act("one", _MARK, (number, self._session, self._link))
            *found, marked, _ = self._send([*self._waiting, mark, Act("one", "COMMIT", ())])
            self._acts += zip(self._waiting, found, strict=True)
            self._set_clock(marked.rows[0][1], sent)

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

    def again(self, *, busy_seconds: float) -> "PostgresDatabase":
        """Another connection to the same schema."""
        return PostgresDatabase(self._connect, self._schema, busy_seconds=busy_seconds)

    def wait_for_others(self, seconds: float) -> None:
        """Set how long a statement waits for a lock of others, and for the server."""
        if seconds != self._patience:
            self._patience = seconds
            self._until(lambda: self._connection.execute(self._limit_of(self._connection)))

    def relax(self) -> None:
        """Do not wait for the server's disk at commits; a new connection does again."""
        self.execute("SET synchronous_commit = off")

    def now_ms(self) -> int:
        """The server's clock: this host's monotonic one, as both were compared at the last commit."""
        return round(time.monotonic() * 1000 + self._offset_ms)

    def tables(self) -> set[str]:
        """The names of the tables."""
        query = "SELECT table_name FROM information_schema.tables WHERE table_schema=?"
        return {row[0] for row in self.execute(query, (self._schema,))} - {"sessions", "schema_version"}

    def schema_version(self) -> int:
        """The version of the tables; 0 in a new schema."""
        row = self.execute("SELECT version FROM schema_version").fetchone()
        return row[0] if row else 0

    def set_schema_version(self, version: int) -> None:
        """Note the version of the tables."""
        self.execute("DELETE FROM schema_version")
        self.execute("INSERT INTO schema_version (version) VALUES (?)", (version,))

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
        return int(self.execute(_SIZE, (self._schema,)).fetchone()[0])

    def close(self) -> None:
        """Close the connection; what is not committed is undone. In a fork the copy is left to the process before."""
        if self._raw is not None and self._process == os.getpid():
            with suppress(Exception):  # rows that stay are forgotten after a week
                if not self._reading:
                    self._raw.execute(_FORGET, (self._session,))
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
        import psycopg

        until, pause = time.monotonic() + self._patience, FIRST_PAUSE_SECONDS / 4
        while True:
            try:
                if self._raw is None:
                    self._raw = self._entered()
                return do()
            except psycopg.Error as error:
                taken_over = error.sqlstate == _DIVISION_BY_ZERO
                passing = taken_over or error.sqlstate == _IDLE_TOO_LONG or failure_of(error) in _PASSING
                if time.monotonic() > until or not passing:
                    raise StoreError(one_line(str(error))) from error
                if taken_over:
                    self._drop()
                self._undo()
            time.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)

    def _undo(self) -> None:
        """Undo what the server has of the transaction: on this connection, or with it."""
        if self._begun and self._raw is not None:
            try:
                self._raw.execute("ROLLBACK")
            except Exception:  # noqa: BLE001 the server undoes what is open on a connection that is lost
                self._drop()
        if self._raw is not None and self._raw.closed:
            self._drop()
        self._begun = False

    def _replay(self) -> None:
        """Do again what the open transaction has done so far, if the server has nothing of it any more."""
        if self._open and not self._begun:
            again = self._send([act for act, _ in self._acts]) if self._acts else []
            for (act, before), now in zip(self._acts, again, strict=True):
                if now != before:  # the rows themselves may be nobody's business
                    what = one_line(act.statement)[:80]
                    raise StoreError(f"the connection was lost in a transaction, and the rows are others since: {what}")

    def _entered(self) -> "psycopg.Connection[Any]":
        """A new connection that has taken the row of the session."""
        import psycopg

        raw: psycopg.Connection[Any] = self._connect()
        try:
            adapt(raw)
            try:
                self._enter(raw)
            except psycopg.errors.UndefinedTable as error:
                if self._reading:
                    raise NoStoreError(f"there is no schema {self._schema} in it") from error
                raw.execute(_NEW.format(schema=self._schema))
                self._enter(raw)
        except BaseException:
            raw.close()
            raise
        return raw

    def _enter(self, raw: "psycopg.Connection[Any]") -> None:
        text, values = (_LOOK, None) if self._reading else (_LINK, (self._session,))
        text = f"{_ENTER.format(schema=self._schema)}; {self._limit_of(raw)}; {text}"
        sent = time.monotonic()
        ((self._link, self._stored, now_ms),) = last(raw.execute(text, values))
        self._set_clock(now_ms, sent)

    def _set_clock(self, now_ms: int, sent: float) -> None:
        self._offset_ms = now_ms - (sent + time.monotonic()) * 500

    def _limit_of(self, raw: "psycopg.Connection[Any]") -> str:
        """The statement that limits how long the server waits; how long it is waited for is limited here."""
        setattr(raw, "silence_limit", self._patience + 1)  # noqa: B010 of `connectors.postgres.wait`
        return f"SET lock_timeout = {max(round(self._patience * 1000), 1)}"

    def _drop(self) -> None:
        if self._raw is not None:
            with suppress(Exception):
                self._raw.close()
            self._raw = None

    @property
    def _connection(self) -> "psycopg.Connection[Any]":
        if self._raw is None:
            raise StoreError("the database is closed")
        return self._raw

    def _send(self, acts: list[Act]) -> list[Found]:
        begin = self._open and not self._begun
        if begin:
            self._begun = True
        return send(self._connection, acts, (_READ if self._reading else "BEGIN") if begin else None)
