"""Renaming at SSH servers that cannot replace a file, and where a name is taken."""

from collections.abc import Iterator
from typing import Any

import paramiko
import pytest

from aetherflow.core.api import ConnectorInit
from aetherflow_builtins_transfer.connectors.sftp.client import Client
from aetherflow_builtins_transfer.connectors.sftp.connector import SftpConnector
from aetherflow_builtins_transfer.failures import RemoteError
from aetherflow_builtins_transfer.paths import is_part
from services import Sshd
from transfer_peers import Peer, build_peer, sftp_resource


@pytest.fixture
def plain(sshd: Sshd, monkeypatch: pytest.MonkeyPatch) -> Iterator[SftpConnector]:
    """The real server, asked for an extension that it does not have."""

    def posix_rename(client: Any, old: str, new: str) -> None:
        client._request(200, "posix-rename@example.com", old, new)

    monkeypatch.setattr(Client, "posix_rename", posix_rename)
    monkeypatch.setattr(SftpConnector, "sends_together", lambda _: False)
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


@pytest.mark.parametrize("has_extension", [True, False])
def test_a_folder_never_makes_room_for_a_file(
    plain: SftpConnector, ssh: Peer, monkeypatch: pytest.MonkeyPatch, has_extension: bool
) -> None:
    """Nor a file for a folder; servers with the extension refuse both by themselves."""
    if has_extension:
        monkeypatch.undo()
    ssh.put("from/a", "new")
    ssh.put("to/a/inside", "the partner's own")
    ssh.put("b", "old")
    before = ssh.tree()
    step = ssh.step("move", files=f"{ssh.base}/from/a", dest_dir=f"{ssh.base}/to", overwrite=True)
    ran = ssh.run(step)
    assert ran.error is not None
    if not has_extension:
        assert "a folder has that name" in ran.error.message
        assert ran.error.fix
    with pytest.raises(RemoteError, match="renaming"):
        plain.rename(f"{ssh.base}/to/a", f"{ssh.base}/b")
    assert ssh.tree() == before
    upload = ssh.run(ssh.step("upload", items=str(ssh.local("a", "new")), remote_dir=f"{ssh.base}/to"))
    assert upload.error is not None
    assert {name: data for name, data in ssh.tree().items() if not is_part(name.rpartition("/")[2])} == before


@pytest.mark.parametrize("name", ["a", "n" * 255])
def test_what_a_cut_move_put_aside_goes_with_the_next_move_to_that_name(
    plain: SftpConnector, ssh: Peer, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    ssh.put(f"from/{name}", "new")
    ssh.put(f"to/{name}", "old")
    original = Client.rename

    def cut(client: Any, old: str, new: str) -> None:
        original(client, old, new)
        client.get_channel().get_transport().close()
        raise paramiko.SSHException("Server connection dropped")

    with monkeypatch.context() as patch:
        patch.setattr(Client, "rename", cut)
        with pytest.raises(RemoteError):
            plain.rename(f"{ssh.base}/from/{name}", f"{ssh.base}/to/{name}")
    (aside,) = set(ssh.tree()) - {f"from/{name}"}
    assert aside.startswith("to/.aetherflow-"), "beside the name that it had"
    assert ssh.tree()[aside] == b"old"
    assert [each["name"] for each in ssh.files(recursive=True)] == [name], "a list must not show it"
    plain.rename(f"{ssh.base}/from/{name}", f"{ssh.base}/to/{name}")
    assert ssh.tree() == {f"to/{name}": b"new"}


def test_the_reason_why_a_file_cannot_make_room_is_told(plain: SftpConnector, ssh: Peer) -> None:
    """The kernel lets nobody rename what it shows there: as a missing right, or because all of it is read-only."""
    ssh.put("a", "new")
    with pytest.raises(RemoteError, match=r"Permission denied|Failure") as refused:
        plain.rename(f"{ssh.base}/a", "/sys/kernel/uevent_seqnum")
    assert refused.value.kind in ("denied", "other")
    assert ssh.tree() == {"a": b"new"}
