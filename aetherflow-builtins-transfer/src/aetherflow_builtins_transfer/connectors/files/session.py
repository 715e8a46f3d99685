"""FileSession, the interface that a driver implements, and the pool of sessions."""

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress

from aetherflow.core.api import PreparedFile, RemoteEntry

Write = Callable[[bytes], object]
"""Called with the next bytes from the server."""
Read = Callable[[int], bytes]
"""Returns the next bytes for the server, at most the given number; empty at the end."""


class FileSession(ABC):
    """One session on the server, used by one thread at a time.

    Paths are in the driver's form; methods raise the library's errors.
    """

    chunk: int = 1 << 20
    """Bytes that are transferred in one piece."""
    beat: Callable[[], None] = staticmethod(lambda: None)
    """Called when an answer arrived; the watchdog sets it."""

    @abstractmethod
    def entries(self, folder: str) -> list[RemoteEntry]:
        """The entries of one folder without `.` and `..`; links are not followed."""

    @abstractmethod
    def stat(self, path: str, *, follow: bool = True) -> RemoteEntry:
        """The entry at a path, with or without following a link; an error if there is none."""

    @abstractmethod
    def fetch(self, path: str, offset: int, limit: int | None, write: Write) -> None:
        """Call `write` with a file's content from `offset` on, all of it or `limit` bytes. The file is opened once."""

    @abstractmethod
    def store(self, path: str, offset: int, read: Read) -> None:
        """Write a file from `offset` on; offset 0 creates or truncates it. On return every byte is acknowledged."""

    def store_all(self, files: Sequence[PreparedFile], *, replace: bool, mode: int | None) -> list[bool]:
        """Upload small files together, each under its temporary name, with its size compared, then renamed.

        Returns for each file whether it arrived; the others must be sent alone. Only for connectors that have
        `write_together`.
        """
        raise NotImplementedError

    @abstractmethod
    def rename(self, old: str, new: str, *, replace: bool) -> None:
        """Rename a file; with `replace` an existing target is replaced atomically, otherwise it is an error."""

    @abstractmethod
    def remove(self, path: str) -> None:
        """Delete a file, or the link itself."""

    @abstractmethod
    def mkdir(self, path: str) -> None:
        """Create one folder; an error if the name is taken."""

    @abstractmethod
    def rmdir(self, path: str) -> None:
        """Delete a folder, which must be empty."""

    @abstractmethod
    def set_mtime(self, path: str, mtime: float) -> None:
        """Set the time of the last change, in Unix seconds."""

    def chmod(self, path: str, mode: int) -> None:
        """Set the permission bits; OSError if the protocol has none."""
        raise OSError(f"this protocol knows no permission bits (wanted {mode:o} for {path})")

    @abstractmethod
    def alive(self) -> bool:
        """False if the session is known to be unusable."""

    @abstractmethod
    def close(self) -> None:
        """End the session; tell the server if it still answers."""

    def abort(self) -> None:
        """End the session while another thread waits in it, without a message to the server, which may be gone."""
        self.close()


class SessionPool:
    """A thread-safe pool of sessions, which are opened on demand, kept, and lent to one thread at a time."""

    def __init__(self, open_session: Callable[[], FileSession], size: int) -> None:
        self._open_session = open_session
        self._free = threading.Semaphore(size)
        self._lock = threading.Lock()
        self._idle: list[FileSession] = []
        self._busy: list[FileSession] = []

    @contextmanager
    def borrow(self, keep_after: Callable[[BaseException], bool]) -> Iterator[FileSession]:
        """Lend a session for one piece of work; after an error it is closed unless `keep_after` returns true."""
        with self._free:
            session = self._take() or self._open_session()
            with self._lock:
                self._busy.append(session)
            keep = True
            try:
                yield session
            except BaseException as error:
                keep = keep_after(error)
                raise
            finally:
                with self._lock:
                    mine = session in self._busy  # False if the pool was closed meanwhile, which aborted the session
                    if mine:
                        self._busy.remove(session)
                    if mine and keep:
                        self._idle.append(session)
                if not (mine and keep):
                    with suppress(Exception):  # the session is broken, so errors on close do not matter
                        session.close()

    def _take(self) -> FileSession | None:
        while True:
            with self._lock:
                if not self._idle:
                    return None
                session = self._idle.pop()
            if session.alive():
                return session
            with suppress(Exception):
                session.close()

    def close(self) -> None:
        """Close idle sessions and abort lent ones; later calls open new sessions."""
        with self._lock:
            idle, busy = self._idle, self._busy
            self._idle, self._busy = [], []
        for end in [*(each.abort for each in busy), *(each.close for each in idle)]:
            with suppress(Exception):  # the peer may be gone
                end()
