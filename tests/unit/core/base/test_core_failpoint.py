"""What a failpoint does to the process that passes it; true kills are those of the torture suites."""

import errno
import io
import os
import signal
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Never

import pytest

from aetherflow.core.base.durable import failpoint
from aetherflow.core.base.durable.failpoint import hit
from aetherflow.core.testing import failpoints
from aetherflow.core.testing.failpoints import arm


class EndedError(BaseException):
    """In place of the end of the process."""


@pytest.fixture
def ends(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The signals that the process would have ended or stopped by."""
    found: list[int] = []

    def kill(pid: int, number: int) -> Never:
        assert pid == os.getpid()
        found.append(number)
        raise EndedError

    def stop(thread: int, number: int) -> Never:
        assert thread == threading.get_ident(), "one to the process may reach another thread, and this one goes on"
        found.append(number)
        raise EndedError

    monkeypatch.setattr(os, "kill", kill)
    monkeypatch.setattr(signal, "pthread_kill", stop)
    monkeypatch.setattr(failpoint, "act", None)
    return found


def test_only_the_point_that_is_named_fails(ends: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    arm("2:raise")
    hit("first")
    with pytest.raises(RuntimeError, match="failpoint second"):
        hit("second")
    hit("third")
    assert ends == []


@pytest.mark.parametrize(("name", "number"), [("enospc", errno.ENOSPC), ("eio", errno.EIO)])
def test_a_full_or_broken_disk(ends: list[int], monkeypatch: pytest.MonkeyPatch, name: str, number: int) -> None:
    arm(f"1:{name}")
    with pytest.raises(OSError, match="point") as caught:
        hit("point")
    assert (caught.value.errno, ends) == (number, [])


def test_a_pause(ends: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    # not `time.sleep` itself: threads of other tests' connectors may sleep meanwhile
    monkeypatch.setattr(failpoints, "time", SimpleNamespace(sleep=slept.append))
    arm("1:sleep=0.5")
    hit("point")
    assert (slept, ends) == ([0.5], [])


@pytest.mark.parametrize(
    ("action", "number", "written"),
    [
        ("", signal.SIGKILL, b""),
        ("stop", signal.SIGSTOP, b""),
        ("torn", signal.SIGKILL, b"01234"),
        ("torn=3", signal.SIGKILL, b"012"),
        ("torn=-1", signal.SIGKILL, b"012345678"),
    ],
)
def test_what_is_written_when_the_process_ends(
    ends: list[int], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, action: str, number: int, written: bytes
) -> None:
    arm(f"1:{action}")
    path = tmp_path / "file"
    with path.open("wb", buffering=io.DEFAULT_BUFFER_SIZE) as stream:
        with pytest.raises(EndedError):
            hit("point", stream, b"0123456789")
        assert path.read_bytes() == written, "it is in the file, and not only in the buffer"
    assert ends == [number]
