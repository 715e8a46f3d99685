"""Renaming at SSH servers that cannot replace a file, and where a name is taken."""

from collections.abc import Iterator
from typing import Any

import paramiko
import pytest

from aetherflow.core.api import ConnectorInit
from aetherflow_builtins_transfer.connectors.sftp import SftpConnector
from aetherflow_builtins_transfer.connectors.sftp_client import Client
from aetherflow_builtins_transfer.failures import RemoteError
from services import Sshd
from transfer_peers import Peer, build_peer, sftp_resource


@pytest.fixture
def plain(sshd: Sshd, monkeypatch: pytest.MonkeyPatch) -> Iterator[SftpConnector]:
    """The real server, asked for an extension that it does not have."""

    def posix_rename(client: Any, old: str, new: str) -> None:
        client._request(200, "posix-rename@example.com", old, new)

    monkeypatch.setattr(Client, "posix_rename", posix_rename)
    monkeypatch.setattr(SftpConnector, "BATCHES", False)
    with SftpConnector(ConnectorInit("partner", "sftp", "paramiko", sftp_resource(sshd)["config"], {})) as found:
        yield found


@pytest.fixture
def ssh(sshd: Sshd, request: pytest.FixtureRequest, tmp_path: Any) -> Peer:
    """Its files, and flows on it."""
    return build_peer("sftp.paramiko", request, tmp_path)


def test_the_old_file_makes_room(plain: SftpConnector, ssh: Peer) -> None:
    ssh.put("a", "new")
    ssh.put("b", "old")
    ssh.put("b.old", "the partner's own")
    plain.rename(f"{ssh.base}/a", f"{ssh.base}/b")
    assert ssh.tree() == {"b": b"new", "b.old": b"the partner's own"}


@pytest.mark.parametrize("call", [1, 2])
def test_what_made_room_is_hidden_after_a_cut_and_goes_with_the_next_delivery(
    plain: SftpConnector, ssh: Peer, monkeypatch: pytest.MonkeyPatch, call: int
) -> None:
    """The connection breaks after the old file was put aside, or after the new one has its name."""
    local = ssh.local("a", "new")
    ssh.put("a", "old")
    step = ssh.step("upload", items=str(local), remote_dir=ssh.base)
    original, calls = Client.rename, list[str]()

    def cut(client: Any, old: str, new: str) -> None:
        original(client, old, new)
        calls.append(new)
        if len(calls) == call:
            client.get_channel().get_transport().close()
            raise paramiko.SSHException("Server connection dropped")

    with monkeypatch.context() as patch:
        patch.setattr(Client, "rename", cut)
        assert ssh.run(step).error is not None
    aside = {name: data for name, data in ssh.tree().items() if name != "a"}
    assert b"old" in aside.values(), "the old file is still there"
    assert {each["name"] for each in ssh.files()} <= {"a"}, "a list must not show it"
    local.write_text("newer")
    ran = ssh.run(step)
    assert ran.error is None, ran.error
    assert ssh.tree() == {"a": b"newer"}


def test_a_name_that_is_taken_is_told_as_that(plain: SftpConnector, ssh: Peer) -> None:
    ssh.put("a", "1")
    ssh.put("b", "2")
    with pytest.raises(RemoteError, match="it exists") as refused:
        plain.rename(f"{ssh.base}/a", f"{ssh.base}/b", overwrite=False)
    assert refused.value.kind == "exists"
    with pytest.raises(RemoteError, match="No such file") as missing:
        plain.rename(f"{ssh.base}/none", f"{ssh.base}/b", overwrite=False)
    assert missing.value.kind == "missing"
    assert ssh.tree() == {"a": b"1", "b": b"2"}
