"""paramiko's SFTP client, fed and read in larger pieces, and bursts: many requests sent before the first answer."""

import struct
from collections.abc import Callable
from typing import Any

from paramiko import SFTPClient, SFTPError

PIECE = 32_000
"""Bytes for one packet; OpenSSH takes no larger ones."""
READ_AHEAD = 1 << 18
"""Bytes to take from the channel at once, if so many are there."""
LARGEST_ANSWER = 1 << 24

Answer = tuple[int, bytes]
"""The kind of an answer, and what it says."""


class Client(SFTPClient):
    """The library's client takes each answer from the channel in two parts, under three locks each; here one look
    takes all the answers that are there, which is what small requests cost most.
    """

    def __init__(self, sock: Any) -> None:
        self._came, self._at = b"", 0
        super().__init__(sock)

    def _read_all(self, n: int) -> bytes:
        begin, end = self._at, self._at + n
        if end <= len(self._came):
            self._at = end
            return self._came[begin:end]
        parts, missing = [self._came[begin:]], end - len(self._came)
        self._came, self._at = b"", 0
        while missing > 0:
            came: bytes = self.sock.recv(max(missing, READ_AHEAD))
            if not came:
                raise EOFError
            if len(came) > missing:
                self._came, self._at = came, missing
                came = came[:missing]
            parts.append(came)
            missing -= len(came)
        return b"".join(parts)

    def _read_packet(self) -> Answer:
        size, kind = struct.unpack(">IB", self._read_all(5))
        if not 0 < size < LARGEST_ANSWER:
            raise SFTPError("Garbage packet received")
        return kind, self._read_all(size - 1)

    def _write_all(self, out: bytes) -> None:
        rest = memoryview(out)
        while rest:
            sent = self.sock.send(bytes(rest[:PIECE]))
            if sent <= 0:
                raise EOFError
            rest = rest[sent:]


class Burst:
    """Requests that go out together. The server works on them one after the other, without waiting for us."""

    def __init__(self, client: Client) -> None:
        self._client: Any = client
        self._out = bytearray()
        self._open: set[int] = set()

    def ask(self, kind: int, *fields: bytes) -> int:
        """Add a request of fields in the protocol's form; the number under which its answer comes."""
        number: int = self._client.request_number
        self._client.request_number = number + 1
        body = b"".join(fields)
        self._out += struct.pack(">IBI", len(body) + 5, kind, number)
        self._out += body
        self._open.add(number)
        return number

    def answers(self, beat: Callable[[], None]) -> dict[int, Answer]:
        """Send them, and wait for every answer; `beat` is called whenever something has moved."""
        for begin in range(0, len(self._out), PIECE):
            self._client._write_all(self._out[begin : begin + PIECE])
            beat()
        self._out = bytearray()
        found: dict[int, Answer] = {}
        while self._open:
            kind, body = self._client._read_packet()
            beat()
            number = int.from_bytes(body[:4], "big")
            if number in self._open:  # else it answers a request of earlier work that was broken off
                self._open.remove(number)
                found[number] = kind, body[4:]
        return found


def text(value: bytes) -> bytes:
    """Text, a handle or content as a field."""
    return len(value).to_bytes(4, "big") + value
