"""Options of the connectors one by one, against real servers and those that keep silent at one point."""

import os
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import paramiko
import pytest

from aetherflow.core.api import ConnectorError, ConnectorInit, SetsMode
from aetherflow.core.testing import FlowProject
from aetherflow_builtins_transfer.connectors.local import SftpLocal, SmbLocal
from aetherflow_builtins_transfer.connectors.sftp.connector import SftpConnector
from aetherflow_builtins_transfer.connectors.smb.connection import SmbConnection
from aetherflow_builtins_transfer.connectors.smb.pysmb import PysmbConnector
from aetherflow_builtins_transfer.connectors.smb.smbclient import SmbClientConnector
from proxy import Proxy
from services import Smbd, Sshd
from transfer_peers import Peer, sftp_resource, smb_resource

CLASSES: dict[str, Any] = {
    "sftp.local": SftpLocal,
    "sftp.paramiko": SftpConnector,
    "smb.local": SmbLocal,
    "smb.smbclient": SmbClientConnector,
    "smb.pysmb": PysmbConnector,
}


def ssh(config: dict[str, Any], **options: Any) -> SftpConnector:
    return SftpConnector(ConnectorInit("partner", "sftp", "paramiko", config, options))


def without_key(server: Sshd) -> dict[str, Any]:
    config: dict[str, Any] = sftp_resource(server)["config"]
    return {name: value for name, value in config.items() if name != "pkey_path"}


# What a connector can do beyond the suite of all file transfers


def test_looking_and_changing(each_peer: Peer) -> None:
    name = f"{each_peer.kind}.{each_peer.driver}"
    each_peer.put("a.txt", b"12345")
    a, b = f"{each_peer.base}/a.txt", f"{each_peer.base}/b.txt"
    resource = each_peer.resource
    init = ConnectorInit("peer", each_peer.kind, each_peer.driver, resource["config"], resource.get("options", {}))
    with CLASSES[name](init) as partner:
        assert (partner.exists(a), partner.exists(b), partner.exists(each_peer.base)) == (True, False, True)
        partner.set_mtime(a, 1_500_000_000)
        found = partner.stat(a)
        assert (found.name, found.size, found.is_dir, found.mtime) == ("a.txt", 5, False, 1_500_000_000)
        partner.rename(a, b, overwrite=False)
        partner.write_bytes(a, b"new")
        with pytest.raises(ConnectorError, match=r"b\.txt"):
            partner.rename(a, b, overwrite=False)
        assert each_peer.tree() == {"a.txt": b"new", "b.txt": b"12345"}
        partner.rename(a, b)
        assert each_peer.tree() == {"b.txt": b"new"}
        if each_peer.kind == "sftp":
            partner.chmod(b, 0o604)
            assert (each_peer.disk / "b.txt").stat().st_mode & 0o777 == 0o604
        else:
            assert not isinstance(partner, SetsMode), "SMB knows no permission bits"


# Keys that were not configured


@contextmanager
def agent(key: Path, folder: Path) -> Iterator[str]:
    """A real agent that holds a key; the path of its socket."""
    place = str(folder / "agent")
    process = subprocess.Popen(["ssh-agent", "-D", "-a", place], stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 20
        while not os.path.exists(place) and time.monotonic() < deadline:  # noqa: PTH110 a socket, not a file
            time.sleep(0.02)
        environment = {**os.environ, "SSH_AUTH_SOCK": place}
        subprocess.run(["ssh-add", "-q", str(key)], env=environment, check=True, capture_output=True)
        yield place
    finally:
        process.terminate()
        process.wait()


def test_the_agent_is_asked_only_if_the_resource_says_so(
    sshd: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = without_key(sshd)
    with agent(sshd.key, tmp_path) as place:
        monkeypatch.setenv("SSH_AUTH_SOCK", place)
        with ssh(config) as partner, pytest.raises(ConnectorError, match="neither password nor key"):
            partner.probe()
        with ssh(config, use_agent=True) as partner:
            partner.probe()


def test_keys_of_the_home_folder_are_tried_only_if_the_resource_says_so(
    sshd: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = without_key(sshd)
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh/id_ed25519").write_text(sshd.key.read_text())
    (tmp_path / ".ssh/id_rsa").write_text("not a key")
    monkeypatch.setenv("HOME", str(tmp_path))
    with ssh(config) as partner, pytest.raises(ConnectorError, match="neither password nor key"):
        partner.probe()
    with ssh(config, look_for_keys=True) as partner:
        partner.probe()


# Time limits, each on a server that is silent just there

SILENCE = 1.0
LONG = 60.0
"""The other limits; the test fails if one of them is what ended it."""


class _Silent(paramiko.ServerInterface):
    """Takes its time for a login, or for a channel."""

    def __init__(self, where: str, ended: threading.Event) -> None:
        self._where, self._ended = where, ended

    def _wait(self, where: str) -> None:
        if self._where == where:
            self._ended.wait(LONG)

    def check_auth_password(self, username: str, password: str) -> int:
        self._wait("auth")
        return paramiko.common.AUTH_SUCCESSFUL

    def get_allowed_auths(self, username: str) -> str:
        return "password"

    def check_channel_request(self, kind: str, chanid: int) -> int:
        self._wait("channel")
        return paramiko.common.OPEN_SUCCEEDED

    def check_channel_subsystem_request(self, channel: paramiko.Channel, name: str) -> bool:
        self._wait("idle")
        return False


@contextmanager
def silent_server(where: str) -> Iterator[tuple[int, str]]:
    """A server that says no more from some point on; its port and host key."""
    key, ended = paramiko.RSAKey.generate(2048), threading.Event()
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=1))
        port = listener.getsockname()[1]
        if where == "connect":
            for _ in range(4):  # a full queue: the system takes no further connection
                waiting = stack.enter_context(socket.socket())
                waiting.setblocking(False)
                waiting.connect_ex(("127.0.0.1", port))

        def serve() -> None:
            client, _ = listener.accept()
            stack.callback(client.close)
            if where == "banner":
                return
            transport = paramiko.Transport(client)
            stack.callback(transport.close)
            transport.add_server_key(key)
            with suppress(paramiko.SSHException, EOFError, OSError):  # the client has run out of patience before
                transport.start_server(server=_Silent(where, ended))

        if where != "connect":
            threading.Thread(target=serve, daemon=True).start()
        try:
            yield port, f"{key.get_name()} {key.get_base64()}"
        finally:
            ended.set()


@pytest.mark.parametrize(
    ("where", "option"),
    [
        ("connect", "timeout"),
        ("banner", "banner_timeout_seconds"),
        ("auth", "auth_timeout_seconds"),
        ("channel", "channel_timeout_seconds"),
        ("idle", "idle_timeout_seconds"),
    ],
)
def test_each_time_limit_ends_what_it_is_for(where: str, option: str) -> None:
    limits = ("timeout", "banner_timeout_seconds", "auth_timeout_seconds", "channel_timeout_seconds")
    options = dict.fromkeys((*limits, "idle_timeout_seconds"), LONG) | {option: SILENCE}
    with silent_server(where) as (port, key):
        config = {"host": "127.0.0.1", "port": port, "user": "a", "password": "b", "host_key": key}
        began = time.monotonic()
        with ssh(config, **options) as partner, pytest.raises(ConnectorError) as caught:
            partner.probe()
        assert SILENCE * 0.9 <= time.monotonic() - began < LONG / 2
    assert f"127.0.0.1:{port}" in str(caught.value)
    assert caught.value.kind == "lost"  # type: ignore[attr-defined]  # a RemoteError


def until(condition: Callable[[], bool], seconds: float = 20) -> bool:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)
    return condition()


@pytest.mark.parametrize("keepalive", [1, 0])
def test_an_idle_connection_shows_signs_of_life(sshd: Sshd, keepalive: int) -> None:
    with (
        Proxy(sshd.port) as proxy,
        ssh(sftp_resource(sshd, proxy.port)["config"], keepalive_seconds=keepalive) as partner,
    ):
        partner.probe()
        before = proxy.up
        assert until(lambda: proxy.up > before, 20 if keepalive else 2.5) is bool(keepalive)


def test_no_more_sessions_than_the_pool_may_hold(smbd: Smbd) -> None:
    with Proxy(smbd.port) as proxy:
        resource = smb_resource(smbd, port=proxy.port, pool_size=2)
        init = ConnectorInit("partner", "smb", "smbclient", resource["config"], resource["options"])
        with SmbClientConnector(init) as partner:
            threads = [threading.Thread(target=partner.exists, args=(f"none{number}",)) for number in range(8)]
            for each in threads:
                each.start()
            for each in threads:
                each.join()
        assert 1 <= proxy.connections <= 2


# Somebody between who takes the signatures off

NEGOTIATE, SESSION_SETUP, READ, SIGNED = 0, 1, 8, 0x08


class _Forger:
    """Passes SMB on; in answers to reads it changes a byte of the content and takes the signature off.

    It passes them off as answers to `command`, of the session that it names, if it names one. In the place of an
    encrypted answer it puts one of its own making, once `guessed` holds the number of the read.
    """

    def __init__(self, target: int, command: int = READ, session: bytes = b"") -> None:
        self._target, self._command, self._session = target, command, session
        self.guessed: list[bytes] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.forged = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self._target))
            threading.Thread(target=self._up, args=(client, server), daemon=True).start()
            threading.Thread(target=self._down, args=(server, client), daemon=True).start()

    @staticmethod
    def _up(client: socket.socket, server: socket.socket) -> None:
        with suppress(OSError):  # a client that is not taken in hangs up by a reset
            while data := client.recv(1 << 16):
                server.sendall(data)
        server.close()

    def _down(self, server: socket.socket, client: socket.socket) -> None:
        with suppress(OSError), server.makefile("rb") as stream:
            while head := stream.read(4):
                message = bytearray(stream.read(int.from_bytes(head, "big")))
                if message[:4] == b"\xfdSMB" and self.guessed:
                    message = self._made(self.guessed.pop(), bytes(message[44:52]), b"pay 101")
                    head = len(message).to_bytes(4, "big")
                if message[:4] == b"\xfeSMB" and message[12] == READ and message[8:12] == bytes(4):
                    self.forged += 1
                    message[12] = self._command
                    message[16] &= ~SIGNED
                    message[40 : 40 + len(self._session)] = self._session
                    message[48:64] = bytes(16)
                    message[-1] ^= 1
                client.sendall(head + message)
        client.close()

    @staticmethod
    def _made(number: bytes, session: bytes, content: bytes) -> bytearray:
        """An answer to a read, as [MS-SMB2] 2.2.1.2 and 2.2.20 have it."""
        head = struct.pack("<4sHHIHHII8sII8s16s", b"\xfeSMB", 64, 1, 0, READ, 64, 1, 0, number, 0, 0, session, b"")
        return bytearray(head + struct.pack("<HBBIII", 17, 80, 0, len(content), 0, 0) + content)


@pytest.mark.parametrize(
    ("command", "session"),
    [
        pytest.param(READ, b"", id="read"),
        pytest.param(NEGOTIATE, b"", id="as-negotiate"),
        pytest.param(SESSION_SETUP, b"", id="as-login"),
        pytest.param(SESSION_SETUP, b"stranger", id="as-login-of-another-session"),
    ],
)
def test_an_answer_whose_signature_was_taken_off_is_refused(smbd_old: Smbd, command: int, session: bytes) -> None:
    (smbd_old.root / "invoice").write_bytes(b"pay 100")
    forger = _Forger(smbd_old.port, command, session)
    resource = smb_resource(smbd_old, port=forger.port, idle_timeout_seconds=5)
    with SmbClientConnector(ConnectorInit("partner", "smb", "smbclient", resource["config"], {})) as partner:
        with pytest.raises(ConnectorError, match="it was not taken"):
            partner.read_bytes("invoice")
        assert forger.forged == 1
    forger.close()


@pytest.mark.parametrize("command", [READ, NEGOTIATE, SESSION_SETUP])
def test_an_answer_that_is_not_encrypted_is_refused(smbd: Smbd, command: int, monkeypatch: pytest.MonkeyPatch) -> None:
    (smbd.root / "invoice").write_bytes(b"pay 100")
    forger, encrypt = _Forger(smbd.port, command), SmbConnection._encrypt
    numbers: list[bytes] = []

    def overheard(connection: SmbConnection, message: bytes, session: Any) -> Any:
        if message[12] == READ and not numbers:
            numbers.append(message[24:32])
            forger.guessed.append(message[24:32])
        return encrypt(connection, message, session)

    monkeypatch.setattr(SmbConnection, "_encrypt", overheard)
    resource = smb_resource(smbd, port=forger.port, idle_timeout_seconds=5)
    with SmbClientConnector(ConnectorInit("partner", "smb", "smbclient", resource["config"], {})) as partner:
        with pytest.raises(ConnectorError, match="it was not taken"):
            partner.read_bytes("invoice")
        assert forger.forged == 1
    forger.close()


@pytest.mark.parametrize("driver", ["smbclient", "pysmb"])
def test_a_resource_without_a_share_is_probed_by_its_login(smbd: Smbd, smbd_old: Smbd, driver: str) -> None:
    server = smbd if driver == "smbclient" else smbd_old
    config = smb_resource(server, driver)["config"]
    del config["share"]
    cls: Any = SmbClientConnector if driver == "smbclient" else PysmbConnector
    with cls(ConnectorInit("partner", "smb", driver, config, {})) as partner:
        partner.probe()
        assert partner.list("data:/") is not None
    wrong = cls(ConnectorInit("partner", "smb", driver, config | {"password": "wrong"}, {}))
    with wrong, pytest.raises(ConnectorError, match="login"):
        wrong.probe()


@pytest.mark.parametrize("driver", ["paramiko", "smbclient", "pysmb"])
@pytest.mark.parametrize("where", ["connect", "banner"])
def test_a_stopped_run_does_not_wait_for_a_server_that_does_not_answer(driver: str, where: str, tmp_path: Path) -> None:
    """None of the limits of the connection is near; that of the step is."""
    limits = dict.fromkeys(("timeout", "idle_timeout_seconds"), LONG)
    with silent_server(where) as (port, key):
        login = {"port": port, "user": "a", "password": "bbbb"}
        resource: dict[str, Any] = {"kind": "smb", "driver": driver, "options": limits}
        resource["config"] = login | {"server": "127.0.0.1", "share": "data"}
        if driver == "paramiko":
            limits |= dict.fromkeys(("banner_timeout_seconds", "auth_timeout_seconds"), LONG)
            resource |= {"kind": "sftp", "config": login | {"host": "127.0.0.1", "host_key": key}}
        project = FlowProject(tmp_path / "project")
        step = {"id": "down", "type": f"{resource['kind']}_download_files", "timeout_seconds": 1}
        step["inputs"] = {"resource": "peer", "files": ["a", "b"], "dest_dir": "got"}
        project.flow(step, resources={"peer": resource})
        began = time.monotonic()
        ran = project.run()
        took = time.monotonic() - began
    assert ran.error is not None
    assert "time limit" in ran.error.message
    assert took < LONG / 2, f"{took:.1f} s"
