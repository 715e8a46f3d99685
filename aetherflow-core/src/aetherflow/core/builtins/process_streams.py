"""What `external.process` does with the bytes that a child prints."""

import threading
from collections.abc import Callable
from typing import IO, Any

CHUNK = 64 * 1024


class Capture:
    """Head and tail of a stream, at most `kb` KiB together; what lies between is counted, not kept."""

    def __init__(self, kb: int) -> None:
        self._half = kb * 512
        self._head = bytearray()
        self._tail = bytearray()
        self._dropped = 0

    def add(self, data: bytes) -> None:
        """Take the next bytes."""
        room = self._half - len(self._head)
        self._head += data[:room] if room > 0 else b""
        self._tail += data[max(room, 0) :]
        if len(self._tail) > self._half:
            excess = len(self._tail) - self._half
            del self._tail[:excess]
            self._dropped += excess

    def text(self) -> str:
        """What was kept, undecodable bytes replaced, with a note where bytes are missing."""
        middle = f"\n[... {self._dropped} bytes left out ...]\n".encode() if self._dropped else b""
        return bytes(self._head + middle + self._tail).decode(errors="replace")


def copy(
    pipe: IO[bytes], keep: Callable[[bytes], Any], relay: Callable[[bytes], None], failures: list[Exception]
) -> None:
    """Read a pipe to its end; the first failure of `keep` or `relay` goes to `failures`."""
    failed = False
    with pipe:
        while data := pipe.read1(CHUNK):  # type: ignore[attr-defined]  # a buffered pipe has it
            if failed:
                continue  # read on all the same: a child that writes into a full pipe would never end
            try:
                keep(data)
                relay(data)
            except Exception as error:  # noqa: BLE001 a full disk, say; the step's own thread raises it
                failures.append(error)
                failed = True


def drop(data: bytes) -> None:
    """Keep nothing."""
    del data


def locked(write: Callable[[bytes], Any]) -> Callable[[bytes], None]:
    """`write` for several threads, one at a time."""
    lock = threading.Lock()

    def write_locked(data: bytes) -> None:
        with lock:  # stdout and stderr share the file
            write(data)

    return write_locked
