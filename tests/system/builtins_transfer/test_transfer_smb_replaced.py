"""A name at an SMB server that is looked up just while its file is replaced is there, whatever is answered first."""

import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from smb.smb_structs import OperationFailure

from aetherflow.core.api import ConnectorInit
from aetherflow_builtins_transfer.connectors.files.connector import PooledFiles
from aetherflow_builtins_transfer.connectors.smb.base import LOOKS
from aetherflow_builtins_transfer.connectors.smb.pysmb import PysmbConnector, PysmbSession
from aetherflow_builtins_transfer.connectors.smb.smbclient import SmbClientConnector
from services import Smbd, need
from transfer_peers import Peer, build_peer, smb_resource

GAP_SECONDS = 0.5
"""How long the server sleeps between opening a name and looking at what it opened; one replacement falls into it."""


@pytest.fixture(params=["smbclient", "pysmb"])
def peer(request: pytest.FixtureRequest, tmp_path: Path) -> Peer:
    return build_peer(f"smb.{request.param}", request, tmp_path)


@pytest.fixture
def reader(peer: Peer) -> Iterator[PooledFiles[Any, Any]]:
    cls: Any = SmbClientConnector if peer.driver == "smbclient" else PysmbConnector
    with cls(ConnectorInit("reader", "smb", peer.driver, peer.resource["config"], {})) as found:
        yield found


@pytest.fixture
def delayed(peer: Peer, reader: PooledFiles[Any, Any], smbd: Smbd, smbd_old: Smbd, tmp_path: Path) -> Iterator[Path]:
    """The server's processes for `reader` sleep after each call of openat(); the file names their calls."""
    server, calls = smbd if peer.driver == "smbclient" else smbd_old, tmp_path / "calls"
    peer.put("a", "old")
    reader.stat(f"{peer.base}/a")  # so that it is connected
    (strace,) = need("strace")
    command = [strace, "-o", str(calls), "-e", "trace=openat", *(f"--attach={pid}" for pid in serving(server.root))]
    fault = f"--inject=openat:delay_exit={int(GAP_SECONDS * 1e6)}"
    with subprocess.Popen([*command, fault], stderr=subprocess.PIPE) as tracer:
        assert tracer.stderr is not None
        assert b"attached" in tracer.stderr.readline()
        try:
            yield calls
        finally:
            tracer.terminate()


def serving(share: Path) -> list[int]:
    """The server's processes that have clients: they stand in the folder of the share."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "cwd").readlink() == share and b"smbd" in (process / "cmdline").read_bytes():
                found.append(int(process.name))
        except OSError:
            continue  # it has ended, or belongs to somebody else
    assert found, "no process of the server serves the share"
    return found


@pytest.mark.parametrize("what", ["read", "find"])
def test_it_is_there(peer: Peer, reader: PooledFiles[Any, Any], delayed: Path, what: str) -> None:
    """Samba opens the old file; that one is replaced, has no name any more, and so is told as not found."""
    ask: dict[str, Callable[[str], Any]] = {"read": reader.read_bytes, "find": reader.find}

    def look(found: list[Any]) -> None:
        try:
            found.append(ask[what](f"{peer.base}/a"))
        except Exception as error:  # noqa: BLE001 compared below
            found.append(error)

    for _ in range(5):
        found, before = list[Any](), len(delayed.read_text().splitlines())
        thread = threading.Thread(target=look, args=[found])
        thread.start()
        thread.join(GAP_SECONDS / 2)
        if not found:
            break  # else a process of the server answered that is not watched
    assert found == [], "the server did not sleep"
    peer.put("b", "new")
    (peer.disk / "b").replace(peer.disk / "a")
    thread.join()
    if what == "read":
        assert found == [b"new"]
    else:
        assert found[0] is not None
        assert found[0].size == len(b"new")
    opened = [line for line in delayed.read_text().splitlines()[before:] if '"a"' in line]
    assert "(DELAYED)" in opened[0]
    assert 1 < len(opened) <= LOOKS


def test_many_missing_names_cost_the_same_each(smbd_old: Smbd) -> None:
    """pysmb kept every answer that was an error, and read all of them again with each new one."""
    config = smb_resource(smbd_old, "pysmb")["config"]
    with PysmbConnector(ConnectorInit("reader", "smb", "pysmb", config, {})) as reader, reader.a_session() as session:
        kept = set()
        for _ in range(3):
            with pytest.raises(OperationFailure):
                session.stat(reader.at("none"))
            assert isinstance(session, PysmbSession)
            kept.add(len(session._smb.data_buf))
    assert len(kept) == 1
