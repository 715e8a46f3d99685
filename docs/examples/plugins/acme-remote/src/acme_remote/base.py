"""What the three connectors share: the primitives of `FileConnector` by a file system of fsspec."""

import threading
from abc import abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from aetherflow.core.api import (
    ConnectorConfig,
    ConnectorError,
    ConnectorInit,
    ConnectorOptions,
    FileConnector,
    RemoteEntry,
    RemoteFileError,
)

CHUNK = 1 << 18
ConfigT = TypeVar("ConfigT", bound=ConnectorConfig)
OptionsT = TypeVar("OptionsT", bound=ConnectorOptions)


class FsspecFiles(FileConnector[ConfigT, OptionsT]):
    """Files by fsspec. One call at a time: not every file system of fsspec takes more."""

    def __init__(self, init: ConnectorInit) -> None:
        super().__init__(init)
        self._lock = threading.RLock()
        self._fs: Any = None
        self._stops = 0

    @abstractmethod
    def open_fs(self) -> Any:
        """A new file system, connected; the library is imported here."""

    @abstractmethod
    def full(self, path: str) -> str:
        """A path as the file system has it."""

    @abstractmethod
    def entry(self, found: dict[str, Any]) -> RemoteEntry:
        """An entry from what fsspec tells of it."""

    @abstractmethod
    def store(self, path: str, source: Callable[[int], bytes]) -> None:
        """Write a file of the file system."""

    @property
    def fs(self) -> Any:
        """The file system, connected at the first use."""
        if self._fs is None:
            self._fs = self.open_fs()
        return self._fs

    def interrupt(self) -> None:
        """Stop the transfers that run in other threads, at their next piece."""
        self._stops += 1

    def close(self) -> None:
        """Let go of the file system, and stop what runs in other threads, without waiting for it; twice is fine."""
        self._stops += 1
        self._fs = None

    @contextmanager
    def work(self) -> Iterator[Callable[[], None]]:
        """One call at a time. Gives a check that raises once the connector was interrupted or closed."""
        stops = self._stops

        def check() -> None:
            if self._stops != stops:
                raise RemoteFileError("it was stopped, or the connector closed", kind="stopped")

        with self._lock:
            yield check

    # The primitives

    def entries(self, folder: str) -> list[RemoteEntry]:
        with self.work():
            place = self.full(folder)
            found = self.fs.ls(place, detail=True)
        return [self.entry(each) for each in found if each["name"].strip("/") != place.strip("/")]

    def stat(self, path: str, *, follow: bool = True) -> RemoteEntry:
        del follow  # there are no links
        if not self.split(path)[1]:
            return RemoteEntry("", "folder")
        with self.work():
            return self.entry(self.fs.info(self.full(path)))

    def read(self, path: str, sink: Callable[[bytes], object], *, offset: int = 0, limit: int | None = None) -> None:
        with self.work() as check, self.fs.open(self.full(path), "rb", block_size=CHUNK) as file:
            file.seek(offset)
            while data := file.read(CHUNK if limit is None else min(limit, CHUNK)):
                check()
                sink(data)
                limit = None if limit is None else limit - len(data)

    def write(self, path: str, source: Callable[[int], bytes]) -> None:
        with self.work() as check:

            def checked(most: int) -> bytes:
                check()
                return source(most)

            self.store(self.full(path), checked)

    def remove(self, path: str) -> None:
        with self.work():
            if self.stat(path).is_dir:
                raise RemoteFileError("it is a folder")
            self.fs.rm_file(self.full(path))

    def rename(self, old: str, new: str, *, overwrite: bool = True) -> None:
        with self.work():
            self.stat(old)
            if not overwrite and self.fs.exists(self.full(new)):
                raise FileExistsError("the name is taken")
            self.move(self.full(old), self.full(new))

    def move(self, old: str, new: str) -> None:
        """Give a file another name; one that has it is replaced."""
        self.fs.cp_file(old, new)
        self.fs.rm_file(old)

    def error(self, doing: str, error: Exception, fix: str) -> ConnectorError:
        """An error of `probe`, which tells everything itself."""
        text = " ".join(str(error).split()) or type(error).__name__
        return ConnectorError(f"resource {self.name} ({self.kind}:{self.driver}): {doing} failed: {text}", fix=fix)
