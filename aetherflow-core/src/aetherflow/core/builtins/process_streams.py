"""What `external.process` does with the bytes that a child prints."""

import threading
from collections.abc import Callable
from typing import IO, Any

CHUNK = 64 * 1024
TAIL_BYTES = 4096
"""Kept of a stream for the message of a failure."""
Sink = Callable[[bytes], Any]


class Capture:
    """Head and tail of a stream, at most `limit` bytes together; what lies between is counted, not kept."""

    def __init__(self, limit: int) -> None:
        self._rest = limit // 2
        self._first = limit - self._rest
        self._head = bytearray()
        self._tail = bytearray()
        self._dropped = 0

    def add(self, data: bytes) -> None:
        """Take the next bytes."""
        room = self._first - len(self._head)
        self._head += data[:room] if room > 0 else b""
        self._tail += data[max(room, 0) :]
        if len(self._tail) > self._rest:
            excess = len(self._tail) - self._rest
            del self._tail[:excess]
            self._dropped += excess

    def text(self) -> str:
        """What was kept, undecodable bytes replaced, with a note where bytes are missing."""
        middle = f"\n[... {self._dropped} bytes left out ...]\n".encode() if self._dropped else b""
        return bytes(self._head + middle + self._tail).decode(errors="replace")

    def last_line(self) -> str:
        """The last line that is not empty; "" if there is none."""
        lines = bytes((self._head + self._tail)[-TAIL_BYTES:]).decode(errors="replace").strip().splitlines()
        return lines[-1].strip() if lines else ""


def copy(pipe: IO[bytes], sink: Sink, failures: list[Exception]) -> None:
    """Read a pipe to its end; the first failure of the sink goes to `failures`."""
    failed = False
    with pipe:
        while data := pipe.read1(CHUNK):  # type: ignore[attr-defined]  # a buffered pipe has it
            if failed:
                continue  # read on all the same: a child that writes into a full pipe would never end
            try:
                sink(data)
            except Exception as error:  # noqa: BLE001 a full disk, say; the step's own thread raises it
                failures.append(error)
                failed = True


def drop(data: bytes) -> None:
    """Keep nothing."""
    del data


def both(one: Sink, other: Sink) -> Sink:
    """A sink that hands everything to two others."""

    def sink(data: bytes) -> None:
        one(data)
        other(data)

    return sink


def locked(write: Sink) -> Sink:
    """`write` for several threads, one at a time."""
    lock = threading.Lock()

    def write_locked(data: bytes) -> None:
        with lock:  # stdout and stderr share the file
            write(data)

    return write_locked
