"""What an SFTP channel has received, in the place of paramiko's own buffer."""

import pytest
from paramiko.buffered_pipe import PipeTimeout

from aetherflow_builtins_transfer.connectors.sftp.client import Pieces


def test_a_read_takes_all_that_came() -> None:
    pipe = Pieces()
    for piece in (b"a" * 5000, b"b" * 5000, b"c"):
        pipe.feed(piece)
    assert pipe.read(100) == b"a" * 5000 + b"b" * 5000 + b"c"
    pipe.close()
    assert pipe.read(100) == b""


def test_an_empty_message_is_not_the_end() -> None:
    pipe = Pieces()
    pipe.feed(b"")
    with pytest.raises(PipeTimeout):
        pipe.read(1, 0.0)


def test_a_server_that_drips_does_not_fill_the_memory() -> None:
    pipe = Pieces()
    for _ in range(10_000):
        pipe.feed(b"x")
    assert len(pipe) <= 3
    assert pipe.read(100) == b"x" * 10_000
