"""Connections to an SMB server that begin while others end."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from aetherflow.core.api import ConnectorInit
from aetherflow_builtins_transfer.connectors.smb.smbclient import SmbClientConnector
from transfer_peers import build_peer

PAIRS = 240
"""Of 60, every third time one was never answered while all connections told the server the same client id."""


def test_one_that_begins_while_another_ends_is_served(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """Samba hands a connection of a client that it knows to that client's process, even if this one is ending."""
    peer = build_peer("smb.smbclient", request, tmp_path)
    peer.put("a", "here")
    init = ConnectorInit("partner", "smb", "smbclient", peer.resource["config"], {"idle_timeout_seconds": 4})

    def look(number: int) -> bool:
        del number
        with SmbClientConnector(init) as partner:
            return partner.find(f"{peer.base}/a") is not None

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(look, range(PAIRS)))
