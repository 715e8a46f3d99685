"""Requests to a fork server that fail leave no descriptor open."""

import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aetherflow.core.base import durable
from aetherflow.core.runtime.processes.fork_messages import LENGTH, next_message
from aetherflow.core.runtime.processes.fork_server import ForkServer


def descriptors() -> set[Path]:
    return set(Path("/proc/self/fd").iterdir())


def refused(start: Callable[[], Any]) -> OSError:
    with pytest.raises(OSError, match="no process") as found:
        start()
    return found.value  # with its frames, whose sockets would stay open


def test_a_server_that_cannot_be_started_leaves_no_descriptor_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def spawn(*_: Any, **__: Any) -> None:
        raise OSError("no process")

    monkeypatch.setattr(durable, "spawn", spawn)
    server = ForkServer()
    with (tmp_path / "out").open("w+b") as out:
        before = descriptors()
        kept = [refused(server.prepare)]
        kept += [
            refused(lambda: server.start("m", [], cwd=tmp_path, env={}, stdin=out, stdout=out, stderr=out))
            for _ in range(3)
        ]
        assert descriptors() <= before
    assert len(kept) == 4


def test_a_request_that_breaks_off_leaves_no_descriptor_open(tmp_path: Path) -> None:
    ours, theirs = socket.socketpair()
    with theirs, (tmp_path / "out").open("wb") as out:
        body = json.dumps(["m", [], str(tmp_path), {}]).encode()
        with ours:
            socket.send_fds(ours, [LENGTH.pack(len(body))], [out.fileno()] * 4)
            ours.sendall(body[:-1])
        before = descriptors()
        assert next_message(theirs) is None
        assert descriptors() <= before
