"""Transfers whose process was killed: the resumed run goes on where they were, if it still is the same file."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import warm
from proxy import Proxy
from transfer_peers import Peer, build_peer

SIZE, KILLED_AT = 24_000_000, 18_500_000
"""By then a download has told a checkpoint, and an upload stands at the peer but for what is buffered."""
MOST_AGAIN = 18_000_000
PER_SECOND = 9_000_000


@pytest.fixture(params=("sftp.paramiko", "smb.smbclient", "smb.pysmb"))
def wire(request: pytest.FixtureRequest, tmp_path: Path) -> Peer:
    """Each driver that has a network."""
    return build_peer(request.param, request, tmp_path)


def killed_on_the_way(peer: Peer, proxy: Proxy, direction: str) -> str:
    """Run the flow in a process of its own and kill that in the middle of the file; the run's id."""
    peer.resource["config"]["port"] = proxy.port
    inputs: dict[str, Any] = (
        {"files": [f"{peer.base}/file"], "dest_dir": "got"}
        if direction == "download"
        else {"items": [str(peer.project.work / "given" / "file")], "remote_dir": peer.base}
    )
    peer.project.flow(peer.step(direction, **inputs), resources={"peer": peer.resource})
    process = warm.Popen(
        [sys.executable, "-m", "aetherflow.core", "run", "flow.yaml"],
        cwd=peer.project.folder,
        env=peer.project.env,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 60
    while max(proxy.up, proxy.down) < KILLED_AT and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    process.kill()
    assert process.wait() == -signal.SIGKILL, "it was over before it could be killed"
    proxy.mend()
    found: str = peer.project.rows("SELECT run_id FROM runs")[0][0]
    return found


def resumed(peer: Peer, run_id: str) -> None:
    done = peer.project.command("resume", run_id)
    assert done.code == 0, done.err


def arrived(peer: Peer) -> Path:
    (found,) = peer.project.work.glob("flow/main/*/artifacts/got/file")
    return found


@pytest.mark.parametrize("direction", ["upload", "download"])
def test_a_transfer_goes_on_after_its_process_died(wire: Peer, direction: str) -> None:
    data = os.urandom(SIZE)
    (wire.put if direction == "download" else wire.local)("file", data)
    with Proxy(wire.resource["config"].get("port", 0), rate=PER_SECOND) as proxy:
        run_id = killed_on_the_way(wire, proxy, direction)
        before = proxy.up + proxy.down
        resumed(wire, run_id)
        assert proxy.up + proxy.down - before < MOST_AGAIN, "bytes that had arrived were moved again"
    target = arrived(wire) if direction == "download" else wire.disk / "file"
    assert target.read_bytes() == data
    assert list(wire.tree()) == ["file"]
    assert [path.name for path in target.parent.iterdir()] == ["file"]


@pytest.mark.parametrize("changed", ["content", "end", "begin"])
def test_a_download_of_another_file_begins_anew(changed: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """What stands at the peer under the name was replaced while the process was dead."""
    peer = build_peer("sftp.paramiko", request, tmp_path)
    data = bytearray(os.urandom(SIZE))
    path = peer.put("file", bytes(data))
    facts = path.stat()
    with Proxy(peer.resource["config"]["port"], rate=PER_SECOND) as proxy:
        run_id = killed_on_the_way(peer, proxy, "download")
        if changed == "content":  # the time tells, the bytes before the cut are the same
            data[-1] ^= 1
        elif changed == "end":  # the size tells
            data += b"more"
        else:  # only the bytes tell: size and time are as they were
            data[:] = os.urandom(SIZE)
        path.write_bytes(data)
        if changed == "begin":
            os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))
        resumed(peer, run_id)
    assert arrived(peer).read_bytes() == bytes(data)
    assert [each.name for each in arrived(peer).parent.iterdir()] == ["file"]
