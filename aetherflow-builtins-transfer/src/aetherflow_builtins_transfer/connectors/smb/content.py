"""The content of files over SMB, several requests under way at once: one side works while the other does."""

import time
from collections import deque
from collections.abc import Callable
from typing import Any

from aetherflow_builtins_transfer.connectors.files.session import Read, Write

DEPTH = 4
"""Requests under way; more gain nothing on a fast line, and on a slow one each has to be answered in time."""
SMALLEST, LARGEST = 256 << 10, 4 << 20
"""Bytes of one request: few at first, so that a slow line answers in time, more as long as answers come at once."""
QUICK_SECONDS = 0.5
CREDIT = 65536
"""Bytes that one credit pays for, [MS-SMB2] 3.1.5.2."""
HEADER_BYTES = 64
"""Of a message; the place of the content in the answer to a read counts from its beginning, [MS-SMB2] 2.2.20."""
Beat = Callable[[], None]


class Pipe:
    """Reads or writes an open file by requests that are sent before the answers to earlier ones are there.

    The library offers this by `send=False`; its own file objects wait for each answer.
    """

    def __init__(self, file: Any, beat: Beat) -> None:
        self._open, self._beat = file.fd, beat
        self._connection = self._open.connection
        self._tree = self._open.tree_connect
        self._chunk = SMALLEST
        self._asked: deque[tuple[Any, Callable[[Any], Any], int, int, float]] = deque()

    def fetch(self, offset: int, limit: int | None, write: Write) -> None:
        """Hand on the content from `offset` to the end, as it was when the file was opened, or `limit` bytes of it."""
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
            while 0 < len(data) < length:  # the server gave less than it was asked for
                at, length = at + len(data), length - len(data)
                write(data := self._open.read(at, length))

    def store(self, offset: int, read: Read) -> None:
        """Write what `read` gives, from `offset` on, until every byte is acknowledged."""
        while data := read(min(self._chunk, self._connection.max_write_size)):
            while data:
                while len(self._asked) >= DEPTH:
                    self._acknowledge()
                while not (length := self._affordable(len(data))):
                    self._acknowledge()
                self._send(self._open.write(data[:length], offset, send=False), offset, length)
                offset += length
                data = data[length:]
        while self._asked:
            self._acknowledge()

    def _affordable(self, length: int) -> int:
        """As much of `length` as the server's credits allow now; 0 if an answer has to be waited for."""
        window = self._connection.sequence_window
        available = window["high"] - window["low"]
        if self._asked and available * CREDIT < length:
            return 0  # answers bring credits
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
        """What a read brought, where it is: the library would copy it once more."""
        message = memoryview(self._connection.receive(request)["data"].get_value())
        begin, size = message[2] - HEADER_BYTES, int.from_bytes(message[4:8], "little")
        return message[begin : begin + size]

    def _acknowledge(self) -> None:
        written, _, length = self._receive()
        if written != length:
            raise OSError(f"the server wrote {written} of {length} bytes")
