"""The connector `smb:pysmb`, for servers that support only SMB 1 or 2."""

import io
import select
import socket
import time
from contextlib import suppress
from typing import Any

from pydantic import Field

from aetherflow.core.api import EntryKind, PlainText, RemoteEntry
from aetherflow_builtins_transfer.connectors.files.session import FileSession, Read, Write
from aetherflow_builtins_transfer.connectors.smb.base import (
    BUSY,
    LOOKS,
    OPEN_ELSEWHERE,
    PENDING,
    SmbConfig,
    SmbConnector,
    SmbOptions,
    patiently,
)
from aetherflow_builtins_transfer.failures import Fault, RemoteError, one_line, silence

NO_MORE_FILES = 0x80000006
ATTRIBUTE_REPARSE = 0x400
ECHO_AFTER_SECONDS = 20.0
"""Seconds of idleness after which a connection is checked by an echo before it is used."""


class Config(SmbConfig):
    """Address of the server, account, and NetBIOS names."""

    server_name: PlainText | None = Field(None, min_length=1, description="Its NetBIOS name; default: `server`.")
    client_name: PlainText = Field("aetherflow", min_length=1, max_length=15, description="NetBIOS name of this side.")


class Options(SmbOptions):
    """Options of the driver. It cannot encrypt; smb:smbclient can."""


class PysmbSession(FileSession):
    """One connection of pysmb, used by one thread at a time."""

    def __init__(self, conf: Config, opts: Options) -> None:
        from aetherflow_builtins_transfer.connectors.smb.pysmb_connection import PysmbConnection

        silence("SMB")
        sign = PysmbConnection.SIGN_WHEN_SUPPORTED if opts.signing else PysmbConnection.SIGN_WHEN_REQUIRED
        self._wait = opts.idle_timeout_seconds
        self._used = time.monotonic()
        self._smb: Any = PysmbConnection(
            conf.account,
            conf.password.get_secret_value(),
            conf.client_name,
            conf.server_name or conf.server,
            domain=conf.domain,
            use_ntlm_v2=True,
            sign_options=sign,
            is_direct_tcp=conf.port != 139,
        )
        self._conf, self._timeout = conf, opts.connect_timeout

    def connect(self) -> None:
        conf = self._conf
        try:
            if not self._smb.connect(conf.server, conf.port, timeout=self._timeout):
                raise RemoteError(
                    f"{conf.server}:{conf.port} refuses the login of {conf.account or 'nobody'}: the login is refused",
                    kind="denied",
                    fix="check config.username, config.password and config.domain",
                )
        except BaseException:
            self.close()
            raise
        self._smb.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def entries(self, folder: str) -> list[RemoteEntry]:
        share, path = _split(folder)
        found = self._smb.listPath(share, path, timeout=self._wait)
        return [_entry(each) for each in found if each.filename not in (".", "..")]

    def stat(self, path: str, *, follow: bool = True) -> RemoteEntry:
        del follow  # the server always follows links
        share, rest = _split(path)
        found = patiently(
            lambda: self._smb.getAttributes(share, rest or "/", timeout=self._wait),
            _status_of,
            self.beat,
            looks=LOOKS,
        )
        return _entry(found, path.rpartition("\\")[2])

    def fetch(self, path: str, offset: int, limit: int | None, write: Write) -> None:
        share, rest = _split(path)
        most = -1 if limit is None else limit
        taker = _Taker(write)
        patiently(
            lambda: self._smb.retrieveFileFromOffset(share, rest, taker, offset, most, timeout=self._wait),
            lambda error: 0 if taker.began else _status_of(error),
            self.beat,
            looks=LOOKS,
        )

    def store(self, path: str, offset: int, read: Read) -> None:
        share, rest = _split(path)
        giver = _Giver(read)
        patiently(
            lambda: self._smb.storeFileFromOffset(share, rest, giver, offset, truncate=not offset, timeout=self._wait),
            lambda error: 0 if giver.began else _status_of(error),
            self.beat,
        )

    def rename(self, old: str, new: str, *, replace: bool) -> None:
        share, source = _split(old)
        other, target = _split(new)
        if share.lower() != other.lower():
            raise RemoteError("a file cannot be renamed from one share to another")
        self._smb.replacing = replace
        refusals = OPEN_ELSEWHERE if replace else BUSY
        patiently(lambda: self._smb.rename(share, source, target, timeout=self._wait), _status_of, self.beat, refusals)

    def remove(self, path: str) -> None:
        share, rest = _split(path)
        self.stat(path, follow=False)  # the library deletes what matches, and is content with nothing
        patiently(lambda: self._smb.deleteFiles(share, rest, timeout=self._wait), _status_of, self.beat, PENDING)

    def mkdir(self, path: str) -> None:
        self._smb.createDirectory(*_split(path), timeout=self._wait)

    def rmdir(self, path: str) -> None:
        self._smb.deleteDirectory(*_split(path), timeout=self._wait)

    def set_mtime(self, path: str, mtime: float) -> None:
        share, rest = _split(path)
        self._smb.setLastWriteTime(share, rest, mtime, timeout=self._wait)

    def alive(self) -> bool:
        now, idle_since = time.monotonic(), self._used
        self._used = now
        sock = self._smb.sock
        if sock is None or select.select([sock], [], [], 0)[0]:
            return False  # no request is open, so readable data mean that the server closed the connection
        if now - idle_since < ECHO_AFTER_SECONDS:
            return True
        try:
            self._smb.echo(b"x", timeout=5)
        except Exception:  # noqa: BLE001 - after any error the connection is unusable
            return False
        return True

    def close(self) -> None:
        self.abort()
        with suppress(Exception):
            self._smb.close()

    def abort(self) -> None:
        # only shut the socket down: the library's close() would remove it while another thread reads from it
        sock = self._smb.sock
        if sock is not None:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)


class PysmbConnector(SmbConnector[Config, Options]):
    r"""Files on an SMB server that knows nothing newer than SMB 1 or 2.1: signed, never encrypted.

        resources:
          old:
            kind: smb
            driver: pysmb
            config: {server: nas.example.com, share: scans, username: acme, password: "{{env.NAS_PASSWORD}}"}

    Prefer `smbclient`. Paths: `dir/f` on the share of the resource, `SHARE:/dir/f`, or `\\server\SHARE\dir\f`.
    """

    requires = ("smb",)

    def open_session(self) -> FileSession:
        """Open a new connection and log in."""
        session = PysmbSession(self.conf, self.opts)
        with self.watchdog.watch(session):
            session.connect()
        return session

    def explain(self, error: BaseException) -> Fault:
        """Classify an error of pysmb, or one that SmbConnector classifies."""
        from smb.base import NotConnectedError, NotReadyError, SMBTimeout
        from smb.smb_structs import OperationFailure

        if isinstance(error, SMBTimeout | NotConnectedError | NotReadyError):
            return Fault("lost", one_line(error) if error.args else "nothing arrived for too long")
        if isinstance(error, OperationFailure):
            status = _status_of(error)
            return self.from_status(status, error.message.split(":")[-1].strip() or f"status 0x{status:08X}")
        return super().explain(error)


def _status_of(error: Exception) -> int:
    """NTSTATUS of the answer that made a request fail; 0 if there was none."""
    messages = reversed(getattr(error, "smb_messages", ()))
    found = (int(each.status) for each in messages if isinstance(getattr(each, "status", None), int))
    return next((status for status in found if status not in (0, NO_MORE_FILES)), 0)


def _split(path: str) -> tuple[str, str]:
    r"""Split `\\server\share\dir\f` into the share and the path below it."""
    _, _, _, share, *parts = path.split("\\")
    return share, "/".join(parts)


def _entry(found: Any, name: str | None = None) -> RemoteEntry:
    attributes = found.file_attributes
    kind: EntryKind = "folder" if found.isDirectory else "file"
    if isinstance(attributes, int) and attributes & ATTRIBUTE_REPARSE:
        kind = "link"
    return RemoteEntry(name or found.filename, kind, found.file_size, found.last_write_time)


class _Taker(io.RawIOBase):
    """A file object for pysmb that passes downloaded bytes to a function; `began` tells whether any arrived."""

    def __init__(self, write: Write) -> None:
        self._write = write
        self.began = False

    def write(self, data: Any) -> int:
        self.began = True
        self._write(bytes(data))
        return len(data)


class _Giver(io.RawIOBase):
    def __init__(self, read: Read) -> None:
        self._read = read
        self.began = False

    def read(self, size: int = -1) -> bytes:
        self.began = True
        return self._read(size)
