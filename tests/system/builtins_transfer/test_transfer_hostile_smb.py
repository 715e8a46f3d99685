"""SMB servers that are slow, silent, endless, lie about sizes or talk nonsense, in every phase: each limit holds."""

import contextlib
import socket
import struct
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hostile_peers import FAULTS, HERE, Hostile, costs, hostile

from aetherflow.core.api import ConnectorError, ConnectorInit
from aetherflow_builtins_transfer.connectors.smb.pysmb import PysmbConnector
from aetherflow_builtins_transfer.connectors.smb.smbclient import SmbClientConnector
from services import Smbd

LIMIT, GRACE = 0.4, 20
DRIVERS: dict[str, Any] = {"smbclient": SmbClientConnector, "pysmb": PysmbConnector}
Serve = Callable[[Hostile, socket.socket], None]


def probe(files: Any) -> None:
    files.probe()


def check_refused(
    driver: str, serve: Serve, work: Callable[[Any], None] = probe, limit: float = LIMIT, **config: Any
) -> None:
    """The work is refused in time, and without more memory."""
    with hostile(serve) as server:
        given = {
            "server": HERE,
            "port": server.port,
            "share": "s",
            "username": "u",
            "password": "p4ssword-17",
            **config,
        }
        options = {"timeout": limit, "idle_timeout_seconds": limit}
        files = DRIVERS[driver](ConnectorInit("nas", "smb", driver, given, options))
        with contextlib.closing(files), costs() as cost, pytest.raises(ConnectorError) as caught:
            work(files)
    assert cost.mebibytes < 64
    assert cost.seconds < limit * 6 + GRACE
    assert len(str(caught.value)) < 1000
    assert caught.value.fix


def message(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data


HEAD = b"\xfeSMB" + struct.pack("<HHIHHIIQIIQ", 64, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0) + bytes(16)
NEGOTIATED = HEAD + struct.pack(
    "<HHHH16sIIIIQQHHI", 65, 1, 0x210, 0, bytes(16), 0, 1 << 20, 1 << 20, 1 << 20, 0, 0, 128, 0, 0
)
BLOCKS = {"connect": message(NEGOTIATED), "length": message(NEGOTIATED), "negotiate": message(NEGOTIATED)}
BEFORE = {"connect": b"", "length": b"\0\0", "negotiate": message(NEGOTIATED)}


def talk(phase: str, fault: str) -> Serve:
    """A server that is honest up to a phase."""

    def serve(server: Hostile, peer: socket.socket) -> None:
        if phase != "connect":
            peer.recv(65_536)
        peer.sendall(BEFORE[phase])
        server.misbehave(fault, peer, BLOCKS[phase])

    return serve


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("phase", BEFORE)
@pytest.mark.parametrize("driver", DRIVERS)
def test_the_limit_holds(driver: str, phase: str, fault: str) -> None:
    check_refused(driver, talk(phase, fault))


@pytest.mark.parametrize("size", [0, 1, 0x00FFFFFF, 0x7FFFFFFF, 0xFFFFFFFF])
@pytest.mark.parametrize("driver", DRIVERS)
def test_a_lie_about_a_length(driver: str, size: int) -> None:
    def serve(server: Hostile, peer: socket.socket) -> None:
        peer.recv(65_536)
        peer.sendall(struct.pack(">I", size))
        server.endless(peer, b"\xfeSMB")

    check_refused(driver, serve)


# A real server, up to a byte

SIZE = 1 << 20
AT = {"login": 300, "middle": SIZE // 2}
"""The byte of the server's at which it becomes hostile: in its answer to the login, in a file."""
BLOCK = message(HEAD + bytes(1000))


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("phase", AT)
@pytest.mark.parametrize("driver", DRIVERS)
def test_a_server_that_turns_hostile(
    request: pytest.FixtureRequest, tmp_path: Path, driver: str, phase: str, fault: str
) -> None:
    real: Smbd = request.getfixturevalue("smbd" if driver == "smbclient" else "smbd_old")
    (real.root / "big.bin").write_bytes(bytes(SIZE))

    turned = threading.Event()

    def serve(server: Hostile, peer: socket.socket) -> None:
        if server.relay(peer, real.port, AT[phase]):
            turned.set()
            server.misbehave(fault, peer, BLOCK)

    account = {"share": "data", "username": real.user, "password": real.password}
    for limit in (LIMIT, 4 * LIMIT, 16 * LIMIT, 64 * LIMIT):  # on a busy machine the limit may come before the turn
        if turned.is_set():
            break
        check_refused(
            driver, serve, lambda files: files.download("big.bin", str(tmp_path / "got")), limit=limit, **account
        )
    assert turned.is_set()
    assert list(tmp_path.iterdir()) == []
