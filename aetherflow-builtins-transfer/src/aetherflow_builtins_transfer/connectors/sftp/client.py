"""All that we need of paramiko's private parts: its SFTP client, fed and read in larger pieces, with requests and
answers of our own, and bursts of them.

Why: `SFTPFile` acknowledges what it writes ahead only in part, so that a full disk goes unnoticed; its read-ahead runs
in a thread whose errors appear on stderr; `listdir` decodes names strictly, so that one odd name hides a whole folder;
and errors of the protocol but two have no code. Without these parts: `SFTPFile.read` and `write`, which wait for each
answer, and one file at a time; slower, and without the other mends. Tried with paramiko 3.5 to 5.1.
"""

import contextlib
import errno
import struct
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

from paramiko import Message, SFTPAttributes, SFTPClient, SFTPError
from paramiko.sftp import int64

# Numbers of the protocol, draft-ietf-secsh-filexfer-02; the library does not export them.
OPENDIR, READDIR, CLOSE, READ, WRITE = 11, 12, 4, 5, 6
DATA, STATUS, UNSUPPORTED = 103, 101, 8

PIECE = 32_000
"""Bytes for one packet; OpenSSH takes no larger ones."""
READ_AHEAD = 1 << 18
"""Bytes to take from the channel at once, if so many are there."""
LARGEST_ANSWER = 1 << 24

Answer = tuple[int, bytes]
"""The kind of an answer, and what it says."""


class Receiver(ABC):
    """Takes the answers to requests that were sent by `Client.ask`; the library holds it by a weak reference."""

    @abstractmethod
    def take(self, kind: int, message: Message, number: int) -> None:
        """Called from `Client.wait` with the kind of an answer, what it says, and the number of its request."""

    def _async_response(self, kind: int, message: Message, number: int) -> None:
        self.take(kind, message, number)


class Client(SFTPClient):
    """The library's client takes each answer from the channel in two parts, under three locks each; here one look
    takes all the answers that are there, which is what small requests cost most.
    """

    def __init__(self, sock: Any) -> None:
        self._came, self._at = b"", 0
        self._library: Any = self  # the same object, for what the type stubs do not know
        super().__init__(sock)

    def folder(self, path: str) -> list[tuple[str, SFTPAttributes]]:
        """Names in a folder, `.` and `..` too, with their attributes; bytes that are no UTF-8 as surrogates."""
        found: list[tuple[str, SFTPAttributes]] = []
        library: Any = self._library
        _, message = library._request(OPENDIR, path.encode())
        handle = message.get_binary()
        try:
            while True:
                try:
                    _, message = library._request(READDIR, handle)
                except EOFError:
                    return found
                for _ in range(message.get_int()):
                    name = message.get_string().decode("utf-8", "surrogateescape")
                    message.get_string()  # a line for people
                    attributes: Any = SFTPAttributes
                    found.append((name, attributes._from_msg(message)))
        finally:
            with contextlib.suppress(OSError):
                library._request(CLOSE, handle)

    def ask_read(self, receiver: Receiver, handle: bytes, offset: int, length: int) -> int:
        """Ask for a piece of an open file; the number under which the answer is given to `receiver`."""
        number: int = self._library._async_request(receiver, READ, handle, int64(offset), length)
        return number

    def ask_write(self, receiver: Receiver, handle: bytes, offset: int, data: bytes) -> None:
        """Send a piece of an open file."""
        self._library._async_request(receiver, WRITE, handle, int64(offset), data)

    def wait(self) -> None:
        """Wait for one answer, and give it to its receiver."""
        self._library._read_response()

    def check(self, status: Message) -> None:
        """Raise what a status says: EOFError at the end of a file, OSError for a refusal."""
        self._convert_status(status)

    def _convert_status(self, message: Message) -> None:
        if int.from_bytes(message.get_remainder()[:4], "big") == UNSUPPORTED:
            message.get_int()
            raise OSError(errno.EOPNOTSUPP, message.get_text())
        library: Any = super()
        library._convert_status(message)

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
            try:
                sent = self.sock.send(bytes(rest[:PIECE]))
            except OSError as error:
                if error.errno is None and not isinstance(error, TimeoutError):  # so the library says that it is closed
                    raise EOFError from error
                raise
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
