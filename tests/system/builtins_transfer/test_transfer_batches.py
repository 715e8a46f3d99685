"""Small files that go together over SFTP: each as whole, checked and told as one that goes alone."""

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aetherflow_builtins_transfer.moving.files import Files
from services import Sshd
from transfer_peers import Peer, build_peer

CHUNK = 224 * 1024
SIZES = (0, 1, 20_000, CHUNK - 1, CHUNK, CHUNK + 1, 256 << 10, (256 << 10) + 1, 900_000)
"""Empty ones, those of more than one request, and those that are too large to go with others."""


@pytest.fixture
def ssh(sshd: Sshd, request: pytest.FixtureRequest, tmp_path: Path) -> Peer:
    return build_peer("sftp.paramiko", request, tmp_path)


def given(peer: Peer, number: int = 70) -> dict[str, bytes]:
    """Files that are to go, by name; more than one batch holds."""
    files = {f"s{size}": os.urandom(size) for size in SIZES} | {
        f"f{each:03}": os.urandom(700) for each in range(number)
    }
    for name, data in files.items():
        path = peer.local(name, data)
        os.utime(path, (1_700_000_000, 1_700_000_000 + len(data)))
    return files


def upload(peer: Peer, files: dict[str, bytes], **inputs: Any) -> Any:
    items = [str(peer.project.work / "given" / name) for name in files]
    return peer.run(peer.step("upload", items=items, remote_dir=f"{peer.base}/in/box", **inputs))


@pytest.mark.parametrize("request_bytes", [None, 32768])
def test_all_arrive_with_time_and_mode(ssh: Peer, request_bytes: int | None) -> None:
    ssh.resource["options"] = {} if request_bytes is None else {"request_bytes": request_bytes}
    files = given(ssh)
    ran = upload(ssh, files, mode="640")
    assert ran.error is None, ran.error
    assert {name.removeprefix("in/box/"): data for name, data in ssh.tree().items()} == files
    for name, data in files.items():
        found = (ssh.disk / "in/box" / name).stat()
        assert (found.st_mode & 0o777, found.st_mtime) == (0o640, 1_700_000_000 + len(data))
    told = ran["upload"].outputs["files"]
    assert [(each["status"], each["size"]) for each in told] == [("uploaded", len(data)) for data in files.values()]
    again = upload(ssh, files, mode="640")
    assert {each["status"] for each in again["upload"].outputs["files"]} == {"unchanged"}


@pytest.mark.parametrize("fail_fast", [True, False])
def test_one_that_cannot_arrive_is_told_and_the_others_do(ssh: Peer, fail_fast: bool) -> None:
    files = given(ssh)
    box = ssh.disk / "in/box"
    (box / "f003").mkdir(parents=True)  # made while the step is under way, as far as the listing knows
    (box / "f003" / "inside").touch()
    names = [name for name in files if name != "f003"]
    late = {"f003": files.pop("f003")}
    ran = upload(ssh, late | files, parallelism={"fail_fast": fail_fast})
    assert ran.error is not None
    assert "f003" in ran.error.message
    assert "folder" in ran.error.message
    arrived = {path.name for path in box.iterdir() if path.is_file()}
    assert all((box / name).read_bytes() == files[name] for name in arrived), "only whole files, no leftovers"
    if not fail_fast:
        assert arrived == set(names)


@pytest.mark.parametrize(
    ("request_name", "number"),
    [
        pytest.param("FSETSTAT", 9, id="refuses"),  # SETSTAT of a path that is not there
        pytest.param("STAT", 255, id="keeps-silent"),  # a request that it does not know, and does not answer
    ],
)
def test_what_a_server_does_in_the_middle_of_a_batch_leaves_nothing(
    ssh: Peer, monkeypatch: pytest.MonkeyPatch, request_name: str, number: int
) -> None:
    from aetherflow_builtins_transfer.connectors.sftp import batch as sftp_batch

    files = given(ssh, 20)
    ssh.resource["options"] = {"idle_timeout_seconds": 3}
    monkeypatch.setattr(sftp_batch, request_name, number)
    ran = upload(ssh, files)
    assert ran.error is None, "alone they arrive"
    assert {name.removeprefix("in/box/"): data for name, data in ssh.tree().items()} == files


def test_a_server_without_the_extension_that_replaces_takes_them_too(
    ssh: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    from aetherflow_builtins_transfer.connectors.sftp import batch as sftp_batch
    from aetherflow_builtins_transfer.connectors.sftp import client as sftp_client
    from aetherflow_builtins_transfer.moving.upload import TransferResult, Upload

    files = given(ssh, 20)
    monkeypatch.setattr(sftp_batch, "POSIX_RENAME", sftp_client.text(b"unknown@example.com"))
    alone = []
    run = Upload.run

    def counted(upload: Upload) -> TransferResult:
        alone.append(upload.remote_path)
        return run(upload)

    monkeypatch.setattr(Upload, "run", counted)
    assert upload(ssh, files).error is None
    assert {name.removeprefix("in/box/"): data for name, data in ssh.tree().items()} == files
    assert len(alone) == 2, "only those that are too large for a batch"


def test_a_limit_of_bytes_per_second_and_one_after_the_other_send_alone(ssh: Peer) -> None:
    files = given(ssh, 5)
    ran = upload(ssh, files, parallelism={"enabled": False})
    assert ran.error is None, ran.error
    ssh.resource["options"] = {"max_bytes_per_second": 5e7}
    changed = {name: data + b"." for name, data in files.items()}
    for name, data in changed.items():
        ssh.local(name, data)
    assert upload(ssh, changed).error is None
    assert {name.removeprefix("in/box/"): data for name, data in ssh.tree().items()} == changed


def replace_after(method: str, path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], bool]:
    """Once this method has sent it, another file takes its place, of the same size and time; tells whether it did."""
    original, lock = getattr(Files, method), threading.Lock()
    done: list[Path] = []

    def send(partner: Files, files: Any, *places: Any, **options: Any) -> Any:
        result = original(partner, files, *places, **options)
        sent = [files] if isinstance(files, Path) else [each.local for each in files]
        with lock:
            if path in sent and not done:
                done.append(path)
                found, other = path.stat(), path.with_name("other")
                other.write_bytes(b"N" * found.st_size)
                os.utime(other, ns=(found.st_atime_ns, found.st_mtime_ns))
                other.replace(path)
        return result

    monkeypatch.setattr(Files, method, send)
    return lambda: bool(done)


@pytest.mark.parametrize("method", ["upload_all", "upload"])
@pytest.mark.parametrize("after", ["delete", "move"])
def test_a_file_that_was_replaced_on_the_way_stays_and_is_told(
    ssh: Peer, monkeypatch: pytest.MonkeyPatch, method: str, after: str
) -> None:
    files = {f"f{each}": os.urandom(700) for each in range(8)}
    paths = {name: ssh.local(name, data) for name, data in files.items()}
    moved_to = ssh.project.work / "done"
    more: dict[str, Any] = {"move_to": str(moved_to)} if after == "move" else {}
    more |= {"after": after, "parallelism": {"enabled": method == "upload_all", "fail_fast": False}}
    replaced = replace_after(method, paths["f3"], monkeypatch)
    ran = upload(ssh, files, **more)
    assert replaced()
    assert ran.error is not None
    assert f"{paths['f3']} was replaced while it was sent" in ran.error.message
    assert "run the flow again" in (ran.error.fix or "")
    assert paths["f3"].read_bytes() == b"N" * 700, "nobody has delivered that"
    assert [name for name, path in paths.items() if path.exists()] == ["f3"]
    assert {name.removeprefix("in/box/"): data for name, data in ssh.tree().items()} == files

    again = ssh.project.run(run_id=ran.summary.run_id)
    assert again.error is None, again.error
    files["f3"] = b"N" * 700
    assert {name.removeprefix("in/box/"): data for name, data in ssh.tree().items()} == files
    assert not any(path.exists() for path in paths.values())
    if after == "move":
        assert {path.name: path.read_bytes() for path in moved_to.iterdir()} == files

    for name, data in files.items():
        stamp = (moved_to / name).stat() if after == "move" else (ssh.disk / "in/box" / name).stat()
        os.utime(ssh.local(name, data), ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    known = upload(ssh, files)
    assert {each["status"] for each in known["upload"].outputs["files"]} == {"unchanged"}, "all stand in the ledger"
