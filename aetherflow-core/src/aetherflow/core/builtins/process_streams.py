"""Reading the output of a child of `external.process`."""

import re
import threading
import time
from collections.abc import Callable
from typing import Any

CHUNK = 64 * 1024
JOIN_SECONDS = 0.1
TAIL_BYTES = 4096
"""Bytes kept of a stream that is not captured, for the message of a failure."""
_CONTROLS = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|[\x00-\x08\x0e-\x1f\x7f]")
Sink = Callable[[bytes], Any]


class Capture:
    """Keeps head and tail of a stream, at most `limit` bytes together; the bytes in between are only counted."""

    def __init__(self, limit: int) -> None:
        self._rest = limit // 2
        self._first = limit - self._rest
        self._head = bytearray()
        self._tail = bytearray()
        self._dropped = 0

    def add(self, data: bytes) -> None:
        """Take the next bytes of the stream."""
        room = self._first - len(self._head)
        self._head += data[:room] if room > 0 else b""
        self._tail += data[max(room, 0) :]
        if len(self._tail) > self._rest:
            excess = len(self._tail) - self._rest
            del self._tail[:excess]
            self._dropped += excess

    def text(self) -> str:
        """The kept output as text, invalid UTF-8 replaced, with a note where bytes were left out."""
        middle = f"\n[... {self._dropped} bytes left out ...]\n".encode() if self._dropped else b""
        return bytes(self._head + middle + self._tail).decode(errors="replace")

    def last_line(self) -> str:
        """The last line that is not empty, without terminal control sequences; "" if there is none."""
        text = bytes((self._head + self._tail)[-TAIL_BYTES:]).decode(errors="replace")
        lines = [line.strip() for line in _CONTROLS.sub("", text).splitlines()]
        return next((line for line in reversed(lines) if line), "")


class Reader(threading.Thread):
    """A thread that reads a pipe to its end and passes everything to a sink."""

    def __init__(self, pipe: Any, sink: Sink) -> None:
        super().__init__(name="output", daemon=True)
        self._pipe = pipe
        self._sink = sink
        self._idle_since: float | None = None
        """Since when it waits for the pipe; None while the sink is called."""
        self.failure: Exception | None = None
        """The first failure of the sink, such as a full disk."""
        self.start()

    def run(self) -> None:
        """Read on even after a failure of the sink: a child that writes into a full pipe would never end."""
        with self._pipe:
            while True:
                self._idle_since = time.monotonic()
                data = self._pipe.read1(CHUNK)
                self._idle_since = None
                if not data:
                    return
                if self.failure is None:
                    try:
                        self._sink(data)
                    except Exception as error:  # noqa: BLE001 raised by the step's own thread
                        self.failure = error

    def finish(self, patience: float, check: Callable[[], None]) -> None:
        """Wait for the end of the pipe: at most `patience` seconds without data, without limit while the sink works.

        `check` is called repeatedly and may raise. A process that outlives the child may hold the pipe open for ever,
        but printed output must not be lost because a sink is slow.
        """
        began = time.monotonic()
        while self.is_alive():
            self.join(JOIN_SECONDS)
            check()
            idle = self._idle_since
            if idle is not None and time.monotonic() - max(idle, began) > patience:
                return


def drop(data: bytes) -> None:
    """A sink that discards everything."""
    del data


def both(one: Sink, other: Sink) -> Sink:
    """A sink that passes everything to two others."""

    def sink(data: bytes) -> None:
        one(data)
        other(data)

    return sink


def locked(write: Sink) -> Sink:
    """A thread-safe sink around `write`."""
    lock = threading.Lock()

    def write_locked(data: bytes) -> None:
        with lock:  # stdout and stderr share the file
            write(data)

    return write_locked
