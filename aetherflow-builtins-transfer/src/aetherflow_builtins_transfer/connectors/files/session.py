"""What a driver provides for files: one session at the peer, used by one thread at a time."""

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Literal

EntryKind = Literal["file", "folder", "link", "other"]


@dataclass(frozen=True, slots=True)
class RemoteEntry:
    """What stands at the peer under a name; `size` in bytes, `mtime` in unix seconds."""

    name: str
    kind: EntryKind
    size: int | None = None
    mtime: float | None = None


Write = Callable[[bytes], object]
"""Takes the next bytes that came from the peer."""
Read = Callable[[int], bytes]
"""Gives the next bytes for the peer, at most so many; none at the end."""


@dataclass(frozen=True, slots=True)
class PreparedFile:
    """A small file in memory on its way: the name it has first, the one it gets, and the time of its last change."""

    part: str
    target: str
    data: bytes
    mtime: float | None


class FileSession(ABC):
    """Files at the peer. Paths are in the driver's own form; methods raise whatever the library raises."""

    chunk: int = 1 << 20
    """Bytes that are moved in one piece."""
    beat: Callable[[], None] = staticmethod(lambda: None)
    """Called when an answer came; a watchdog puts its own function here."""

    @abstractmethod
    def entries(self, folder: str) -> list[RemoteEntry]:
        """What is in one folder, `.` and `..` left out; links are links."""

    @abstractmethod
    def stat(self, path: str, *, follow: bool = True) -> RemoteEntry:
        """One file or folder; a link is followed, or told as such. An error if nothing is there."""

    @abstractmethod
    def fetch(self, path: str, offset: int, limit: int | None, write: Write) -> None:
        """Hand on a file's content from `offset` on, all of it or `limit` bytes; of one file, opened once."""

    @abstractmethod
    def store(self, path: str, offset: int, read: Read) -> None:
        """Write a file from `offset` on; 0 makes it, or empties it. On return the peer has acknowledged every byte."""

    def store_all(self, files: Sequence[PreparedFile], *, replace: bool, mode: int | None) -> list[bool]:
        """Bring small files there together, each under its temporary name, size compared, then renamed.

        Of each whether it arrived; one that did not is to be sent alone. Only where the connector's BATCHES says so.
        """
        raise NotImplementedError

    @abstractmethod
    def rename(self, old: str, new: str, *, replace: bool) -> None:
        """Give another name; what has that name is replaced in one go, or is an error."""

    @abstractmethod
    def remove(self, path: str) -> None:
        """Delete a file, or a link itself."""

    @abstractmethod
    def mkdir(self, path: str) -> None:
        """Make one folder; an error if the name is taken."""

    @abstractmethod
    def rmdir(self, path: str) -> None:
        """Delete a folder, which has to be empty."""

    @abstractmethod
    def set_mtime(self, path: str, mtime: float) -> None:
        """Set the time of the last change."""

    def chmod(self, path: str, mode: int) -> None:
        """Set permission bits; an error where there are none."""
        raise OSError(f"this protocol knows no permission bits (wanted {mode:o} for {path})")

    @abstractmethod
    def alive(self) -> bool:
        """False if the session is known to be of no more use."""

    @abstractmethod
    def close(self) -> None:
        """End the session; the peer is told if it answers."""

    def abort(self) -> None:
        """End it while another thread waits in it, without a word to the peer, which may be gone."""
        self.close()


class SessionPool:
    """Sessions that are opened when needed, kept, and handed to one thread at a time."""

    def __init__(self, open_session: Callable[[], FileSession], size: int) -> None:
        self._open_session = open_session
        self._free = threading.Semaphore(size)
        self._lock = threading.Lock()
        self._idle: list[FileSession] = []
        self._busy: list[FileSession] = []

    @contextmanager
    def borrow(self, keep_after: Callable[[BaseException], bool]) -> Iterator[FileSession]:
        """A session for one piece of work; after an error it is closed unless `keep_after` says that it is sound."""
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
                    mine = session in self._busy  # else the pool was closed meanwhile, and the session aborted
                    if mine:
                        self._busy.remove(session)
                    if mine and keep:
                        self._idle.append(session)
                if not (mine and keep):
                    with suppress(Exception):  # it is broken: how it ends is of no interest
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
        """Close all sessions, those at work by force; the next one is opened anew."""
        with self._lock:
            idle, busy = self._idle, self._busy
            self._idle, self._busy = [], []
        for end in [*(each.abort for each in busy), *(each.close for each in idle)]:
            with suppress(Exception):  # the peer may be gone
                end()
