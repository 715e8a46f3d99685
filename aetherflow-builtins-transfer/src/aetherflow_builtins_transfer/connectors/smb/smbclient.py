"""The connector `smb:smbclient`, by smbprotocol, for SMB 2 and 3."""

import stat as modes
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from pydantic import Field

from aetherflow.core.api import EntryKind, Flag, RemoteEntry
from aetherflow_builtins_transfer.connectors.files.session import FileSession, Read, Write
from aetherflow_builtins_transfer.connectors.smb.base import (
    LOOKS,
    OPEN_ELSEWHERE,
    PENDING,
    Auth,
    SmbConfig,
    SmbConnector,
    SmbOptions,
    patiently,
)
from aetherflow_builtins_transfer.connectors.smb.content import Pipe
from aetherflow_builtins_transfer.failures import Fault, one_line, os_fault, silence

REPARSE_POINT, DIRECTORY = 0x400, 0x10
SHARED = "rwd"
"""Share mode for reading: other programs may read, write, rename and delete the file meanwhile."""


class Config(SmbConfig):
    """Address of the server, share, and account."""


class Options(SmbOptions):
    encrypt: Flag = Field(
        False, description="Refuse a server that does not encrypt; false: the server decides, and most do not encrypt."
    )
    auth: Auth = Field("negotiate", description="Login method: `ntlm`, `kerberos`, or one that both sides support.")


class SmbSession(FileSession):
    """One connection with one login and its own connection cache.

    The library looks connections up by server and port and uses the first login of a server for all. Therefore each
    session has its own cache, and every call gets account and port.
    """

    def __init__(self, conf: Config, opts: Options) -> None:
        import smbclient

        from aetherflow_builtins_transfer.connectors.smb.connection import SmbConnection

        silence("smbprotocol", "smbclient")
        self._api = smbclient
        # Each connection has its own client GUID. Samba passes a connection of a known client to the process that
        # already serves this client; if that process is just ending, no answer ever arrives.
        self._connection = SmbConnection(uuid.uuid4(), conf.server, conf.port, require_signing=opts.signing)
        self._connection.limit_silence(opts.idle_timeout_seconds)
        self._keys: dict[str, Any] = {
            "username": f"{conf.domain}\\{conf.account}" if conf.domain and conf.account else conf.account or None,
            "password": conf.password.get_secret_value(),
            "port": conf.port,
            "auth_protocol": opts.auth,
            "require_signing": opts.signing,
            "connection_cache": {f"{conf.server.lower()}:{conf.port}": self._connection},
        }
        self._server, self._encrypt, self._timeout = conf.server, opts.encrypt or None, opts.connect_timeout

    def connect(self) -> None:
        """Connect and log in; call it under a watchdog, because the library waits for login answers without limit."""
        try:
            self._connection.connect(timeout=int(max(1, self._timeout)))
            with self._connection.logging_in():
                self._api.register_session(self._server, encrypt=self._encrypt, **self._keys)
        except BaseException:
            self.close()
            raise

    def entries(self, folder: str) -> list[RemoteEntry]:
        found = []
        for each in self._api.scandir(folder, **self._keys):
            info = each.smb_info  # not each.stat(), which ignores the port
            mtime = info.last_write_time.timestamp() if info.last_write_time else None
            found.append(RemoteEntry(each.name, _kind(info.file_attributes), info.end_of_file, mtime))
        return found

    def stat(self, path: str, *, follow: bool = True) -> RemoteEntry:
        found = patiently(
            lambda: self._api.stat(path, follow_symlinks=follow, **self._keys), _status_of, self.beat, looks=LOOKS
        )
        kind: EntryKind = "folder" if modes.S_ISDIR(found.st_mode) else "file"
        if modes.S_ISLNK(found.st_mode):
            kind = "link"
        return RemoteEntry(path.rpartition("\\")[2], kind, found.st_size, found.st_mtime)

    def fetch(self, path: str, offset: int, limit: int | None, write: Write) -> None:
        with self._open(path, "rb", share_access=SHARED) as file:
            Pipe(file, self.beat).fetch(offset, limit, write)

    def store(self, path: str, offset: int, read: Read) -> None:
        with self._open(path, "r+b" if offset else "wb") as file:
            Pipe(file, self.beat).store(offset, read)

    @contextmanager
    def _open(self, path: str, mode: str, **keys: Any) -> Iterator[Any]:
        """Open a file for the block; an error in the block is raised even if closing fails, too."""
        file = patiently(
            lambda: self._api.open_file(path, mode, buffering=0, **keys, **self._keys),
            _status_of,
            self.beat,
            looks=LOOKS if mode == "rb" else 1,
        )
        try:
            yield file
            file.close()
        except BaseException:
            with suppress(Exception):
                file.close()
            self._connection.forget(file)
            raise

    def rename(self, old: str, new: str, *, replace: bool) -> None:
        if replace:
            patiently(lambda: self._api.replace(old, new, **self._keys), _status_of, self.beat, OPEN_ELSEWHERE)
        else:
            patiently(lambda: self._api.rename(old, new, **self._keys), _status_of, self.beat)

    def remove(self, path: str) -> None:
        patiently(lambda: self._api.remove(path, **self._keys), _status_of, self.beat, PENDING)

    def mkdir(self, path: str) -> None:
        self._api.mkdir(path, **self._keys)

    def rmdir(self, path: str) -> None:
        self._api.rmdir(path, **self._keys)

    def set_mtime(self, path: str, mtime: float) -> None:
        self._api.utime(path, times=(mtime, mtime), **self._keys)

    def alive(self) -> bool:
        return bool(self._connection.transport.connected)

    def close(self) -> None:
        # without a logoff, which a stalled server would not answer; the session ends with its connection
        with suppress(Exception):
            self._connection.disconnect(close=False)

    def abort(self) -> None:
        self._connection.cut()
        self.close()


class SmbClientConnector(SmbConnector[Config, Options]):
    r"""Files on an SMB server, versions 2 and 3: signed, and encrypted if the server requires it.

        resources:
          finance:
            kind: smb
            driver: smbclient
            config:
              server: files.example.com
              share: reports
              username: acme
              password: "{{env.FINANCE_PASSWORD}}"
            options: {encrypt: true}

    Paths: `dir/f` on the share of the resource, `SHARE:/dir/f`, or `\\server\SHARE\dir\f`.
    """

    requires = ("smbclient",)

    def open_session(self) -> FileSession:
        """Open a new connection and log in."""
        session = SmbSession(self.conf, self.opts)
        with self.watchdog.watch(session):
            session.connect()
        return session

    def explain(self, error: BaseException) -> Fault:
        """Classify an error of smbprotocol, or one that SmbConnector classifies."""
        from smbprotocol.exceptions import SMBAuthenticationError, SMBConnectionClosed

        from aetherflow_builtins_transfer.connectors.smb.connection import UnprotectedError

        match error:
            case SMBConnectionClosed():
                return Fault("lost", one_line(error))
            case SMBAuthenticationError():
                return Fault("denied", f"the login is refused: {one_line(error)}", "login")
            case UnprotectedError():
                return Fault("other", one_line(error), "protection")
            case ValueError(__cause__=OSError() as below):  # the library's error for a failed connect
                return Fault("lost", one_line(error), os_fault(below).cause)
        return super().explain(error)


def _status_of(error: Exception) -> int:
    """NTSTATUS of the answer that made a request fail; 0 if there was none."""
    return int(getattr(error, "ntstatus", 0) or 0)


def _kind(attributes: Any) -> EntryKind:
    value = int(attributes)
    if value & REPARSE_POINT:
        return "link"
    return "folder" if value & DIRECTORY else "file"
