"""Files on an SMB server that are deleted while somebody has them open: the name is taken until they are closed."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from smbclient import ClientConfig, open_file, register_session

from aetherflow.core.api import ConnectorInit
from aetherflow_builtins_transfer.connectors.files.connector import PooledFiles
from aetherflow_builtins_transfer.connectors.smb import base as smb_base
from aetherflow_builtins_transfer.connectors.smb.pysmb import PysmbConnector
from aetherflow_builtins_transfer.connectors.smb.smbclient import SmbClientConnector
from aetherflow_builtins_transfer.failures import RemoteError
from services import Smbd
from transfer_peers import Peer, build_peer


@pytest.fixture(params=["smbclient", "pysmb"])
def peer(request: pytest.FixtureRequest, tmp_path: Path) -> Peer:
    return build_peer(f"smb.{request.param}", request, tmp_path)


@pytest.fixture
def partner(peer: Peer) -> Iterator[PooledFiles[Any, Any]]:
    cls: Any = SmbClientConnector if peer.driver == "smbclient" else PysmbConnector
    options = {"idle_timeout_seconds": 1}
    with cls(ConnectorInit("partner", "smb", peer.driver, peer.resource["config"], options)) as found:
        yield found


@pytest.fixture
def held(peer: Peer, partner: PooledFiles[Any, Any], smbd: Smbd, smbd_old: Smbd) -> Iterator[Any]:
    """An open handle of somebody else on the file `a`, which has been deleted under it."""
    server, cache = smbd if peer.driver == "smbclient" else smbd_old, dict[str, Any]()
    ClientConfig()
    keys: dict[str, Any] = {"port": server.port, "connection_cache": cache}
    register_session("127.0.0.1", username=server.user, password=server.password, **keys)
    peer.put("a", "old")
    handle = open_file(rf"\\127.0.0.1\data\{peer.base}\a", "rb", share_access="rwd", buffering=0, **keys)
    partner.delete(f"{peer.base}/a")
    yield handle
    handle.close()
    for connection in cache.values():
        connection.disconnect()


@pytest.mark.parametrize("what", ["find", "delete", "upload"])
def test_it_is_waited_for_who_has_it_open(peer: Peer, partner: PooledFiles[Any, Any], held: Any, what: str) -> None:
    closing = threading.Timer(2, held.close)  # longer than silence would be borne
    closing.start()
    if what == "find":
        assert partner.find(f"{peer.base}/a") is None
    elif what == "delete":
        with pytest.raises(RemoteError) as gone:
            partner.delete(f"{peer.base}/a")
        assert gone.value.kind == "missing"
    else:
        partner.upload(peer.local("a", "new"), f"{peer.base}/a")
    closing.join()
    assert peer.tree() == ({"a": b"new"} if what == "upload" else {})


def test_it_is_told_if_nobody_closes_it(
    peer: Peer, partner: PooledFiles[Any, Any], held: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert held is not None
    monkeypatch.setattr(smb_base, "PATIENCE_SECONDS", 0.5)
    with pytest.raises(RemoteError, match="is being deleted, and is still open elsewhere"):
        partner.stat(f"{peer.base}/a")
