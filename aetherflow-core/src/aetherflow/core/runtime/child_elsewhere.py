"""Hands a run inside another one over to a process that listens at a socket of this host, such as a worker.

The run writes a line of JSON, `{"run": ID, "folder": PATH, "bytes": N}`, the request of N bytes, and one more byte each
time that it is to stop; it is to be killed where the connection ends. The answer is made of pieces: a letter, a length
of 4 bytes, and so many bytes. `e` is for stderr, `r` the result, which comes last. Only what every Python has at its
start is imported, since there is a process for each run that is waited for.
"""

import json
import os
import signal
import socket
import sys
from typing import BinaryIO

CHILD_RUNS = "AETHERFLOW_CHILD_RUNS"
"""Names the socket; set for the run around by who had it started."""


def executed(place: str, run_id: str, request: bytes) -> bytes | None:
    """The result of the run; None if nobody listens, or if the connection was lost: then it is not known."""
    with socket.socket(socket.AF_UNIX) as line:

        def stop(number: int, _frame: object) -> None:
            try:
                line.send(b"s")
            except OSError:
                sys.exit(128 + number)

        before = signal.signal(signal.SIGTERM, stop)
        try:
            line.connect(place)
            head = {"run": run_id, "folder": os.getcwd(), "bytes": len(request)}  # noqa: PTH109 pathlib is not imported yet
            line.sendall(json.dumps(head).encode() + b"\n" + request)
            return _answer(line)
        except OSError:
            return None
        finally:
            signal.signal(signal.SIGTERM, before)


def _answer(line: socket.socket) -> bytes | None:
    with line.makefile("rb") as pieces:
        while (piece := read_piece(pieces)) is not None:
            letter, data = piece
            if letter == b"r":
                return data
            sys.stderr.buffer.write(data)
            sys.stderr.buffer.flush()
    return None


def read_piece(stream: BinaryIO) -> tuple[bytes, bytes] | None:
    """The next piece of an answer; None if the connection has ended."""
    head = stream.read(5)
    if len(head) < 5:
        return None
    size = int.from_bytes(head[1:], "big")
    data = stream.read(size)
    return (head[:1], data) if len(data) == size else None


def piece(letter: bytes, data: bytes) -> bytes:
    """A piece of an answer, for the other end."""
    return letter + len(data).to_bytes(4, "big") + data
