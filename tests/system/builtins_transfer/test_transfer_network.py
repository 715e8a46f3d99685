"""Connections that are cut, stall or are slow; and what a watcher sees meanwhile."""

import contextlib
import os
import socket
import subprocess
import threading
import time
from pathlib import Path
from typing import Any, Self

import pytest

from aetherflow.core.api import ConnectorError, ConnectorInit
from aetherflow_builtins_transfer.connectors.files.connector import PooledFiles
from aetherflow_builtins_transfer.connectors.sftp.connector import SftpConnector
from aetherflow_builtins_transfer.connectors.smb.pysmb import PysmbConnector
from aetherflow_builtins_transfer.connectors.smb.smbclient import SmbClientConnector
from proxy import Proxy
from services import Smbd, Sshd
from transfer_peers import Peer, build_peer, sftp_resource, smb_resource

pytestmark = pytest.mark.xdist_group("waiting")  # one worker waits, while the others work
SIZE = 20_000_000
DRIVERS = ("sftp.paramiko", "smb.smbclient", "smb.pysmb")


@pytest.fixture(params=DRIVERS)
def wire(request: pytest.FixtureRequest, tmp_path: Path) -> Peer:
    """Each driver that has a network, with a quick idea of silence."""
    peer = build_peer(request.param, request, tmp_path)
    peer.resource["options"] |= {"idle_timeout_seconds": 2, "timeout": 5}
    return peer


def port_of(peer: Peer) -> int:
    found: int = peer.resource["config"]["port"]
    return found


def through(peer: Peer, proxy: Proxy, **options: Any) -> PooledFiles[Any, Any]:
    """A connector that goes through the proxy."""
    classes = {"paramiko": SftpConnector, "smbclient": SmbClientConnector, "pysmb": PysmbConnector}
    config = peer.resource["config"] | {"port": proxy.port}
    cls: Any = classes[peer.driver]
    return cls(ConnectorInit("partner", peer.kind, peer.driver, config, peer.resource["options"] | options))  # type: ignore[no-any-return]  # see above


@pytest.mark.parametrize("direction", ["up", "down"])
def test_a_cut_transfer_is_taken_up_where_it_was_cut(wire: Peer, tmp_path: Path, direction: str) -> None:
    data, half = os.urandom(SIZE), SIZE // 2
    source, target = wire.local("source", data), tmp_path / "target"
    if direction == "down":
        wire.put("file", data)
    with (
        Proxy(
            port_of(wire), up=half if direction == "up" else None, down=half if direction == "down" else None, how="fin"
        ) as proxy,
        through(wire, proxy, retry={"max_attempts": 3, "backoff_seconds": 0.05}) as partner,
    ):
        if direction == "up":
            moved = partner.upload(source, f"{wire.base}/file")
        else:
            moved = partner.download(f"{wire.base}/file", target)
        assert proxy.cuts == 1
        assert 0 < moved.resumed_at < SIZE, "bytes that had arrived are not moved again"
        # all over again would be half and whole
        assert (proxy.up if direction == "up" else proxy.down) < SIZE * 1.45
    assert (wire.disk / "file" if direction == "up" else target).read_bytes() == data
    assert list(wire.tree()) == ["file"]


def test_a_part_of_another_file_is_not_continued(wire: Peer) -> None:
    with Proxy(port_of(wire)) as proxy, through(wire, proxy) as partner:
        from aetherflow_builtins_transfer.paths import part_name

        wire.put(part_name("file", "key"), b"z" * 1000)
        source = wire.local("source", b"a" * 5000)
        assert partner.upload(source, f"{wire.base}/file", key="key").resumed_at == 0
    assert wire.tree() == {"file": b"a" * 5000}


def test_without_retries_a_cut_is_told_with_all_that_matters(wire: Peer) -> None:
    source = wire.local("source", os.urandom(SIZE))
    options = {"retry": {"max_attempts": 2, "backoff_seconds": 0}}
    with Proxy(port_of(wire), up=SIZE // 4, faults=None) as proxy:
        with through(wire, proxy, **options) as partner, pytest.raises(ConnectorError) as caught:
            partner.upload(source, f"{wire.base}/file")
        told = str(caught.value)
        for part in ("resource partner", f"127.0.0.1:{proxy.port}", "uploading to", "(attempt 2 of 2)", f"of {SIZE:,}"):
            assert part in told, told
        assert caught.value.fix
    assert "file" not in wire.tree()


@pytest.mark.parametrize("direction", ["up", "down"])
def test_silence_ends_a_transfer(wire: Peer, tmp_path: Path, direction: str) -> None:
    wire.put("file", os.urandom(SIZE))
    source = wire.local("source", os.urandom(SIZE))
    with Proxy(port_of(wire), **{direction: SIZE // 3}, how="stall") as proxy, through(wire, proxy) as partner:
        started = time.monotonic()
        with pytest.raises(ConnectorError):
            _ = (
                partner.upload(source, f"{wire.base}/file")
                if direction == "up"
                else partner.download(f"{wire.base}/file", tmp_path / "target")
            )
        assert time.monotonic() - started < 60


def test_a_time_limit_ends_a_slow_transfer(wire: Peer) -> None:
    source = wire.local("source", os.urandom(SIZE))
    with Proxy(port_of(wire), rate=50_000) as proxy:
        wire.resource["config"]["port"] = proxy.port
        wire.resource["options"]["idle_timeout_seconds"] = 60
        step = wire.step("upload", items=[str(source)], remote_dir=wire.base) | {"timeout_seconds": 2}
        started = time.monotonic()
        ran = wire.run(step)
        assert ran.error is not None
        assert "time limit" in ran.error.message
        assert time.monotonic() - started < 60
    assert "source" not in wire.tree()


def test_the_limit_of_bytes_per_second_is_kept(wire: Peer) -> None:
    source = wire.local("source", os.urandom(300_000))
    with Proxy(port_of(wire)) as proxy, through(wire, proxy, max_bytes_per_second=200_000) as partner:
        partner.mkdir_recursive(wire.base)
        started = time.monotonic()
        partner.upload(source, f"{wire.base}/file")
        assert time.monotonic() - started > 1.2


def test_one_connection_serves_a_whole_run(sshd: Sshd, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    peer = build_peer("sftp.paramiko", request, tmp_path)
    for number in range(20):
        peer.put(f"f{number}")
    with Proxy(sshd.port) as proxy:
        peer.resource["config"]["port"] = proxy.port
        ran = peer.run(
            peer.step("list", remote_dir=peer.base),
            peer.step("download", files="{{steps.list.files}}", dest_dir="in"),
            peer.step("delete", files="{{steps.list.files}}"),
        )
        assert ran.error is None, ran.error
        assert proxy.connections == 1


def test_a_server_that_restarts_between_two_requests_does_no_harm(wire: Peer) -> None:
    with Proxy(port_of(wire)) as proxy, through(wire, proxy) as partner:
        partner.write_bytes(f"{wire.base}/a", b"1")
        for each in list(proxy.open):
            with contextlib.suppress(OSError):  # the proxy may have passed on the end of its other half already
                each.shutdown(socket.SHUT_RDWR)
        time.sleep(0.3)
        partner.write_bytes(f"{wire.base}/b", b"2")
        assert proxy.connections == 2
    assert wire.tree() == {"a": b"1", "b": b"2"}


def test_key_files_are_relative_to_the_flow(sshd: Sshd, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    peer = build_peer("sftp.paramiko", request, tmp_path)
    keys = peer.project.folder / "keys"
    keys.mkdir()
    (keys / "id").write_bytes(sshd.key.read_bytes())
    (keys / "known").write_bytes(sshd.known_hosts.read_bytes())
    config = {name: value for name, value in peer.resource["config"].items() if name != "host_key"}
    peer.resource["config"] = config | {"pkey_path": "keys/id", "known_hosts": "keys/known"}
    assert peer.files() == []
    doctor = peer.project.command("doctor", "--connect", "flow.yaml")
    assert "connected: peer" in doctor.out, doctor.out + doctor.err


def test_the_librarys_own_client_can_be_had(sshd: Sshd) -> None:
    connector = SftpConnector(ConnectorInit("one", "sftp", "paramiko", sftp_resource(sshd)["config"], {}))
    with connector, connector.session() as client:
        connector.mkdir_recursive(f"{sshd.root}/own/folder", sftp=client)
        client.symlink("folder", f"{sshd.root}/own/link")
    assert (sshd.root / "own" / "link").is_symlink()


def test_two_resources_on_one_server_keep_their_own_logins(smbd: Smbd) -> None:
    config = smb_resource(smbd)["config"]
    good = SmbClientConnector(ConnectorInit("one", "smb", "smbclient", config, {}))
    wrong = SmbClientConnector(ConnectorInit("two", "smb", "smbclient", config | {"password": "nonsense"}, {}))
    with good, wrong:
        good.probe()
        with pytest.raises(ConnectorError, match=r"resource two.*login is refused"):
            wrong.probe()
        good.probe()


def test_the_share_of_the_path_counts(smbd: Smbd) -> None:
    with SmbClientConnector(ConnectorInit("one", "smb", "smbclient", smb_resource(smbd)["config"], {})) as connector:
        connector.write_bytes("second share$:/deep/f", b"2")
        assert (smbd.root.parent / "second" / "deep" / "f").read_bytes() == b"2"
        assert connector.read_bytes(r"\\127.0.0.1\second share$\deep\f") == b"2"
        assert not (smbd.root / "deep").exists()


def test_encryption_that_is_asked_for_is_required(smbd_old: Smbd) -> None:
    connector = SmbClientConnector(
        ConnectorInit("one", "smb", "smbclient", smb_resource(smbd_old)["config"], {"encrypt": "true"})
    )
    with connector, pytest.raises(ConnectorError, match="encryption") as caught:
        connector.probe()
    assert "options.encrypt" in caught.value.fix


# Secrets

CANARY = "c4n4ry-p4ss-9f3e"


class _Watch:
    """Reads the command lines and environments of all processes, all the time."""

    def __init__(self, words: tuple[str, ...]) -> None:
        self.words, self._end = [word.encode() for word in words], threading.Event()
        self.seen: list[str] = []
        self._thread = threading.Thread(target=self._poll)
        self.rounds = 0

    def _poll(self) -> None:
        own = str(os.getpid())
        while not self._end.wait(0.002):
            self.rounds += 1
            for name in (path.name for path in Path("/proc").iterdir()):
                if not name.isdigit() or name == own:
                    continue
                for what in ("cmdline", "environ"):
                    try:
                        found = Path(f"/proc/{name}/{what}").read_bytes()
                    except OSError:
                        continue
                    self.seen += [f"{what} of {name}" for word in self.words if word in found]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()


@pytest.mark.usefixtures("started")  # of a forked process the kernel does not know its own environment
@pytest.mark.parametrize("good", [True, False])
def test_no_password_shows_anywhere(
    smbd: Smbd, sshd: Sshd, request: pytest.FixtureRequest, tmp_path: Path, good: bool
) -> None:
    peer = build_peer("smb.smbclient", request, tmp_path)
    path = peer.local("a", "x" * 1000)
    smb, ssh = smb_resource(smbd), sftp_resource(sshd)
    if not good:
        smb["config"]["password"] = CANARY
        ssh["config"] = {**ssh["config"], "password": CANARY, "jump": {**ssh["config"], "password": CANARY + "-jump"}}
        del ssh["config"]["pkey_path"]
    key_text = sshd.key.read_text().splitlines()[2]
    project = peer.project
    project.flow(
        {
            "id": "up",
            "type": "smb_upload_files",
            "inputs": {"resource": "peer", "items": [str(path)], "remote_dir": "s"},
        },
        {"id": "list", "type": "sftp_list_files", "inputs": {"resource": "ssh", "remote_dir": str(sshd.root)}},
        resources={"peer": smb, "ssh": ssh},
    )
    words = (CANARY, smbd.password, key_text)
    with _Watch(words) as watch:
        done = project.command("run", "flow.yaml", "--run-id", "r")
        told = done.out + done.err
        for command in (["doctor", "--connect", "flow.yaml"], ["explain", "flow.yaml"], ["status", "flow.yaml", "r"]):
            found = project.command(*command)
            told += found.out + found.err
    assert watch.rounds > 10
    assert watch.seen == []
    assert (done.code == 0) is good, done.err
    written = [path for path in project.folder.rglob("*") if path.is_file() and path.name != "flow.yaml"]
    for word in words:
        assert word not in told
        hits = [str(path) for path in written if word.encode() in path.read_bytes()]
        assert hits == []


def test_the_openssh_client_reads_what_was_delivered(
    sshd: Sshd, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    peer = build_peer("sftp.paramiko", request, tmp_path)
    data = os.urandom(1_000_000)
    peer.outputs("upload", items=[str(peer.local("a", data))], remote_dir=peer.base, mode="640")
    assert (peer.disk / "a").stat().st_mode & 0o777 == 0o640
    batch = f"get {peer.base}/a {tmp_path}/got\n"
    options = [
        "-q",
        "-b",
        "-",
        "-P",
        str(sshd.port),
        "-i",
        str(sshd.key),
        "-o",
        f"UserKnownHostsFile={sshd.known_hosts}",
    ]
    subprocess.run(["sftp", *options, f"{sshd.user}@127.0.0.1"], input=batch, text=True, check=True)
    assert (tmp_path / "got").read_bytes() == data
