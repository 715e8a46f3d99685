"""The connector `smb:smbclient`: files on an SMB 2 or 3 server, by smbprotocol."""

import stat as modes
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from pydantic import Field

from aetherflow.core.api import Flag
from aetherflow_builtins_transfer.connectors.files.session import EntryKind, FileSession, Read, RemoteEntry, Write
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
"""Others may read, write, rename and delete a file while we read it: our reading must not stand in their way."""


class Config(SmbConfig):
    """The server, and who asks."""


class Options(SmbOptions):
    encrypt: Flag = Field(
        False, description="Refuse a server that does not encrypt. Without it the server decides; most do not."
    )
    auth: Auth = Field("negotiate", description="How to log in: `ntlm`, `kerberos`, or what both sides know.")


class SmbSession(FileSession):
    """One connection with one login, and a connection cache of its own.

    The library finds connections by server and port, and the first login of a server serves all; so each session here
    has its own cache, and account and port go with every call.
    """

    def __init__(self, conf: Config, opts: Options) -> None:
        import smbclient

        from aetherflow_builtins_transfer.connectors.smb.connection import SmbConnection

        silence("smbprotocol", "smbclient")
        self._api = smbclient
        # Each connection is a client of its own. Samba hands a connection of a client that it knows over to the
        # process that serves this client already; if that one is just ending, nobody ever answers.
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
        """Connect and log in. Watch it: for the answers to a login the library waits without a limit."""
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
            info = each.smb_info  # not each.stat(): it forgets the port
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
        """An open file; if its use fails, that is what is told, and not that closing it failed too."""
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
        # without a logoff: the server ends the session with its connection, and a stalled one would not answer
        with suppress(Exception):
            self._connection.disconnect(close=False)

    def abort(self) -> None:
        self._connection.cut()
        self.close()


class SmbClientConnector(SmbConnector[Config, Options]):
    r"""Files on an SMB server, versions 2 and 3, signed, encrypted where the server asks for it.

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
        """A connection of its own."""
        session = SmbSession(self.conf, self.opts)
        with self.watchdog.watch(session):
            session.connect()
        return session

    def explain(self, error: BaseException) -> Fault:
        """What smbprotocol raises, in our kinds."""
        from smbprotocol.exceptions import SMBAuthenticationError, SMBConnectionClosed

        from aetherflow_builtins_transfer.connectors.smb.connection import UnprotectedError

        match error:
            case SMBConnectionClosed():
                return Fault("lost", one_line(error))
            case SMBAuthenticationError():
                return Fault("denied", f"the login is refused: {one_line(error)}", "login")
            case UnprotectedError():
                return Fault("other", one_line(error), "protection")
            case ValueError(__cause__=OSError() as below):  # so the library says that it could not connect
                return Fault("lost", one_line(error), os_fault(below).cause)
        return super().explain(error)


def _status_of(error: Exception) -> int:
    """Number of the answer that made a request fail, 0 if there was none."""
    return int(getattr(error, "ntstatus", 0) or 0)


def _kind(attributes: Any) -> EntryKind:
    value = int(attributes)
    if value & REPARSE_POINT:
        return "link"
    return "folder" if value & DIRECTORY else "file"
