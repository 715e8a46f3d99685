"""An SFTP server in a thread of this process, over a folder; subclasses of `Folder` add faults."""

import contextlib
import os
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import paramiko
from paramiko import sftp

USER, PASSWORD = "u", "password-17"


class _Login(paramiko.ServerInterface):
    def __init__(self, transport: paramiko.Transport, behaviour: "type[Folder]") -> None:
        self.transport, self.behaviour = transport, behaviour

    def check_auth_password(self, username: str, password: str) -> int:
        self.behaviour.admit(self.transport)
        good = (username, password) == (USER, PASSWORD)
        return paramiko.common.AUTH_SUCCESSFUL if good else paramiko.common.AUTH_FAILED

    def check_channel_request(self, kind: str, chanid: int) -> int:
        return paramiko.common.OPEN_SUCCEEDED


class Handle(paramiko.SFTPHandle):
    folder: "Folder"
    path: str

    def chattr(self, attr: paramiko.SFTPAttributes) -> int:
        return self.folder.chattr(self.path, attr)

    def stat(self) -> Any:
        return self.folder.stat(self.path)

    def write(self, offset: int, data: Any) -> int:
        return super().write(offset, self.folder.received(bytes(data)))


class Folder(paramiko.SFTPServerInterface):
    """Serves the folder `root`, with its paths as they are on disk; one object per session."""

    def __init__(self, server: _Login, root: Path) -> None:
        super().__init__(server)
        self.transport = server.transport
        self.root = root

    @classmethod
    def admit(cls, transport: paramiko.Transport) -> None:
        """Called before a login is answered."""

    def received(self, data: bytes) -> bytes:
        """The bytes to store for a piece that a client sent; subclasses may change it."""
        return data

    def cut(self) -> int:
        """End the connection without an answer."""
        self.transport.close()
        return sftp.SFTP_FAILURE

    def list_folder(self, path: str) -> Any:
        return self._try(
            lambda: [paramiko.SFTPAttributes.from_stat(each.lstat(), each.name) for each in Path(path).iterdir()]
        )

    def stat(self, path: str) -> Any:
        return self._try(lambda: paramiko.SFTPAttributes.from_stat(Path(path).stat()))

    def lstat(self, path: str) -> Any:
        return self._try(lambda: paramiko.SFTPAttributes.from_stat(Path(path).lstat()))

    def open(self, path: str, flags: int, attr: paramiko.SFTPAttributes) -> Any:
        def opened() -> Handle:
            mode = "w+b" if flags & (os.O_CREAT | os.O_TRUNC) else "r+b" if flags & os.O_RDWR else "rb"
            mode = "x+b" if flags & os.O_EXCL else mode
            handle = Handle(flags)
            handle.folder, handle.path = self, path
            handle.readfile = handle.writefile = Path(path).open(mode)  # type: ignore[attr-defined]  # noqa: SIM115
            return handle

        return self._try(opened)

    def chattr(self, path: str, attr: paramiko.SFTPAttributes) -> int:
        return self._done(lambda: paramiko.SFTPServer.set_file_attr(path, attr))

    def remove(self, path: str) -> int:
        return self._done(Path(path).unlink)

    def rename(self, oldpath: str, newpath: str) -> int:
        if Path(newpath).exists():
            return sftp.SFTP_FAILURE
        return self._done(lambda: Path(oldpath).rename(newpath))

    def posix_rename(self, oldpath: str, newpath: str) -> int:
        return self._done(lambda: Path(oldpath).rename(newpath))

    def mkdir(self, path: str, attr: paramiko.SFTPAttributes) -> int:
        return self._done(Path(path).mkdir)

    def _try(self, work: Any) -> Any:
        try:
            return work()
        except OSError as error:
            return paramiko.SFTPServer.convert_errno(error.errno or 0)

    def _done(self, work: Any) -> int:
        found = self._try(work)
        return found if isinstance(found, int) else sftp.SFTP_OK


@contextlib.contextmanager
def ssh_server(key: paramiko.PKey, start: Callable[[paramiko.Transport], None]) -> Iterator[int]:
    """Listen on a free port and call `start` for each connection; yields the port number."""
    listener = socket.create_server(("127.0.0.1", 0))
    transports: list[paramiko.Transport] = []

    def accept() -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            transport = paramiko.Transport(client)
            transports.append(transport)
            transport.add_server_key(key)
            with contextlib.suppress(paramiko.SSHException, EOFError, OSError):  # the client may have hung up
                start(transport)

    thread = threading.Thread(target=accept)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()
        for transport in transports:
            transport.close()
            transport.join()


@contextlib.contextmanager
def serving(root: Path, behaviour: type[Folder] = Folder) -> Iterator[dict[str, Any]]:
    """Run the server inside the block; yields the `config` of a resource for it."""
    key = paramiko.ECDSAKey.generate()

    def start(transport: paramiko.Transport) -> None:
        transport.set_subsystem_handler("sftp", paramiko.SFTPServer, behaviour, root)
        transport.start_server(server=_Login(transport, behaviour))

    with ssh_server(key, start) as port:
        host_key = f"{key.get_name()} {key.get_base64()}"
        yield {"host": "127.0.0.1", "port": port, "user": USER, "password": PASSWORD, "host_key": host_key}
