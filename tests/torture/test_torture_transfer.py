"""R1, on F9 (SFTP) and F10 (SMB): killed at every failpoint and around every request to the peer; R2: network cuts."""

import contextlib
import json
import re
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from aetherflow.core.api import ConnectorError, ConnectorInit
from aetherflow_builtins_transfer.connectors.files.connector import PooledFiles
from aetherflow_builtins_transfer.connectors.sftp.connector import SftpConnector
from aetherflow_builtins_transfer.connectors.smb.pysmb import PysmbConnector
from aetherflow_builtins_transfer.connectors.smb.smbclient import SmbClientConnector
from proxy import How, Proxy
from services import Smbd, Sshd
from torture_bench import Bench, warm_up
from torture_invariants import check_command, facts, work_files
from torture_peers import points_at_the_peer
from torture_tier import sample, sized, suite
from transfer_peers import sftp_resource, smb_resource

pytestmark = pytest.mark.slow

KILLED = -signal.SIGKILL
FLOW = """\
version: 1
flow: {{id: f, workspace: {{cleanup_policy: never}}}}
resources: {{peer: {resource}}}
jobs:
  - id: a
    steps:
      - {{id: one, type: torture_effect, inputs: {{size: 40000}}}}
      - {{id: two, type: torture_effect, inputs: {{size: 5}}}}
      - id: up
        type: {kind}_upload_files
        inputs: {{resource: peer, items: ["{{{{steps.one.path}}}}", "{{{{steps.two.path}}}}"], remote_dir: {folder},
                 control_files: [sha256], parallelism: {{enabled: false}}}}
      - {{id: list, type: {kind}_list_files, inputs: {{resource: peer, remote_dir: {folder}, exclude: "*.sha256"}}}}
      - id: down
        type: {kind}_download_files
        inputs: {{resource: peer, files: "{{{{steps.list.files}}}}", dest_dir: got, control_files: [sha256],
                 after: delete, overwrite: false, parallelism: {{enabled: false}}}}
      - {{id: rest, type: {kind}_list_files, inputs: {{resource: peer, remote_dir: {folder}}}}}
      - id: move
        type: {kind}_move_files
        inputs: {{resource: peer, files: "{{{{steps.rest.files}}}}", dest_dir: {folder}/done,
                 parallelism: {{enabled: false}}}}
      - {{id: last, type: torture_effect}}
"""


@pytest.fixture(params=["F9", "F10"])
def peer(request: pytest.FixtureRequest) -> Iterator[tuple[str, str, Path]]:
    """The flow's name, its text, and the peer's folder on disk."""
    if request.param == "F9":
        sshd: Sshd = request.getfixturevalue("sshd")
        disk, kind, resource = sshd.root / "torture", "sftp", sftp_resource(sshd)
        folder = str(disk)
    else:
        smbd: Smbd = request.getfixturevalue("smbd")
        disk, kind, resource, folder = smbd.root / "torture", "smb", smb_resource(smbd), "torture"
    yield request.param, FLOW.format(kind=kind, resource=json.dumps(resource), folder=folder), disk
    shutil.rmtree(disk, ignore_errors=True)


TIMED = re.compile(r"""("mtime\\*": ?)[\d.]+|("claim\\*": ?\\*")[0-9a-f]{32}|(take peer \S+ \d+ )[\d.]+""")
"""What has the time of a file in it: the time, the identity of its claim, its key in the ledger."""


def without_times(value: Any) -> str:
    """Rows as text, without the time at which a file was made."""
    return TIMED.sub(lambda found: f"{found[1] or found[2] or found[3]}T", json.dumps(value, default=str))


def end_state(bench: Bench, disk: Path) -> dict[str, Any]:
    """What must be equal however often the run was killed."""
    found = facts(bench)
    attempts = "SELECT step_id, count(*) FROM step_runs WHERE status = 'SUCCESS' GROUP BY 1 ORDER BY 1"
    return {
        **{name: without_times(rows) for name, rows in found.items() if name != "artifacts"},
        "artifacts": found["artifacts"],
        "local": {name: digest for name, digest in work_files(bench).items() if not name.endswith(".journal")},
        "remote": {path.name: path.read_bytes() for path in sorted(disk.rglob("*")) if path.is_file()},
        "successes": bench.rows(attempts),
    }


def test_kill_at_every_point_of_a_delivery(bench: Bench, peer: tuple[str, str, Path]) -> None:
    name, text, disk = peer
    bench.write(text)
    warm_up(bench)
    shutil.rmtree(disk, ignore_errors=True)
    log = bench.folder / "points"
    assert bench.attempt(f"log:{log}", before=points_at_the_peer) == 0, bench.error_text()
    oracle = end_state(bench, disk)
    assert sorted(oracle["remote"]) == ["one.txt.sha256", "two.txt.sha256"]
    names = log.read_text().splitlines()
    bench.forget()
    shutil.rmtree(disk)
    sentinels = bench.sentinels()
    numbers = sample(list(range(1, len(names) + 1)), sized(12, len(names)), f"R1-{name}")
    with suite(f"R1 {name}", 1, 2, 3, 7, 10) as counted:
        for point in numbers:
            with counted.case(f"kill at {point}, {names[point - 1]}"):
                assert bench.attempt(f"{point}", before=points_at_the_peer) == KILLED
                whole = {"one.txt": 40000, "two.txt": 5}
                for path in disk.rglob("*.txt"):
                    assert path.stat().st_size == whole[path.name], f"a part under its final name: {path}"
                assert bench.attempt() == 0, bench.error_text()
                found = end_state(bench, disk)
                for what, expected in oracle.items():
                    assert found[what] == expected, f"{what}: {str(found[what])[:700]} instead of {str(expected)[:700]}"
                check_command(bench)
                assert bench.sentinels() == sentinels, "I10: something outside of the run changed"
            bench.forget()
            shutil.rmtree(disk, ignore_errors=True)


# R2: network cuts

SIZE = 300_000
OLD, NEW = b"old" * 1000, bytes(range(256)) * (SIZE // 256)
LIMIT_SECONDS = 1.0
"""Connect and idle limit of every case."""
Make = Callable[[int], PooledFiles[Any, Any]]


def cuts(total: int) -> list[int]:
    """Every 64 bytes in the first 4 KB, then 40 points on a logarithmic scale."""
    early = list(range(64, 4097, 64))
    late = [int(4096 * (max(total, 8192) / 4096) ** (step / 40)) for step in range(1, 41)]
    return early + late


@pytest.fixture(params=["sftp", "smbclient", "pysmb"])
def wire(request: pytest.FixtureRequest) -> Iterator[tuple[str, int, Make, Path, str]]:
    """Name, port of the server, a function that builds a connector to a port, the folder on disk and as a path."""
    options = {
        "timeout": LIMIT_SECONDS,
        "idle_timeout_seconds": LIMIT_SECONDS,
    }
    if request.param == "sftp":
        sshd: Sshd = request.getfixturevalue("sshd")
        disk, port = sshd.root / "cuts", sshd.port
        base = str(disk)
        options |= {"banner_timeout_seconds": LIMIT_SECONDS, "auth_timeout_seconds": LIMIT_SECONDS}
        options |= {"channel_timeout_seconds": LIMIT_SECONDS}

        def make(to: int) -> PooledFiles[Any, Any]:
            config = sftp_resource(sshd, to)["config"]
            return SftpConnector(ConnectorInit("partner", "sftp", "paramiko", config, options))

    else:
        smbd: Smbd = request.getfixturevalue("smbd" if request.param == "smbclient" else "smbd_old")
        disk, port, base = smbd.root / "cuts", smbd.port, "cuts"

        def make(to: int) -> PooledFiles[Any, Any]:
            config = smb_resource(smbd, request.param, to)["config"]
            cls: Any = SmbClientConnector if request.param == "smbclient" else PysmbConnector
            connector: PooledFiles[Any, Any] = cls(ConnectorInit("partner", "smb", request.param, config, options))
            return connector

    disk.mkdir()
    yield request.param, port, make, disk, base
    shutil.rmtree(disk, ignore_errors=True)


def test_network_cuts(wire: tuple[str, int, Make, Path, str], tmp_path: Path) -> None:
    name, port, make, disk, base = wire
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(NEW)
    hows: tuple[How, ...] = ("rst", "fin", "stall")
    cases = [
        (operation, direction, at, hows[index % 3])
        for operation in ("upload", "download")
        for direction in ("up", "down")
        for index, at in enumerate(cuts(SIZE + 20_000 if (operation, direction) in USEFUL else 8192))
    ]
    with suite(f"R2 {name}", 7, 11) as counted:
        for operation, direction, at, how in sample(cases, sized(10, 170), f"R2-{name}"):
            with counted.case(f"{operation} cut after {at} bytes {direction} ({how})"):
                for old in (disk / "file", target):
                    old.write_bytes(OLD if operation == "upload" or old == target else NEW)
                with Proxy(port, **{direction: at}, how=how, faults=None) as proxy:
                    error, seconds = attempt(make(proxy.port), operation, source, target, base)
                remote, local = (disk / "file").read_bytes(), target.read_bytes()
                assert remote in ((OLD, NEW) if operation == "upload" else (NEW,)), f"{len(remote)} bytes at the peer"
                assert local in ((OLD,) if operation == "upload" else (OLD, NEW)), f"{len(local)} bytes here"
                assert seconds < 2 * LIMIT_SECONDS * PHASES + 2, f"{seconds:.1f} s"
                if error is not None:
                    told = f"{error} {error.fix}"
                    assert "partner" in told, told
                    assert "127.0.0.1" in told, told
                    assert "S3cret" not in told, told
                error, _ = attempt(make(port), operation, source, target, base)
                assert error is None, f"the repeated run: {error}"
                assert (disk / "file" if operation == "upload" else target).read_bytes() == NEW
                left = [path.name for path in (*disk.iterdir(), *tmp_path.iterdir()) if path.name.endswith(".part")]
                assert left == [], f"left behind: {left}"
            for path in disk.iterdir():
                path.unlink()


USEFUL = {("upload", "up"), ("download", "down")}
PHASES = 3
"""Limits that can pass one after the other before anything fails: connect, login, the request itself."""


def attempt(
    connector: PooledFiles[Any, Any], operation: str, source: Path, target: Path, base: str
) -> tuple[ConnectorError | None, float]:
    """One transfer; the error, if there was one, and how long it took."""
    started = time.monotonic()
    with connector, contextlib.ExitStack():
        try:
            if operation == "upload":
                connector.upload(source, f"{base}/file", key="cut")
            else:
                connector.download(f"{base}/file", target)
        except ConnectorError as error:
            return error, time.monotonic() - started
    return None, time.monotonic() - started


@pytest.mark.parametrize("kind", ["sftp", "smb"])
def test_a_cut_delivery_is_repeated_once(bench: Bench, kind: str, request: pytest.FixtureRequest) -> None:
    """The flow through a proxy that cuts; the same run again without it: every file once, no part left."""
    server = request.getfixturevalue("sshd" if kind == "sftp" else "smbd")
    disk, build = server.root / "repeated", sftp_resource if kind == "sftp" else smb_resource
    folder = str(disk) if kind == "sftp" else "repeated"
    with Proxy(server.port, faults=None) as proxy:
        resource = build(server, port=proxy.port, idle_timeout_seconds=2)
        bench.write(FLOW.format(kind=kind, resource=json.dumps(resource), folder=folder))
        warm_up(bench)
        shutil.rmtree(disk, ignore_errors=True)
        before = proxy.up
        assert bench.attempt() == 0, bench.error_text()
        total, oracle = proxy.up - before, end_state(bench, disk)
        with suite(f"R2 flow-{kind}", 1, 7) as counted:
            for at in sample(cuts(total), sized(4, len(cuts(total))), f"R2-flow-{kind}"):
                bench.forget()
                shutil.rmtree(disk, ignore_errors=True)
                with counted.case(f"cut after {at} bytes up"):
                    proxy.cut["up"] = at
                    bench.attempt()
                    proxy.mend()
                    assert bench.attempt() == 0, bench.error_text()
                    found = end_state(bench, disk)
                    assert found["remote"] == oracle["remote"]
                    assert found["local"] == oracle["local"]
                    assert found["ledger"] == oracle["ledger"]
    shutil.rmtree(disk, ignore_errors=True)
