"""SFTP sessions on one channel, with pipelined requests for the content of files."""

import contextlib
import errno
import stat as modes
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from aetherflow.core.api import EntryKind, PreparedFile, RemoteEntry
from aetherflow_builtins_transfer.connectors.files.session import FileSession, Read, Write
from aetherflow_builtins_transfer.connectors.sftp.batch import Batch
from aetherflow_builtins_transfer.connectors.sftp.client import DATA, STATUS, Client, Receiver
from aetherflow_builtins_transfer.failures import LostError
from aetherflow_builtins_transfer.paths import PART_SUFFIX, is_part, part_key, part_name

if TYPE_CHECKING:
    import paramiko

WINDOW = 8 << 20
"""Receive window of a channel in bytes; paramiko's default of 2 MB limits the throughput."""
PACKET = 1 << 18
"""Largest packet that the server may send; each packet costs time in Python."""
REQUEST_OPENSSH = 224 * 1024
"""Bytes of one read or write request with OpenSSH, which accepts messages of up to 256 KiB."""
REQUEST_PLAIN = 32 * 1024
"""Bytes of one read or write request that every server must accept."""
IN_FLIGHT = 8 << 20
"""Bytes of all read or write requests in flight; this is also the memory that a transfer uses."""


class SftpSession(FileSession):
    def __init__(self, transport: "paramiko.Transport", idle_timeout: float, *, large_requests: bool) -> None:
        client = Client.from_transport(transport, window_size=WINDOW, max_packet_size=PACKET)
        if client is None:
            raise LostError("the server opened no channel")
        self.client = client
        self.chunk = REQUEST_OPENSSH if large_requests else REQUEST_PLAIN
        self.depth = IN_FLIGHT // self.chunk
        self._transport = transport
        client.sock.settimeout(idle_timeout)

    def entries(self, folder: str) -> list[RemoteEntry]:
        return [_entry(name, each) for name, each in self.client.folder(folder) if name not in (".", "..")]

    def stat(self, path: str, *, follow: bool = True) -> RemoteEntry:
        found = self.client.stat(path) if follow else self.client.lstat(path)
        return _entry(path.rstrip("/").rpartition("/")[2] or path, found)

    def fetch(self, path: str, offset: int, limit: int | None, write: Write) -> None:
        with self.client.open(path, "rb") as file:
            _Reader(self, file).fetch(offset, limit, write)

    def store(self, path: str, offset: int, read: Read) -> None:
        with self.client.open(path, "r+b" if offset else "wb") as file:
            writer = _Writer(self, file, offset)
            while data := read(self.chunk):
                writer.write(data)
            writer.finish()

    def store_all(self, files: Sequence[PreparedFile], *, replace: bool, mode: int | None) -> list[bool]:
        return Batch(self.client, files, self.chunk, self.beat).store(replace=replace, mode=mode)

    def rename(self, old: str, new: str, *, replace: bool) -> None:
        if not replace:
            self._if_it_exists(new, lambda: self.client.rename(old, new))  # refuses an existing name
            return
        try:
            self.client.posix_rename(old, new)
        except OSError as error:
            if error.errno != errno.EOPNOTSUPP:
                raise
            self._rename_aside(old, new)

    def _rename_aside(self, old: str, new: str) -> None:
        """Replace a file on servers without atomic replace: rename the old file aside, and back if the rename fails."""
        self._check_kinds(old, new)
        aside = _aside(old, new)
        moved = self._make_room(new, aside)
        try:
            self.client.rename(old, new)
        except OSError:
            if moved:
                self.client.rename(aside, new)
            raise
        with contextlib.suppress(FileNotFoundError):
            self.client.remove(aside)

    def _check_kinds(self, old: str, new: str) -> None:
        """OSError if a file would replace a folder, or a folder a file."""
        try:
            found = self.stat(new, follow=False)
        except FileNotFoundError:
            return
        if found.kind == "folder":
            raise IsADirectoryError(errno.EISDIR, "a folder has that name", new)
        if self.stat(old, follow=False).kind == "folder":
            raise FileExistsError(errno.EEXIST, "a file has that name", new)

    def _make_room(self, new: str, aside: str) -> bool:
        try:
            self.client.rename(new, aside)
        except FileNotFoundError:
            return False
        except PermissionError:
            raise
        except OSError as error:
            try:
                self.client.remove(aside)  # an interrupted attempt may have left it
            except OSError:
                raise error from None
            self.client.rename(new, aside)
        return True

    def remove(self, path: str) -> None:
        self.client.remove(path)

    def mkdir(self, path: str) -> None:
        self._if_it_exists(path, lambda: self.client.mkdir(path))

    def _if_it_exists(self, path: str, action: Callable[[], object]) -> None:
        """Run `action`; if it fails because `path` exists, raise FileExistsError.

        The protocol only reports "Failure".
        """
        try:
            action()
        except OSError as error:
            if error.errno is None:
                try:
                    self.client.lstat(path)
                except OSError:
                    raise error from None
                raise FileExistsError(17, "it exists", path) from error
            raise

    def rmdir(self, path: str) -> None:
        self.client.rmdir(path)

    def set_mtime(self, path: str, mtime: float) -> None:
        self.client.utime(path, (int(mtime), int(mtime)))

    def chmod(self, path: str, mode: int) -> None:
        self.client.chmod(path, mode)

    def alive(self) -> bool:
        return self._transport.is_active() and not self.client.sock.closed

    def close(self) -> None:
        self.client.close()

    def abort(self) -> None:
        # close the whole connection: closing a channel sends a message, which would block with a dead server
        self._transport.close()


def _aside(old: str, new: str) -> str:
    """The hidden name under which an old file is moved aside.

    It is the same each time, so that after a lost connection the next delivery to this name recognizes it as a
    leftover.
    """
    folder, slash, name = new.rpartition("/")
    part = old.rpartition("/")[2]
    stem = (
        part.removesuffix(PART_SUFFIX) if is_part(part) else part_name(name, part_key(name)).removesuffix(PART_SUFFIX)
    )
    return f"{folder}{slash}{stem}.old{PART_SUFFIX}"


class _Reader(Receiver):
    """Keeps several read requests in flight and passes the answers on in the order of the requests."""

    def __init__(self, session: SftpSession, file: Any) -> None:
        self._session, self._file = session, file
        self._answers: dict[int, tuple[int, Any]] = {}

    def take(self, kind: int, message: Any, number: int) -> None:
        self._answers[number] = (kind, message)

    def fetch(self, offset: int, limit: int | None, write: Write) -> None:
        """Call `write` with the content from `offset` on."""
        size = self._session.chunk
        end = None if limit is None else offset + limit
        asked: deque[tuple[int, int, int]] = deque()
        depth, last = 2, False
        while True:
            while not last and len(asked) < depth and (end is None or offset < end):
                length = size if end is None else min(size, end - offset)
                asked.append((self._ask(offset, length), offset, length))
                offset += length
            if not asked:
                return
            number, at, length = asked.popleft()
            data = self._answer(number, length)
            if data is None:
                last = True  # the end of the file; the remaining requests get the same answer
                continue
            write(data)
            depth = min(
                depth * 2, self._session.depth
            )  # grows slowly, so that small files need few requests beyond their end
            while len(data) < length:  # a short answer: the end of the file, or a server with a smaller limit
                at, length = at + len(data), length - len(data)
                part = self._answer(self._ask(at, length), length)
                if part is None:
                    break
                write(data := part)

    def _ask(self, offset: int, length: int) -> int:
        return self._session.client.ask_read(self, self._file.handle, offset, length)

    def _answer(self, number: int, most: int) -> bytes | None:
        """The bytes that answer a request for `most` bytes; None beyond the end of the file."""
        while number not in self._answers:
            self._session.client.wait()
            self._session.beat()
        kind, message = self._answers.pop(number)
        if kind == DATA:
            data: bytes = message.get_string()
            if not 0 < len(data) <= most:
                raise LostError(f"the server answered a read of {most} bytes with {len(data)}")
            return data
        try:
            self._session.client.check(message)
        except EOFError:
            return None
        raise LostError(f"the server answered a read with message {kind}")


class _Writer(Receiver):
    """Keeps several write requests in flight and checks the answer to each."""

    def __init__(self, session: SftpSession, file: Any, offset: int) -> None:
        self._session, self._file, self._offset = session, file, offset
        self._open = 0
        self._error: Exception | None = None

    def take(self, kind: int, message: Any, number: int) -> None:
        self._open -= 1
        try:
            if kind != STATUS:
                raise LostError(f"the server answered write {number} with message {kind}")
            self._session.client.check(message)
        except (OSError, EOFError, LostError) as error:
            self._error = self._error or error

    def write(self, data: bytes) -> None:
        self._open += 1
        self._session.client.ask_write(self, self._file.handle, self._offset, data)
        self._offset += len(data)
        self._wait_until(self._session.depth)

    def finish(self) -> None:
        self._wait_until(0)

    def _wait_until(self, most: int) -> None:
        while self._open > most and self._error is None:
            self._session.client.wait()
            self._session.beat()
        if self._error is not None:
            raise self._error


def _entry(name: str, attributes: Any) -> RemoteEntry:
    mode = attributes.st_mode or 0
    kind: EntryKind = "other"
    if modes.S_ISDIR(mode):
        kind = "folder"
    elif modes.S_ISLNK(mode):
        kind = "link"
    elif modes.S_ISREG(mode) or not modes.S_IFMT(mode):  # a server that reports no type
        kind = "file"
    return RemoteEntry(name, kind, attributes.st_size, attributes.st_mtime)
