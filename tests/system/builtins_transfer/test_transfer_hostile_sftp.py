"""SFTP servers that are slow, silent, endless, lie or talk nonsense, in every phase: each limit holds."""

import contextlib
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import paramiko
import pytest
from hostile_peers import FAULTS, HERE, Hostile, costs, hostile
from paramiko import sftp

from aetherflow.core.api import ConnectorError, ConnectorInit
from aetherflow_builtins_transfer.connectors.sftp import client
from aetherflow_builtins_transfer.connectors.sftp.connector import SftpConnector
from sftp_server import Folder, Handle, serving

LIMIT, GRACE = 0.4, 20
OPTIONS = {
    "timeout": LIMIT, "banner_timeout_seconds": LIMIT, "auth_timeout_seconds": LIMIT, "channel_timeout_seconds": LIMIT,
    "idle_timeout_seconds": LIMIT,
}  # fmt: skip
GREETING = b"SSH-2.0-OpenSSH_9.2\r\n"
PHASES = ("connect", "banner", "line", "keys")


def connector(config: dict[str, Any]) -> SftpConnector:
    given = {"user": "u", "password": "p", "host_key": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI" + "A" * 43, **config}
    return SftpConnector(ConnectorInit("peer", "sftp", "paramiko", given, OPTIONS))


def talk(phase: str, fault: str) -> Callable[[Hostile, socket.socket], None]:
    """A server that is honest up to a phase of the greeting."""
    before = {"connect": b"", "banner": b"hello\r\n", "line": b"SSH-2.0-", "keys": GREETING}[phase]
    block = {"connect": b"welcome\r\n", "banner": b"news\r\n", "line": b"x", "keys": b"\0\0\x01\0"}[phase]

    def serve(server: Hostile, peer: socket.socket) -> None:
        peer.sendall(before)
        server.misbehave(fault, peer, block)

    return serve


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("phase", PHASES)
def test_the_limit_holds_until_the_login(phase: str, fault: str) -> None:
    with (
        hostile(talk(phase, fault)) as server,
        contextlib.closing(connector({"host": HERE, "port": server.port})) as peer,
        costs() as cost,
        pytest.raises(ConnectorError) as caught,
    ):
        peer.probe()
    assert cost.mebibytes < 64
    assert cost.seconds < LIMIT * 4 + GRACE
    assert len(str(caught.value)) < 1000
    assert caught.value.fix


# After the login


class Lying(Folder):
    """Lists one file, which `handle` reads."""

    over: ClassVar[threading.Event]
    size: ClassVar[int] = 3
    handle: ClassVar[type[Handle]]

    def stat(self, path: str) -> Any:
        found = paramiko.SFTPAttributes()
        found.st_size, found.st_mtime, found.st_atime, found.st_mode = self.size, 1, 1, 0o100600
        return found

    lstat = stat

    def open(self, path: str, flags: int, attr: paramiko.SFTPAttributes) -> Any:
        handle = self.handle(flags)
        handle.folder, handle.path = self, path
        return handle


class Endless(Handle):
    def read(self, offset: int, length: int) -> Any:
        return b"x" * length


class Larger(Handle):
    def read(self, offset: int, length: int) -> Any:
        return b"x" * (length + 1)


class Huge(Handle):
    def read(self, offset: int, length: int) -> Any:
        return b"x" * (2 << 20)


class Empty(Handle):
    def read(self, offset: int, length: int) -> Any:
        return b""


class Silent(Handle):
    def read(self, offset: int, length: int) -> Any:
        Lying.over.wait()
        return sftp.SFTP_FAILURE


class Slow(Handle):
    """A byte at a time, of a file of which many were listed."""

    def read(self, offset: int, length: int) -> Any:
        Lying.over.wait(0.1)
        return b"x"


class Short(Handle):
    def read(self, offset: int, length: int) -> Any:
        return b"x" if offset == 0 else sftp.SFTP_EOF


class Cut(Handle):
    def read(self, offset: int, length: int) -> Any:
        return self.folder.cut()


@pytest.mark.parametrize("kind", [Endless, Larger, Huge, Empty, Silent, Slow, Short, Cut])
def test_a_file_ends_with_its_listed_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: type[Handle]) -> None:
    target = tmp_path / "got"
    over = threading.Event()
    monkeypatch.setattr(Lying, "over", over, raising=False)
    monkeypatch.setattr(Lying, "handle", kind, raising=False)
    if kind is Slow:
        monkeypatch.setattr(Lying, "size", 1000)
    with serving(tmp_path, Lying) as config, contextlib.closing(connector(config)) as peer:
        try:
            with costs() as cost, pytest.raises(ConnectorError) as caught:
                peer.download("in.csv", str(target))
        finally:
            over.set()
    assert cost.mebibytes < 64
    assert cost.seconds < LIMIT * 4 + GRACE
    assert caught.value.fix
    assert list(tmp_path.iterdir()) == []


def test_a_listing_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Names(Folder):
        def list_folder(self, path: str) -> Any:
            found = paramiko.SFTPAttributes()
            found.filename = "one"
            return [found] * 6_000

    monkeypatch.setattr(client, "MOST_NAMES", 5_000)
    with (
        serving(tmp_path, Names) as config,
        contextlib.closing(connector(config)) as peer,
        pytest.raises(ConnectorError, match="more than 5,000 names"),
    ):
        peer.list("/")


@pytest.mark.parametrize("fault", ["silent", "cut"])
def test_a_login_is_answered_in_time(tmp_path: Path, fault: str) -> None:
    over = threading.Event()

    class Door(Folder):
        @classmethod
        def admit(cls, transport: paramiko.Transport) -> None:
            if fault == "cut":
                transport.close()
            else:
                over.wait()

    with serving(tmp_path, Door) as config, contextlib.closing(connector(config)) as peer:
        try:
            with costs() as cost, pytest.raises(ConnectorError) as caught:
                peer.probe()
        finally:
            over.set()
    assert cost.seconds < LIMIT * 4 + GRACE
    assert caught.value.fix
