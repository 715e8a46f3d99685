"""Git servers that are slow, silent, endless, lie about sizes or talk nonsense, in every phase: each limit holds."""

import contextlib
import os
import random
import resource
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import threading
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hostile_peers import FAULTS, HERE, Hostile, costs, hostile

from aetherflow.core.api import BundleSourceInit, ConnectorError
from aetherflow.core.builtins import git_source
from aetherflow.core.builtins.git_source import GitSource

if TYPE_CHECKING:
    from core_project import Project

LIMIT, GRACE = 0.5, 20
Serve = Callable[[Hostile, socket.socket], None]
OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-git-upload-pack-%s\r\nConnection: close\r\n"
BLOCKS = {
    "connect": b"HTTP/1.1 200 OK\r\n",
    "head": b"X-More: and more\r\n",
    "references": b"003f" + b"a" * 40 + b" refs/heads/branch\n",
    "pack": b"2004\x01" + bytes(0x1FFF),
    "progress": b"000a\x02good\n",
}


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository whose pack has 300 KB."""
    found = tmp_path_factory.mktemp("git") / "repository"
    who = {f"GIT_{role}_{what}": "a@b" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}

    def git(*arguments: str) -> None:
        subprocess.run(["git", "-C", found, *arguments], env={**os.environ, **who}, check=True)

    found.mkdir()
    git("init", "-q", "-b", "main")
    (found / "file").write_bytes(random.Random(1).randbytes(300_000))
    git("add", "-A")
    git("commit", "-q", "-m", "a file")
    return found


def upload_pack(repository: Path, *arguments: str, asked: bytes = b"") -> bytes:
    command = ["git", "upload-pack", "--stateless-rpc", *arguments, str(repository)]
    return subprocess.run(command, input=asked, capture_output=True, check=True).stdout


def request(peer: socket.socket) -> tuple[bytes, bytes]:
    """The next request: its first line and its body."""
    head, _, body = peer.recv(65_536).partition(b"\r\n\r\n")
    lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    while lengths and len(body) < int(lengths[0].partition(b":")[2]):
        body += peer.recv(65_536)
    return head.partition(b"\r\n")[0], body


def talk(repository: Path, phase: str, fault: str, turned: threading.Event, pack: bytes = b"") -> Serve:
    """A server of git's smart protocol that is honest up to a phase; `pack` is the begin of its pack."""

    def serve(server: Hostile, peer: socket.socket) -> None:
        line, asked = (b"", b"") if phase == "connect" else request(peer)
        if phase == "head":
            peer.sendall(OK[:17])
        elif phase == "references":
            peer.sendall(OK % b"advertisement" + b"\r\n001e# service=git-upload-pack\n0000")
        elif line.startswith(b"GET"):
            refs = upload_pack(repository, "--http-backend-info-refs")
            peer.sendall(OK % b"advertisement" + b"\r\n001e# service=git-upload-pack\n0000" + refs)
            return
        elif phase != "connect":
            answer = upload_pack(repository, asked=asked)
            if b"\x01PACK" not in answer:  # it has only told where the history ends
                peer.sendall(OK % b"result" + b"\r\n" + answer)
                return
            at = len(answer) // 2 if phase == "pack" and not pack else answer.index(b"\x01PACK") - 4
            peer.sendall(OK % b"result" + b"\r\n" + answer[:at])
            if pack:
                peer.sendall(b"%04x\x01" % (len(pack) + 5) + pack)
        turned.set()
        server.misbehave(fault, peer, BLOCKS[phase])

    return serve


def processes(folder: Path) -> list[str]:
    """The processes that work in a folder."""
    found = []
    for each in Path("/proc").glob("[0-9]*/cwd"):
        try:
            if each.readlink().is_relative_to(folder):
                found.append((each.parent / "cmdline").read_text())
        except OSError:  # it has ended
            continue
    return found


def memory_of_children() -> int:
    """The most that one process has used which this one has started, in bytes."""
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024


def check_refused(serve: Serve, folder: Path, limit: float) -> ConnectorError:
    """The listing is refused in time, without more memory; no process and no file is left."""
    with hostile(serve) as server, costs() as cost:
        config = {"url": f"http://{HERE}:{server.port}/repository", "ref": "main", "timeout_seconds": limit}
        source = GitSource(BundleSourceInit("git", "suite", config, folder))
        with source, pytest.raises(ConnectorError) as caught:
            list(source.list())
        deadline = time.monotonic() + GRACE
        while (left := processes(folder)) and time.monotonic() < deadline:
            time.sleep(0.01)  # a killed process needs a moment
    assert left == [], "who waits for the server has ended, too"
    assert cost.mebibytes < 64
    assert cost.seconds < limit * 4 + GRACE
    assert len(str(caught.value)) < 1000
    assert caught.value.fix
    assert list(folder.iterdir()) == []
    return caught.value


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder for temporary files."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("phase", BLOCKS)
def test_the_limit_holds(repository: Path, folder: Path, phase: str, fault: str) -> None:
    turned, before = threading.Event(), memory_of_children()
    limits = iter([LIMIT, 4 * LIMIT, 16 * LIMIT, 64 * LIMIT])  # on a busy machine it may come before the turn
    while not turned.is_set():
        check_refused(talk(repository, phase, fault, turned), folder, next(limits))
    assert memory_of_children() < max(before + 1, git_source.MEMORY + 64 * 2**20)


LIES = {
    "4 billion objects": b"PACK" + struct.pack("!II", 2, 0xFFFFFFFF),
    "an object of 1 EB": b"PACK"
    + struct.pack("!II", 2, 1)
    + b"\xb0"
    + b"\xff" * 7
    + b"\x01"
    + zlib.compress(b"x")[:-4],
    "a delta of nothing": b"PACK" + struct.pack("!II", 2, 1) + b"\x7f" + bytes(20) + zlib.compress(b"\xff" * 100),
}
"""What git would make room for."""


@pytest.mark.parametrize("fault", ["endless", "silent", "cut"])
@pytest.mark.parametrize("lie", LIES)
def test_a_pack_that_lies(repository: Path, folder: Path, lie: str, fault: str) -> None:
    turned, before = threading.Event(), memory_of_children()
    limits = iter([LIMIT, 4 * LIMIT, 16 * LIMIT, 64 * LIMIT])
    while not turned.is_set():
        check_refused(talk(repository, "pack", fault, turned, LIES[lie]), folder, next(limits))
    assert memory_of_children() < max(before + 1, git_source.MEMORY + 64 * 2**20)


def test_a_pack_fills_no_disk(repository: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What git writes is limited by the system: the pack ends there, long before the limit of time."""
    monkeypatch.setattr(git_source, "_LIMITED", git_source._LIMITED.replace(str(git_source.MOST_BYTES // 512), "200"))
    error = check_refused(talk(repository, "pack", "endless", threading.Event()), folder, 60)
    assert "longer than" not in str(error)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_git_ends_with_a_sync_that_is_stopped(project: "Project", number: int) -> None:
    with hostile(lambda server, peer: server.silent(peer)) as server:
        url = f"http://{HERE}:{server.port}/x"
        layout = "{flows_dir: flows, profiles_file: p.yaml}"
        source = f"{{type: git, url: '{url}', ref: main}}"
        bundle = f"{{id: b, entry_flow: flows/f.yaml, layout: {layout}, source: {source}}}"
        project.write(f"version: 1\nbundle: {bundle}\n", "bundle.yaml")
        left: set[Path] = set()
        sync = project.start("bundle", "sync", "-m", "bundle.yaml")
        try:
            until(lambda: len(that_have(url)) > 1)  # git and its helper
            left.update(Path(f"/proc/{pid}/cwd").readlink() for pid in that_have(url))
            sync.send_signal(number)
            sync.wait(GRACE)
            until(lambda: not that_have(url))
        finally:
            sync.kill()
            sync.communicate()
            for pid in that_have(url):
                os.kill(pid, signal.SIGKILL)
            for each in left:
                shutil.rmtree(each)


def that_have(argument: str) -> list[int]:
    """The processes with an argument."""
    found = []
    for each in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # it has ended
            if argument in each.read_text().split("\0"):
                found.append(int(each.parent.name))
    return found


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + GRACE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)
