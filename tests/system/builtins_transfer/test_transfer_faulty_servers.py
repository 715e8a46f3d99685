"""Uploads to SFTP servers that store something else than they were sent, or do not say what they did."""

import hashlib
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import paramiko
import pytest
from paramiko import sftp

from aetherflow.core.testing import FlowProject, Ran
from sftp_server import Folder, serving

Upload = Callable[..., Ran]


@pytest.fixture
def upload(tmp_path: Path) -> Iterator[Upload]:
    """Upload files of these contents to a server; tried three times, without waiting."""
    project = FlowProject(tmp_path / "project")
    with ExitStack() as running:

        def run(
            behaviour: type[Folder], files: dict[str, bytes], keys: dict[str, Any] | None = None, **inputs: Any
        ) -> Ran:
            server = tmp_path / "server"
            server.mkdir(exist_ok=True)
            config = running.enter_context(serving(server, behaviour))
            options = {"retry": {"max_attempts": 3, "backoff_seconds": 0}, "idle_timeout_seconds": 30}
            for name, data in files.items():
                path = project.work / "given" / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)
            given = [str(project.work / "given" / name) for name in files]
            return project.run_step(
                "sftp_upload_files",
                {"resource": "peer", "items": given, "remote_dir": str(server)} | inputs,
                resources={"peer": {"kind": "sftp", "driver": "paramiko", "config": config, "options": options}},
                **(keys or {}),
            )

        yield run


def tree(tmp_path: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (tmp_path / "server").iterdir()}


def failure(ran: Ran) -> str:
    assert ran.error is not None
    return ran.error.message


def test_a_server_without_faults_takes_small_and_large_files(upload: Upload, tmp_path: Path) -> None:
    files = {"a": b"1", "b": b"22", "large": b"3" * 300_000}
    assert upload(Folder, files, verify="sha256").error is None
    assert tree(tmp_path) == files
    again = upload(Folder, files | {"c": b"4", "d": b"5"}, preserve_mtime=False, overwrite=False)
    assert again.error is None, again.error
    assert tree(tmp_path) == files | {"c": b"4", "d": b"5"}


class CutsAfterRename(Folder):
    """Renames, and the connection ends before the answer."""

    def posix_rename(self, oldpath: str, newpath: str) -> int:
        super().posix_rename(oldpath, newpath)
        return self.cut()


def test_a_rename_whose_answer_is_lost_was_done(upload: Upload, tmp_path: Path) -> None:
    ran = upload(CutsAfterRename, {"a": b"content"})
    assert ran.error is None, ran.error
    (told,) = ran["step"].outputs["files"]
    assert (told["status"], told["sha256"]) == ("uploaded", hashlib.sha256(b"content").hexdigest())
    assert tree(tmp_path) == {"a": b"content"}


class CutsInPlaceOfRename(Folder):
    """The first time the connection ends in place of the renaming."""

    cuts = 0

    def posix_rename(self, oldpath: str, newpath: str) -> int:
        type(self).cuts += 1
        return self.cut() if self.cuts == 1 else super().posix_rename(oldpath, newpath)


def test_a_rename_that_was_not_done_is_done_by_the_next_try(upload: Upload, tmp_path: Path) -> None:
    ran = upload(CutsInPlaceOfRename, {"a": b"content"})
    assert ran.error is None, ran.error
    assert CutsInPlaceOfRename.cuts == 2
    assert tree(tmp_path) == {"a": b"content"}


class StoresLess(Folder):
    """Says that all was stored, and lost the last byte of each piece."""

    def received(self, data: bytes) -> bytes:
        return data[:-1]


@pytest.mark.parametrize("names", [["a"], ["a", "b"]], ids=["alone", "together"])
def test_less_than_was_sent_is_no_delivery(upload: Upload, tmp_path: Path, names: list[str]) -> None:
    ran = upload(StoresLess, dict.fromkeys(names, b"content"))
    assert "6 of 7 bytes arrived" in failure(ran)
    assert not {*names} & {*tree(tmp_path)}


class StoresOther(Folder):
    """Stores as many bytes, and others."""

    def received(self, data: bytes) -> bytes:
        return bytes(len(data))


def test_other_content_is_no_delivery(upload: Upload, tmp_path: Path) -> None:
    ran = upload(StoresOther, {"a": b"content"}, verify="sha256")
    assert "what arrived has another sha256" in failure(ran)
    assert tree(tmp_path) == {}


class Meanwhile(Folder):
    """While the content arrives the local file grows."""

    local: Path

    def received(self, data: bytes) -> bytes:
        with self.local.open("ab") as file:
            file.write(b"more")
        return data


def test_a_local_file_that_changes_while_it_is_sent_is_no_delivery(upload: Upload, tmp_path: Path) -> None:
    Meanwhile.local = tmp_path / "project/work/given/a"
    ran = upload(Meanwhile, {"a": b"content"})
    assert "the local file changed while it was sent" in failure(ran)
    assert "a" not in tree(tmp_path)


class TellsNoSize(Folder):
    """Tells nothing about a file but that it is there."""

    def stat(self, path: str) -> Any:
        found = super().stat(path)
        return paramiko.SFTPAttributes() if isinstance(found, paramiko.SFTPAttributes) else found


def test_a_size_that_nobody_tells_is_not_taken_for_right(upload: Upload, tmp_path: Path) -> None:
    ran = upload(TellsNoSize, {"a": b"content", "b": b"content"})
    assert "None of 7 bytes arrived" in failure(ran)
    assert not {"a", "b"} & {*tree(tmp_path)}


class Secretive(Folder):
    """After the connection broke nobody may look."""

    cuts = 0

    def posix_rename(self, oldpath: str, newpath: str) -> int:
        type(self).cuts += 1
        super().posix_rename(oldpath, newpath)
        return self.cut()

    def lstat(self, path: str) -> Any:
        return sftp.SFTP_PERMISSION_DENIED if self.cuts else super().lstat(path)


def test_a_look_that_is_refused_is_not_taken_for_nothing_there(upload: Upload, tmp_path: Path) -> None:
    assert "denied" in failure(upload(Secretive, {"a": b"content"})).lower()


class ActsAtOnce(Folder):
    """With the first content that arrives something happens to the files that are still to go."""

    act: Callable[[], object] | None = None

    def received(self, data: bytes) -> bytes:
        if (act := type(self).act) is not None:
            type(self).act = None
            act()
        return data


MANY = {f"f{number:02}": b"x" for number in range(64)}
"""As many as go together."""


def test_small_files_that_have_gone_before_their_turn(upload: Upload, tmp_path: Path) -> None:
    given = tmp_path / "project/work/given"

    def remove() -> None:
        for name in ("later", "last"):
            (given / name).unlink()

    ActsAtOnce.act = remove
    together = {"workers": 1, "fail_fast": False}
    ran = upload(ActsAtOnce, MANY | {"later": b"y", "last": b"y"}, parallelism=together)
    assert "2 of 66 files were not uploaded; 64 were" in failure(ran)
    assert f"no such file: {given}/later" in failure(ran)
    assert tree(tmp_path) == MANY


def test_a_small_file_that_has_grown_before_its_turn(upload: Upload, tmp_path: Path) -> None:
    given = tmp_path / "project/work/given"
    ActsAtOnce.act = lambda: (given / "later").write_bytes(b"z" * 300_000)
    ran = upload(ActsAtOnce, MANY | {"later": b"y", "last": b"y"}, parallelism={"workers": 1})
    assert ran.error is None, ran.error
    assert tree(tmp_path) == MANY | {"later": b"z" * 300_000, "last": b"y"}


class AdmitsLate(Folder):
    """Keeps silent about a login until it is told to answer."""

    answer = threading.Event()
    transport: paramiko.Transport

    @classmethod
    def admit(cls, transport: paramiko.Transport) -> None:
        cls.transport = transport
        assert cls.answer.wait(60)


def test_a_login_that_is_answered_when_the_step_has_ended_is_given_up(upload: Upload, tmp_path: Path) -> None:
    ran = upload(AdmitsLate, {"a": b"content"}, {"timeout_seconds": 1})
    assert "1 s" in failure(ran)
    AdmitsLate.answer.set()
    AdmitsLate.transport.join(60)
    assert not AdmitsLate.transport.is_active()
    assert tree(tmp_path) == {}
