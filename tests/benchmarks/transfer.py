"""Transfers by this product's steps against the system's own clients, on loopback, in the same run.

`make bench-transfer`. The figures are ratios of throughput, ours through theirs: the median of REPEATS (5) pairs.
SIZE_MB (1000) and FILES (2000) make it smaller, ONLY=many measures what has that in its name. Files are in memory
(/dev/shm), so that no disk is measured.
"""

import contextlib
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import services
from aetherflow.core.api import ConnectorInit
from aetherflow.core.runner import run_flow
from aetherflow_builtins_transfer.connectors.sftp.connector import SftpConnector
from aetherflow_builtins_transfer.connectors.smb.smbclient import SmbClientConnector
from aetherflow_builtins_transfer.parallel import Parallelism, run_all
from transfer_peers import sftp_resource, smb_resource

SIZE_MB = int(os.environ.get("SIZE_MB", "1000"))
FILES = int(os.environ.get("FILES", "2000"))
REPEATS = int(os.environ.get("REPEATS", "5"))
ONLY = os.environ.get("ONLY", "")
SMALL = 20_000
MEMORY = "/dev/shm"
TARGETS = {"sftp up": 0.6, "sftp down": 0.6, "sftp many": 0.55, "smb up": 0.6, "smb down": 0.5}
WAITING, MOST_PER_FILE = (2_000, 20_000), 2.0


@contextlib.contextmanager
def in_memory(prefix: str) -> Iterator[Path]:
    """A folder for a server's files, in memory."""
    with tempfile.TemporaryDirectory(prefix=f"bench-{prefix}-", dir=MEMORY) as name:
        yield Path(name)


@contextlib.contextmanager
def started(fixture: Any) -> Iterator[Any]:
    """A server of tests/services outside of pytest."""
    steps = fixture.__wrapped__() if hasattr(fixture, "__wrapped__") else fixture._get_wrapped_function()()
    yield next(steps)
    next(steps, None)


def timed(work: Callable[[], object]) -> float:
    """Seconds of wall time."""
    started_at = time.perf_counter()
    work()
    return time.perf_counter() - started_at


def compare(name: str, ours: Callable[[], object], theirs: Callable[[], object], peer: str) -> None:
    """Measure pairs, alternately in either order, and print the median of their ratios with what it must be.

    One more pair goes before them and does not count: it loads what is loaded once.
    """
    if ONLY and ONLY not in name:
        return
    pairs = []
    for number in range(REPEATS + 1):
        if number % 2:
            ours_took, theirs_took = measured(ours), measured(theirs)
        else:
            theirs_took, ours_took = measured(theirs), measured(ours)
        pairs.append((ours_took, theirs_took))
    counted = pairs[1:]
    ratios = sorted(theirs_took.wall / ours_took.wall for ours_took, theirs_took in counted)
    ratio = statistics.median(ratios)
    verdict = "ok" if ratio >= TARGETS[name] else "BELOW"
    asked = f"at least {TARGETS[name]:.2f}: {verdict}; {ratios[0]:.2f} to {ratios[-1]:.2f}"
    print(
        f"{name:10} {ratio:5.2f} x {peer} ({asked})   "
        f"ours {told([each for each, _ in counted])}, theirs {told([each for _, each in counted])}",
        flush=True,
    )


@dataclass(frozen=True)
class Took:
    """Seconds by the clock, and of the processor: in the client and in the servers."""

    wall: float
    client: float
    servers: float


def measured(work: Callable[[], object]) -> Took:
    """What one piece of work took."""
    client, servers = cpu_of_clients(), cpu_of_servers()
    wall = timed(work)
    return Took(wall, cpu_of_clients() - client, cpu_of_servers() - servers)


def told(took: Sequence[Took]) -> str:
    wall, client, servers = (
        statistics.median(getattr(each, name) for each in took) for name in ("wall", "client", "servers")
    )
    return f"{wall:.2f} s (cpu {client:.2f} + {servers:.2f})"


def cpu_of_clients() -> float:
    """Processor seconds of this process and of the clients that it ran."""
    own, ran = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + ran.ru_utime + ran.ru_stime


def cpu_of_servers() -> float:
    """Processor seconds of the servers that this process started, those of ended sessions included."""
    total = 0
    for folder in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError):
            int(folder.name)
            name, _, rest = (folder / "stat").read_text().partition("(")[2].rpartition(")")
            if name.startswith(("sshd", "sftp-server", "smbd")):
                total += sum(map(int, rest.split()[11:15]))  # user, system, and those of ended children
    return total / os.sysconf("SC_CLK_TCK")


class Bench:
    """Files, a flow, and the two ways to move them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.big = folder / "work" / "big"
        self.small = folder / "work" / "small"
        self.small.mkdir(parents=True)
        with self.big.open("wb") as file:
            for _ in range(SIZE_MB):
                file.write(os.urandom(1_000_000))
        for number in range(FILES):
            (self.small / f"f{number:05}").write_bytes(os.urandom(SMALL))
        self.number = 0

    def flow(self, peer: dict[str, Any], step: dict[str, Any]) -> Callable[[], object]:
        """A flow of one step, run in this process: the delivery with its ledger, journal and artifacts."""

        def run() -> object:
            self.number += 1
            document = {
                "version": 1,
                "flow": {
                    "id": f"bench{self.number}",
                    "workspace": {"root": str(self.folder / "work"), "cleanup_policy": "always"},
                    "state": {"path": str(self.folder / f"state{self.number}.sqlite")},
                },
                "resources": {"peer": peer},
                "jobs": [{"id": "j", "steps": [{"id": "s", **step}]}],
            }
            path = self.folder / "flow.yaml"
            path.write_text(json.dumps(document))
            return run_flow(path, env={"AETHERFLOW_STATE_ROOT": str(self.folder / "state"), **os.environ})

        return run


def sftp(bench: Bench, server: services.Sshd) -> None:
    """SFTP against OpenSSH's sftp."""
    root, peer = server.root, sftp_resource(server)

    def batch(*lines: str) -> Callable[[], object]:
        options = ["-q", "-b", "-", "-P", str(server.port), "-i", str(server.key)]
        options += ["-o", f"UserKnownHostsFile={server.known_hosts}", f"{server.user}@127.0.0.1"]
        return lambda: subprocess.run(
            ["sftp", *options], input="\n".join(lines) + "\n", text=True, check=True, stdout=subprocess.DEVNULL
        )

    up: dict[str, Any] = {
        "type": "sftp_upload_files",
        "inputs": {"resource": "peer", "items": [str(bench.big)], "remote_dir": f"{root}/a"},
    }
    up["inputs"]["skip_delivered"] = False

    def fresh(work: Callable[[], object], *folders: Path) -> Callable[[], object]:
        def run() -> object:
            for folder in folders:
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir()
            return work()

        return run

    (root / "b").mkdir()
    (root / "b" / "big").symlink_to(bench.big)  # until theirs has put it
    put = batch(f"rm {root}/b/big", f"put {bench.big} {root}/b/big")
    compare("sftp up", fresh(bench.flow(peer, up), root / "a"), put, "OpenSSH sftp")
    down = {
        "type": "sftp_download_files",
        "inputs": {"resource": "peer", "files": [f"{root}/b/big"], "dest_dir": "in"},
    }
    compare("sftp down", bench.flow(peer, down), batch(f"get {root}/b/big {bench.folder}/got"), "OpenSSH sftp")
    (bench.folder / "got").unlink(missing_ok=True)
    names = sorted(path.name for path in bench.small.iterdir())
    many = {
        "type": "sftp_upload_files",
        "inputs": {
            "resource": "peer",
            "items": [str(bench.small / name) for name in names],
            "remote_dir": f"{root}/c",
            "skip_delivered": False,
        },
    }
    lines = [
        f"put {bench.small}/{name} {root}/d/{name}.part\nrename {root}/d/{name}.part {root}/d/{name}" for name in names
    ]
    theirs = fresh(batch(*lines), root / "d")
    compare("sftp many", fresh(bench.flow(peer, many), root / "c"), theirs, "sftp -b with the same renames")
    connector = SftpConnector(ConnectorInit("peer", "sftp", "paramiko", peer["config"], {}))
    with connector:
        memory("sftp", lambda: connector.upload(bench.big, f"{root}/b/big"))
        memory("sftp", lambda: connector.download(f"{root}/b/big", bench.folder / "got"))


def smb(bench: Bench, server: services.Smbd) -> None:
    """SMB against Samba's smbclient, both encrypted."""
    peer = smb_resource(server)

    def client(command: str) -> Callable[[], object]:
        argv = ["smbclient", "//127.0.0.1/data", "-p", str(server.port), "-U", f"{server.user}%{server.password}"]
        argv += ["--client-protection=encrypt", "-c", command]
        return lambda: subprocess.run(argv, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    up: dict[str, Any] = {
        "type": "smb_upload_files",
        "inputs": {"resource": "peer", "items": [str(bench.big)], "remote_dir": "a"},
    }
    up["inputs"]["skip_delivered"] = False

    def ours_up() -> object:
        shutil.rmtree(server.root / "a", ignore_errors=True)
        return bench.flow(peer, up)()

    with bench.big.open("rb") as source, (server.root / "theirs").open("wb") as target:
        shutil.copyfileobj(source, target, 1 << 20)
    compare("smb up", ours_up, client(f"put {bench.big} theirs"), "smbclient")
    down = {"type": "smb_download_files", "inputs": {"resource": "peer", "files": ["theirs"], "dest_dir": "in"}}
    compare("smb down", bench.flow(peer, down), client(f"get theirs {bench.folder}/got"), "smbclient")
    connector = SmbClientConnector(ConnectorInit("peer", "smb", "smbclient", peer["config"], {}))
    with connector:
        memory("smb", lambda: connector.upload(bench.big, "theirs"))
        memory("smb", lambda: connector.download("theirs", bench.folder / "got"))


def memory(name: str, work: Callable[[], object]) -> None:
    """Print by how much a transfer of the large file raised the peak of this process."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    work()
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    print(
        f"{name:10} peak of memory {before / 1024:.0f} MB before, {grown:+.0f} MB by a file of {SIZE_MB} MB", flush=True
    )


def waiting() -> None:
    """Print what the engine costs for each file, besides the transfer: as much for 20,000 files as for 2,000."""
    if ONLY and ONLY not in "waiting":
        return
    ctx = SimpleNamespace(check_cancelled=lambda: None, progress=lambda *_: None)

    def each(count: int) -> float:
        items, work = range(count), lambda *_: time.sleep(0.0003)
        return timed(lambda: run_all(ctx, items, work, Parallelism())) / count  # type: ignore[arg-type]  # part of one

    few, many = (statistics.median(each(count) for _ in range(REPEATS)) for count in WAITING)
    verdict = "ok" if many <= few * MOST_PER_FILE else "ABOVE"
    print(
        f"waiting    {many / few:5.2f} x of each file, {WAITING[1]:,} against {WAITING[0]:,} (at most {MOST_PER_FILE}: "
        f"{verdict})   {few * 1e6:.0f} and {many * 1e6:.0f} us",
        flush=True,
    )


def main() -> None:
    waiting()
    if shutil.which("sftp") is None or shutil.which("smbclient") is None:
        sys.exit("needs the commands sftp and smbclient: apt-get install openssh-client smbclient")
    vars(services)["workdir"] = in_memory
    folder = Path(tempfile.mkdtemp(prefix="bench-transfer-", dir=MEMORY))
    print(f"{SIZE_MB} MB in one file, {FILES} files of {SMALL // 1000} kB, median of {REPEATS}", flush=True)
    try:
        bench = Bench(folder)
        with started(services.sshd) as server:
            sftp(bench, server)
        with started(services.smbd) as server:
            smb(bench, server)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
