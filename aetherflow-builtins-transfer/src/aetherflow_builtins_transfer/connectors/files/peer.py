"""PeerConnector, the base of the file connectors: sessions, attempts, errors, limits of time and bandwidth."""

import time
from abc import abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TypeVar

from aetherflow.core.api import AetherflowError, Backoff, ConnectorInit, FileConnector
from aetherflow_builtins_transfer.connectors.files.options import ConfigT, OptionsT
from aetherflow_builtins_transfer.connectors.files.session import FileSession, SessionPool
from aetherflow_builtins_transfer.connectors.files.throttle import Throttle
from aetherflow_builtins_transfer.connectors.files.watchdog import Watchdog
from aetherflow_builtins_transfer.failures import (
    Cause,
    Fault,
    InterruptedTransferError,
    Kind,
    LostError,
    RemoteError,
    shown,
)
from aetherflow_builtins_transfer.moving.calls import Calls, sleep_slices
from aetherflow_builtins_transfer.opening import open_unless

T = TypeVar("T")
SOUND: frozenset[Kind] = frozenset({"missing", "exists", "denied"})
"""Kinds of errors after which a session is still usable; after any other it is closed."""


class OwnErrors:
    """Remembers what a caller's own function raised, which goes through unchanged: `with own: sink(data)`."""

    def __init__(self) -> None:
        self.raised: BaseException | None = None

    def __enter__(self) -> None:
        pass

    def __exit__(self, _: object, error: BaseException | None, trace: object) -> None:
        self.raised = error


class PeerConnector(FileConnector[ConfigT, OptionsT]):
    """A server that is used through sessions. Thread-safe: each working thread has its own session."""

    def __init__(self, init: ConnectorInit) -> None:
        super().__init__(init)
        self.pool = SessionPool(self._open, self.opts.pool_size)
        self.watchdog = Watchdog(self.opts.idle_timeout_seconds)
        self.throttle = Throttle(self.opts.max_bytes_per_second)
        self._stops = 0

    # Supplied by subclasses

    @property
    @abstractmethod
    def peer(self) -> str:
        """The server's address in messages: `host:port`."""

    @abstractmethod
    def open_session(self) -> FileSession:
        """Open a session, connected and authenticated; raises the library's errors."""

    @abstractmethod
    def at(self, path: str) -> str:
        """Convert a user's path to the driver's form; RemoteError if it is not valid."""

    @abstractmethod
    def explain(self, error: BaseException) -> Fault:
        """Classify an error of the library; the Fault has its kind and a text."""

    def advise(self, kind: Kind, cause: Cause = "") -> str:
        """The advice for a kind of error."""
        if cause == "unreachable":
            return f"check the address, and whether {self.peer} can be reached from here"
        return {
            "missing": "check the path; it is the peer's",
            "exists": "choose another name, or allow to overwrite",
            "denied": f"ask who runs {self.peer} for the right to do this",
            "lost": "run it again; options.retry tries by itself, options.idle_timeout_seconds says how long to wait",
            "stopped": "resume the run",
            "other": "see the peer's own log for its reason",
        }[kind]

    # Lifecycle

    def close(self) -> None:
        """End all sessions; more calls have no effect."""
        self.pool.close()

    def interrupt(self) -> None:
        """End the sessions of all threads, whose work then fails; later calls open new sessions."""
        self.count_stop()
        self.pool.close()

    def count_stop(self) -> None:
        """Make every running transfer end at its next chunk."""
        self._stops += 1

    @property
    def retry(self) -> Backoff:
        """How calls of this resource are repeated: `options.retry`."""
        return self.opts.policy

    def calls(self) -> Calls:
        """Calls of the contract with attempts, for the methods that make more than one request."""
        return Calls(self, partial(self.check, self._stops))

    def reach(self, work: Callable[[FileSession], object]) -> None:
        """Do `work` in a session as a probe; RemoteError if that fails."""
        self.calls().attempt("reaching", self.peer, lambda: self.run("reaching", self.peer, work))

    def probe(self) -> None:
        """Connect, authenticate, and send one request; RemoteError if that fails."""
        self.reach(lambda session: session.stat(self.at("")))

    # Helpers

    def _open(self) -> FileSession:
        stops = self._stops
        return open_unless(self.open_session, lambda: self.check(stops))

    @property
    def label(self) -> str:
        """The name of this resource in messages."""
        return f"resource {self.name} ({self.kind}:{self.driver})"

    @property
    def stops(self) -> int:
        """Number of interruptions so far; a transfer ends when it changes."""
        return self._stops

    def check(self, stops: int) -> None:
        """Raise InterruptedTransferError if the connector was interrupted since `stops` was read."""
        if self._stops != stops:
            raise InterruptedTransferError("interrupted: the run is being stopped", resource=self.label)

    def pace(self, size: int, stops: int | None = None) -> None:
        """Count transferred bytes, and wait as the bandwidth limit requires. Raises like `check`."""
        began = self._stops if stops is None else stops
        self.watchdog.count(size)
        for part in sleep_slices(self.throttle.take(size)):
            self.check(began)
            time.sleep(part)
            self.watchdog.beat()
        self.check(began)

    def error(self, kind: Kind, message: str, fix: str = "", cause: Cause = "") -> RemoteError:
        """A RemoteError that names the resource, for the caller to raise."""
        fix = fix or self.advise(kind, cause)
        return RemoteError(shown(message), kind=kind, fix=fix, resource=self.label)

    def keeps(self, error: BaseException) -> bool:
        """Whether a session is still usable after this error."""
        if isinstance(error, RemoteError):
            return error.kind in SOUND
        return isinstance(error, Exception) and self.explain(error).kind in SOUND

    @contextmanager
    def a_session(self) -> Iterator[FileSession]:
        """Borrow a session from the pool, watched by the watchdog."""
        with self.pool.borrow(self.keeps) as session, self.watchdog.watch(session):
            yield session

    def run(self, action: str, what: str, work: Callable[[FileSession], T], own: OwnErrors | None = None) -> T:
        """Do one piece of work in a session, once.

        Raises RemoteError, `unsent` if there was no session; or what `own` has seen.
        """
        stops, began = self._stops, False
        try:
            with self.a_session() as session:
                began = True
                return work(session)
        except Exception as error:
            if own is not None and error is own.raised and self._stops == stops:
                raise
            failure = self._failure(error, f"{action} {what}", stops, unsent=not began)
            if failure is error:
                raise
            raise failure from error

    def _failure(self, error: Exception, doing: str, stops: int, *, unsent: bool) -> RemoteError:
        if self._stops != stops:
            return InterruptedTransferError(f"{shown(doing)}: the run is being stopped", resource=self.label)
        if isinstance(error, AetherflowError) and not isinstance(error, LostError):
            if isinstance(error, RemoteError):
                return error if error.names_resource else self.error(error.kind, str(error), error.fix)
            raise error
        kind, text, cause = self.explain(error)
        reason = f"connection to {self.peer}: {text}" if kind == "lost" else text
        message, fix = shown(f"{doing} failed: {reason}"), self.advise(kind, cause)
        return RemoteError(message, kind=kind, fix=fix, resource=self.label, reason=shown(reason), unsent=unsent)

    def identity(self, path: str) -> str:
        """A text that is equal for all spellings of a user's path to the same file."""
        return self.at(path)

    def is_top(self, path: str) -> bool:
        """Whether a path in the driver's form is the top folder, which has no parent."""
        return path in ("/", ".")

    def parent(self, path: str) -> str:
        """The parent folder of a path, in the driver's form."""
        above = path.rpartition("/")[0]
        return above or ("/" if path.startswith("/") else ".")

    def name_of(self, path: str) -> str:
        """The last part of a path in the driver's form."""
        return path.rpartition(self.SEPARATOR)[2]

    def split(self, path: str) -> tuple[str, str]:
        """The folder and the name of a path, the folder in the driver's form; RemoteError if it is not valid."""
        place = self.at(path)
        return (place, "") if self.is_top(place) else (self.parent(place), self.name_of(place))
