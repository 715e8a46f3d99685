"""What every connector to a peer with files does in the same way; a driver adds paths, errors and a session."""

import hashlib
import logging
import secrets
import time
from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import Field, model_validator

from aetherflow.core.api import (
    AetherflowError,
    ConnectorBase,
    ConnectorConfig,
    ConnectorInit,
    ConnectorOptions,
    RemoteFileMeta,
)
from aetherflow_builtins_transfer.connectors.session import Entry, FileSession, SessionPool
from aetherflow_builtins_transfer.connectors.transfer import Download, Moved, Upload
from aetherflow_builtins_transfer.connectors.watchdog import Watchdog
from aetherflow_builtins_transfer.failures import InterruptedTransferError, Kind, LostError, RemoteError, shown
from aetherflow_builtins_transfer.paths import check_name, is_part
from aetherflow_builtins_transfer.retrying import Retry
from aetherflow_builtins_transfer.throttle import Throttle, sleep_slices

log = logging.getLogger("aetherflow.transfer")

ConfigT = TypeVar("ConfigT", bound=ConnectorConfig)
T = TypeVar("T")
SOUND: frozenset[Kind] = frozenset({"missing", "exists", "denied"})
"""Answers of a healthy session; after anything else it is not used again."""


class FileOptions(ConnectorOptions):
    """How a connector to files behaves, whatever it speaks."""

    timeout: float | None = Field(None, gt=0, description="Seconds to wait for the connection. Default: 30.")
    timeout_seconds: float | None = Field(None, gt=0, description="The same.")
    idle_timeout_seconds: float = Field(
        60, gt=0, description="A transfer, or an answer, during which nothing arrives for so long has failed."
    )
    pool_size: int = Field(4, ge=1, le=64, description="Sessions at the peer that may work at the same time.")
    max_bytes_per_second: float | None = Field(
        None, gt=0, description="Most bytes per second, all transfers together. Default: no limit."
    )
    retry: Annotated[Retry, Field(description="Tries after a connection failed or broke; default: one in all.")] = (
        Retry()
    )
    retries: int | None = Field(
        None, ge=0, le=99, description="The same as `retry.max_attempts`, counted without the first."
    )

    @model_validator(mode="after")
    def _one_spelling(self) -> "FileOptions":
        if None not in (self.timeout, self.timeout_seconds) and self.timeout != self.timeout_seconds:
            raise ValueError("timeout and timeout_seconds are both given and differ")
        if (
            self.retries is not None
            and "retry" in self.model_fields_set
            and self.retry.max_attempts != self.retries + 1
        ):
            raise ValueError("retry.max_attempts and retries are both given and differ (retries is one less)")
        return self

    @property
    def connect_timeout(self) -> float:
        """Seconds to wait for a connection."""
        return self.timeout or self.timeout_seconds or 30.0

    @property
    def policy(self) -> Retry:
        """The retry policy, whichever key gave it."""
        return self.retry if self.retries is None else self.retry.model_copy(update={"max_attempts": self.retries + 1})


OptionsT = TypeVar("OptionsT", bound=FileOptions)


class FileConnector(ConnectorBase[ConfigT, OptionsT]):
    """Files at a peer: the contract that FileTransferSuite checks, and what the steps need beyond it.

    Thread-safe: up to `options.pool_size` threads work at the same time, each on a session of its own.
    """

    SEPARATOR = "/"

    def __init__(self, init: ConnectorInit) -> None:
        super().__init__(init)
        self.pool = SessionPool(self.open_session, self.opts.pool_size)
        self.watchdog = Watchdog(self.opts.idle_timeout_seconds)
        self.throttle = Throttle(self.opts.max_bytes_per_second)
        self._stops = 0

    # What a driver says

    @property
    @abstractmethod
    def peer(self) -> str:
        """Whom it speaks to, for messages: `host:port`."""

    @abstractmethod
    def open_session(self) -> FileSession:
        """A new session, connected and authenticated."""

    @abstractmethod
    def at(self, path: str) -> str:
        """A path as a user writes it, in the driver's form; RemoteError for one that cannot be."""

    @abstractmethod
    def explain(self, error: BaseException) -> tuple[Kind, str]:
        """The kind of a library's error, and its message in one line."""

    def advise(self, kind: Kind, text: str) -> str:
        """What to do about an error."""
        del text
        return {
            "missing": "check the path; it is the peer's",
            "exists": "choose another name, or allow to overwrite",
            "denied": f"ask who runs {self.peer} for the right to do this",
            "lost": "run it again; options.retry tries by itself, options.idle_timeout_seconds says how long to wait",
            "other": "see the peer's own log for its reason",
        }[kind]

    # Life

    def close(self) -> None:
        """End all sessions; twice is fine."""
        self.pool.close()

    def interrupt(self) -> None:
        """Break off what other threads do: their sessions are ended. What is asked for later opens new ones."""
        self.count_stop()
        self.pool.close()

    def count_stop(self) -> None:
        """End every transfer under way at its next chunk."""
        self._stops += 1

    def probe(self) -> None:
        """Connect, authenticate, and ask for one thing."""
        self.run("reaching", self.peer, lambda session: session.stat(self.at("")))

    # Listing and looking

    def entries(self, remote_dir: str) -> "list[Entry]":
        """What is in one folder, sorted by name, links told as links; unfinished files of ours are left out."""
        folder = self.at(remote_dir)
        found = self.run("listing", remote_dir, lambda session: session.entries(folder), again=True)
        for entry in found:
            check_name(entry.name, self.SEPARATOR, self.label)
        return sorted((each for each in found if not is_part(each.name)), key=lambda each: each.name)

    def list(self, remote_dir: str) -> "list[RemoteFileMeta]":
        """The entries of one folder, one level, sorted by name."""
        return [
            RemoteFileMeta(
                path=self.join(remote_dir, each.name),
                name=each.name,
                is_dir=each.kind == "folder",
                size=None if each.kind == "folder" else each.size,
                mtime=each.mtime,
            )
            for each in self.entries(remote_dir)
        ]

    @staticmethod
    def join(remote_dir: str, name: str) -> str:
        """Path of a name in a folder, as a user would write it."""
        if not remote_dir:
            return name
        return remote_dir + name if remote_dir[-1] in "/\\" else f"{remote_dir}/{name}"

    def stat(self, remote_path: str) -> RemoteFileMeta:
        """What stands at a path, links followed; RemoteError of kind `missing` if nothing does."""
        path = self.at(remote_path)
        found = self.run("looking at", remote_path, lambda session: session.stat(path), again=True)
        return RemoteFileMeta(
            path=remote_path,
            name=found.name,
            is_dir=found.kind == "folder",
            size=None if found.kind == "folder" else found.size,
            mtime=found.mtime,
        )

    def exists(self, remote_path: str) -> bool:
        """True if there is a file or folder."""
        return self.find(remote_path) is not None

    def find(self, remote_path: str) -> RemoteFileMeta | None:
        """What `stat` tells, or None."""
        try:
            return self.stat(remote_path)
        except RemoteError as error:
            if error.kind == "missing":
                return None
            raise

    def look(self, remote_path: str, *, follow: bool = True) -> Entry | None:
        """What stands at a path, a link followed or told as a link; None if nothing does."""
        path = self.at(remote_path)
        try:
            return self.run("looking at", remote_path, lambda session: session.stat(path, follow=follow), again=True)
        except RemoteError as error:
            if error.kind == "missing":
                return None
            raise

    # Content

    def read_bytes(self, remote_path: str) -> bytes:
        """The content of a file."""

        def read(session: FileSession) -> bytes:
            found: list[bytes] = []
            self._fetch(session, remote_path, found.append)
            return b"".join(found)

        return self.run("reading", remote_path, read, again=True)

    def sha256(self, remote_path: str) -> str:
        """sha256 of a file in hex; it is read for that."""

        def read(session: FileSession) -> str:
            digest = hashlib.sha256()
            self._fetch(session, remote_path, digest.update)
            return digest.hexdigest()

        return self.run("reading", remote_path, read, again=True)

    def read_to(self, remote_path: str, write: Callable[[bytes], object]) -> None:
        """Hand on the content of a file piece by piece; what was handed on when it breaks off is no whole file."""
        self.run("reading", remote_path, lambda session: self._fetch(session, remote_path, write))

    def _fetch(self, session: FileSession, remote_path: str, write: Callable[[bytes], object]) -> None:
        stops = self._stops

        def take(data: bytes) -> None:
            write(data)
            self.pace(len(data), stops)

        session.fetch(self.at(remote_path), 0, None, take)

    def write_bytes(self, remote_path: str, data: bytes, *, key: str | None = None) -> None:
        """Write a file as a whole; folders above it are made. `key` names the unfinished file, as in `upload`."""
        Upload.of_bytes(self, data, remote_path, key).run()

    def upload(
        self,
        local_path: str | Path,
        remote_path: str,
        *,
        key: str | None = None,
        verify: bool = False,
        preserve_mtime: bool = False,
        mode: int | None = None,
        overwrite: bool = True,
        on_bytes: Callable[[int], None] | None = None,
    ) -> Moved:
        """Copy a local file to the peer: under a temporary name, size checked, then renamed; folders above are made.

        `key` names the unfinished file, so that a later call with the same key goes on where this one was cut;
        `verify` reads the file back and compares sha256; `on_bytes` is told of each chunk and may raise.
        """
        upload = Upload.of_file(self, Path(local_path), remote_path, key)
        upload.verify, upload.mode, upload.overwrite, upload.on_bytes = verify, mode, overwrite, on_bytes
        upload.preserve_mtime = preserve_mtime
        return upload.run()

    def download(
        self,
        remote_path: str,
        local_path: str | Path,
        *,
        key: str | None = None,
        preserve_mtime: bool = False,
        check: Callable[[Path, Moved], None] | None = None,
        on_bytes: Callable[[int], None] | None = None,
    ) -> Moved:
        """Copy a file of the peer to a local one, whose folder exists: temporary name, size checked, synced, renamed.

        With a `key` the unfinished file stays after a cut, and the next call with the same key goes on from there.
        `check` may raise: it is given the whole file before it gets its name.
        """
        return Download(
            self,
            remote_path,
            Path(local_path),
            key or secrets.token_hex(6),
            keep=key is not None,
            preserve_mtime=preserve_mtime,
            check=check,
            on_bytes=on_bytes,
        ).run()

    # Changing

    def rename(self, old_path: str, new_path: str, *, overwrite: bool = True) -> None:
        """Give a file another name; what has that name is replaced in one go, or with `overwrite=False` an error."""
        old, new = self.at(old_path), self.at(new_path)
        self.run("renaming", f"{old_path} to {new_path}", lambda session: session.rename(old, new, replace=overwrite))

    def delete(self, remote_path: str) -> None:
        """Delete a file, a link or an empty folder."""
        path = self.at(remote_path)

        def delete(session: FileSession) -> None:
            if session.stat(path, follow=False).kind == "folder":
                session.rmdir(path)
            else:
                session.remove(path)

        self.run("deleting", remote_path, delete)

    def mkdir(self, remote_dir: str) -> None:
        """Make one folder; one that exists is an error."""
        path = self.at(remote_dir)
        self.run("making the folder", remote_dir, lambda session: session.mkdir(path))

    def mkdir_recursive(self, remote_dir: str) -> None:
        """Make a folder and those above it; existing ones are fine."""
        path = self.at(remote_dir)
        self.run("making the folder", remote_dir, lambda session: self.make_folders(session, path), again=True)

    def delete_recursive(self, remote_path: str) -> None:
        """Delete a folder and all in it. Links are removed, never followed; every failure is told at the end."""
        failures: list[str] = []
        path = self.at(remote_path)

        def walk(session: FileSession, here: str) -> None:
            if session.stat(here, follow=False).kind != "folder":
                attempt(session.remove, here)
                return
            for entry in session.entries(here):
                check_name(entry.name, self.SEPARATOR, self.label)
                below = f"{here.rstrip(self.SEPARATOR)}{self.SEPARATOR}{entry.name}"
                if entry.kind == "folder":
                    walk(session, below)
                else:
                    attempt(session.remove, below)
            attempt(session.rmdir, here)

        def attempt(action: Callable[[str], None], what: str) -> None:
            self.check(stops)
            try:
                action(what)
            except Exception as error:
                kind, text = self.explain(error)
                if kind == "lost":
                    raise
                failures.append(f"{shown(what)}: {text}")

        stops = self._stops
        self.run("deleting", remote_path, lambda session: walk(session, path))
        if failures:
            more = f" (and {len(failures) - 3} more)" if len(failures) > 3 else ""
            raise self.error("other", f"deleting {remote_path} left something behind: {'; '.join(failures[:3])}{more}")

    def chmod(self, remote_path: str, mode: int) -> None:
        """Set the permission bits of a file."""
        path = self.at(remote_path)
        self.run("changing the mode of", remote_path, lambda session: session.chmod(path, mode))

    def set_mtime(self, remote_path: str, mtime: float) -> None:
        """Set when a file was last changed, in unix seconds."""
        path = self.at(remote_path)
        self.run("setting the time of", remote_path, lambda session: session.set_mtime(path, mtime))

    # Unfinished files; folders here are in the driver's form

    def leftovers(self, folder: str) -> Sequence[str]:
        """Names of unfinished files of ours in a folder, which need not exist."""
        try:
            found = self.run("listing", folder, lambda session: session.entries(folder), again=True)
        except RemoteError as error:
            if error.kind == "missing":
                return []
            raise
        return [each.name for each in found if is_part(each.name)]

    def remove_leftover(self, folder: str, name: str) -> None:
        """Delete one of them."""
        path = f"{folder.rstrip(self.SEPARATOR)}{self.SEPARATOR}{name}"
        self.run("deleting", path, lambda session: session.remove(path))

    # Helpers

    @property
    def label(self) -> str:
        """How messages name this resource."""
        return f"resource {self.name} ({self.kind}:{self.driver})"

    @property
    def stops(self) -> int:
        """How often the connector was interrupted; what changes it ends every transfer."""
        return self._stops

    def check(self, stops: int) -> None:
        """Raise if the connector was interrupted since `stops` was read."""
        if self._stops != stops:
            raise InterruptedTransferError(f"{self.label}: interrupted: the run is being stopped", kind="lost")

    def pace(self, size: int, stops: int | None = None) -> None:
        """Account for bytes that were moved, and wait as the limit asks."""
        began = self._stops if stops is None else stops
        self.watchdog.beat()
        for part in sleep_slices(self.throttle.take(size)):
            self.check(began)
            time.sleep(part)
            self.watchdog.beat()
        self.check(began)

    def error(self, kind: Kind, message: str, fix: str = "") -> RemoteError:
        """An error in our form."""
        return RemoteError(f"{self.label}: {shown(message)}", kind=kind, fix=fix or self.advise(kind, message))

    def keeps(self, error: BaseException) -> bool:
        """True if a session is still sound after this error."""
        if isinstance(error, RemoteError):
            return error.kind in SOUND
        return isinstance(error, Exception) and self.explain(error)[0] in SOUND

    @contextmanager
    def session(self) -> Iterator[FileSession]:
        """A session of the pool."""
        with self.pool.borrow(self.keeps) as session, self.watchdog.watch(session):
            yield session

    def run(
        self,
        action: str,
        what: str,
        work: Callable[[FileSession], T],
        *,
        again: bool = False,
        detail: Callable[[], str] = str,
    ) -> T:
        """Do one piece of work in a session; with `again`, anew on a new connection as the retry policy says.

        Without it only connecting is tried again: whether the peer did what it was asked is unknown afterwards.
        `detail` adds to the message how far the work came.
        """
        policy, stops, attempt = self.opts.policy, self._stops, 0
        while True:
            attempt += 1
            began = False
            try:
                with self.session() as session:
                    began = True
                    return work(session)
            except Exception as error:
                failure = self._failure(error, f"{action} {what}", detail(), attempt, stops)
                final = failure.kind != "lost" or attempt >= policy.max_attempts or (began and not again)
                if final or isinstance(failure, InterruptedTransferError):
                    if failure is error:
                        raise
                    raise failure from error
                log.warning("%s", failure)
            for part in sleep_slices(policy.wait_before(attempt + 1)):
                time.sleep(part)
                self.check(stops)

    def _failure(self, error: Exception, doing: str, detail: str, attempt: int, stops: int) -> RemoteError:
        if self._stops != stops:
            return InterruptedTransferError(f"{self.label}: {shown(doing)}: the run is being stopped", kind="lost")
        if isinstance(error, AetherflowError) and not isinstance(error, LostError):
            if isinstance(error, RemoteError):
                return error
            raise error
        kind, text = self.explain(error)
        tries = self.opts.policy.max_attempts
        counted = f" (attempt {attempt} of {tries})" if kind == "lost" and tries > 1 else ""
        where = f"connection to {self.peer}: " if kind == "lost" else ""
        return self.error(kind, f"{doing} failed{detail}{counted}: {where}{text}")

    def make_folders(self, session: FileSession, path: str) -> None:
        """Make a folder and those above it, from the lowest that exists."""
        if self.is_top(path):
            return
        try:
            session.mkdir(path)
        except Exception as error:
            if self.explain(error)[0] == "missing":
                self.make_folders(session, self.parent(path))
                self.make_folders(session, path)
            elif self.explain(error)[0] == "lost" or session.stat(path).kind != "folder":
                raise

    def is_top(self, path: str) -> bool:
        """True for the folder above which there is none to make, in the driver's form."""
        return path in ("/", ".")

    def parent(self, path: str) -> str:
        """The folder above, in the driver's form."""
        above = path.rpartition("/")[0]
        return above or ("/" if path.startswith("/") else ".")

    def name_of(self, path: str) -> str:
        """The last part of a path in the driver's form."""
        return path.rpartition(self.SEPARATOR)[2]

    def beside(self, path: str, name: str) -> str:
        """A path for another name in the same folder."""
        return path[: len(path) - len(self.name_of(path))] + name
