"""A connection that is there when the step that wanted it has ended."""

import socket
import time
from pathlib import Path

from aetherflow.core.testing import FlowProject
from proxy import Proxy
from services import Smbd
from transfer_peers import smb_resource


def closed_by_the_client(client: socket.socket) -> bool:
    """Whether the proxy's end of a connection has come to its end."""
    try:
        return client.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
    except BlockingIOError:
        return False


def test_a_session_that_comes_too_late_is_closed(smbd: Smbd, tmp_path: Path) -> None:
    project = FlowProject(tmp_path / "project")
    with Proxy(smbd.port, rate=300) as slow:
        ran = project.run_step(
            "smb_list_files",
            {"resource": "peer", "remote_dir": "."},
            resources={"peer": smb_resource(smbd, port=slow.port)},
            timeout_seconds=1,
        )
        assert ran.error is not None
        assert "1 s" in ran.error.message
        assert slow.connections == 1
        slow.mend()
        deadline = time.monotonic() + 60
        while not closed_by_the_client(slow.open[0]):
            assert time.monotonic() < deadline, "the connection stayed open"
            time.sleep(0.05)
