"""Reads and writes the content of files over SMB with pipelined requests."""

import time
from collections import deque
from collections.abc import Callable
from typing import Any

from aetherflow_builtins_transfer.connectors.files.session import Read, Write

DEPTH = 4
"""Requests in flight; more gain nothing on a fast line, and on a slow line each must be answered in time."""
SMALLEST, LARGEST = 256 << 10, 4 << 20
"""Bytes of one request: small at first, so that a slow line answers in time, doubled while answers are quick."""
QUICK_SECONDS = 0.5
CREDIT = 65536
"""Bytes of payload per credit, [MS-SMB2] 3.1.5.2."""
HEADER_BYTES = 64
"""Length of a message header; the data offset of a READ answer is relative to the header, [MS-SMB2] 2.2.20."""
Beat = Callable[[], None]


class Pipe:
    """Reads or writes an open file with pipelined requests.

    The library supports this with `send=False`; its own file objects wait for each answer.
    """

    def __init__(self, file: Any, beat: Beat) -> None:
        self._open, self._beat = file.fd, beat
        self._connection = self._open.connection
        self._tree = self._open.tree_connect
        self._chunk = SMALLEST
        self._asked: deque[tuple[Any, Callable[[Any], Any], int, int, float]] = deque()

    def fetch(self, offset: int, limit: int | None, write: Write) -> None:
        """Call `write` with the content from `offset` to the end at the time of opening, or `limit` bytes of it."""
        end = self._open.end_of_file if limit is None else min(self._open.end_of_file, offset + limit)
        while True:
            while offset < end and len(self._asked) < DEPTH:
                length = self._affordable(min(self._chunk, end - offset, self._connection.max_read_size))
                if not length:
                    break
                self._send((self._open.read(offset, length, send=False)[0], self._content), offset, length)
                offset += length
            if not self._asked:
                return
            data, at, length = self._receive()
            write(data)
            while 0 < len(data) < length:  # the server returned less than requested
                at, length = at + len(data), length - len(data)
                write(data := self._open.read(at, length))

    def store(self, offset: int, read: Read) -> None:
        """Write the bytes from `read`, from `offset` on; returns when every byte is acknowledged."""
        while data := read(min(self._chunk, self._connection.max_write_size)):
            while data:
                while len(self._asked) >= DEPTH:
                    self._acknowledge()
                while not (length := self._affordable(len(data))):
                    self._acknowledge()
                content = self._connection.payload(data[:length], self._tree)
                self._send(self._open.write(content, offset, send=False), offset, length)
                offset += length
                data = data[length:]
        while self._asked:
            self._acknowledge()

    def _affordable(self, length: int) -> int:
        """The part of `length` that the server's credits allow now; 0 if an answer must be awaited first."""
        window = self._connection.sequence_window
        available = window["high"] - window["low"]
        if self._asked and available * CREDIT < length:
            return 0  # answers grant credits
        return int(min(length, max(1, available) * CREDIT))

    def _send(self, prepared: Any, offset: int, length: int) -> None:
        message, receive = prepared
        request = self._connection.send(
            message,
            sid=self._tree.session.session_id,
            tid=self._tree.tree_connect_id,
            credit_request=DEPTH * (LARGEST // CREDIT),
        )
        self._asked.append((request, receive, offset, length, time.monotonic()))

    def _receive(self) -> tuple[Any, int, int]:
        request, receive, offset, length, asked_at = self._asked.popleft()
        answer = receive(request)
        self._beat()
        if time.monotonic() - asked_at < QUICK_SECONDS:
            self._chunk = min(self._chunk * 2, LARGEST)
        return answer, offset, length

    def _content(self, request: Any) -> memoryview:
        """The data of a READ answer as a view, without the library's extra copy."""
        message = memoryview(self._connection.receive(request)["data"].get_value())
        begin, size = message[2] - HEADER_BYTES, int.from_bytes(message[4:8], "little")
        return message[begin : begin + size]

    def _acknowledge(self) -> None:
        written, _, length = self._receive()
        if written != length:
            raise OSError(f"the server wrote {written} of {length} bytes")
