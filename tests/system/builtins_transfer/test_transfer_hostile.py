"""Names from a peer that lies, and links that lead elsewhere: nothing outside is written or deleted."""

import os
from pathlib import Path

import pytest

from aetherflow.core.api import ConnectorError, ConnectorInit, RemoteEntry
from aetherflow_builtins_transfer.connectors.sftp.connector import SftpConnector
from aetherflow_builtins_transfer.connectors.sftp.session import SftpSession
from services import Sshd
from transfer_peers import sftp_resource


@pytest.mark.parametrize("name", ["../../up", "/abs", "a/b", "..", ".", "", "x\0y"])
def test_a_listing_with_impossible_names_is_refused(sshd: Sshd, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    resource = sftp_resource(sshd)
    monkeypatch.setattr(SftpSession, "entries", lambda self, folder: [RemoteEntry(name, "file", 1, 1.0)])
    with SftpConnector(ConnectorInit("peer", "sftp", "paramiko", resource["config"], {})) as connector:
        with pytest.raises(ConnectorError, match="leads elsewhere") as caught:
            connector.list("x")
        assert "\0" not in str(caught.value)
        (sshd.root / "tree").mkdir(exist_ok=True)
        with pytest.raises(ConnectorError, match="leads elsewhere"):
            connector.delete_recursive(str(sshd.root / "tree"))


NAMES = ("new\nline", "tab\there", "-rf", "$(touch x)", "`x`", "con", "a\\b", "..hidden", " blank ", "q'\"")


def test_strange_names_stay_what_they_are(sshd: Sshd, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    from transfer_peers import build_peer

    peer = build_peer("sftp.paramiko", request, tmp_path)
    for name in NAMES:
        peer.put(name, name)
    broken = os.fsencode(peer.disk) + b"/not-utf8-\xff"
    Path(os.fsdecode(broken)).write_bytes(b"x")
    ran = peer.run(
        peer.step("list", remote_dir=peer.base),
        peer.step("download", files="{{steps.list.files}}", dest_dir="in"),
        peer.step("delete", files="{{steps.list.files}}"),
    )
    assert ran.error is None, ran.error
    assert ran["list"].outputs["count"] == len(NAMES), "the name that is no UTF-8 is left out"
    folder = peer.project.artifacts(ran) / "in"
    assert {path.name: path.read_text() for path in folder.iterdir()} == {name: name for name in NAMES}
    assert [os.fsencode(path.name) for path in peer.disk.iterdir()] == [b"not-utf8-\xff"]


@pytest.mark.parametrize("driver", ["sftp.paramiko", "sftp.local"])
def test_links_are_not_followed_out(driver: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    from transfer_peers import build_peer

    peer = build_peer(driver, request, tmp_path)
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "keep").write_text("keep")
    peer.put("tree/a")
    (peer.disk / "tree" / "folder").symlink_to(outside)
    (peer.disk / "tree" / "file").symlink_to(outside / "keep")
    assert [each["rel_path"] for each in peer.files(recursive=True)] == ["tree/a"]
    peer.outputs("delete", files=[f"{peer.base}/tree/file"], if_unchanged=False)
    assert (outside / "keep").read_text() == "keep"
    if driver == "sftp.local":
        ran = peer.run(peer.step("download", files=[f"{peer.base}/tree/folder/keep"], dest_dir="in"))
        assert ran.error is not None
        assert "leads out" in ran.error.message
