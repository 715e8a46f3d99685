"""All uses of paramiko's private names: an SFTP client with larger reads and writes, and with pipelined requests.

Why: `SFTPFile` checks the acknowledgements of pipelined writes only in part, so that a full disk goes unnoticed; its
prefetch runs in a thread whose errors appear on stderr; `listdir` decodes names strictly, so that one odd name hides a
whole folder; and most errors of the protocol have no errno. Without these names, `SFTPFile.read` and `write` would
remain, which wait for each answer: slower, and without the corrections. Tried with paramiko 3.5 to 5.1.
"""

import contextlib
import errno
import struct
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

from paramiko import Message, SFTPAttributes, SFTPClient, SFTPError, SSHException
from paramiko.buffered_pipe import BufferedPipe
from paramiko.packet import Packetizer
from paramiko.sftp import int64

# Packet types and statuses of the protocol, draft-ietf-secsh-filexfer-02; the library does not export them.
OPENDIR, READDIR, CLOSE, READ, WRITE = 11, 12, 4, 5, 6
DATA, STATUS, UNSUPPORTED = 103, 101, 8

PIECE = 32_000
"""Maximum number of bytes in one packet; OpenSSH accepts no larger ones."""
READ_AHEAD = 1 << 18
"""Bytes to receive from the channel at once, if available."""
SMALL_PIECE = 4096
LARGEST_ANSWER = 1 << 20
"""Bytes of one answer; OpenSSH sends at most a quarter of it."""
LARGEST_PACKET = 1 << 19
"""Bytes of one SSH packet; the client asks for at most half of it."""
LONGEST_GREETING = 8192
MOST_NAMES = 1_000_000
"""Names in one folder; a listing is held in memory."""

Answer = tuple[int, bytes]
"""The packet type of an answer, and its content."""


class Packets(Packetizer):
    """paramiko's reader of packets, with limits on what a server may claim: it would read 4 GiB into memory."""

    def read_all(self, n: int, check_rekey: bool = False) -> bytes:
        """Read `n` bytes. SSHException if no packet is that long, EOFError at the end."""
        if n > LARGEST_PACKET:
            raise SSHException(f"the server announces a packet of {n:,} bytes")
        return super().read_all(n, check_rekey)

    def readline(self, timeout: float) -> str:
        """A line of the greeting. `SshLogin` limits its time, and closes the connection."""
        del timeout  # paramiko's is for each byte
        line = b""
        while not line.endswith(b"\n"):
            if len(line) > LONGEST_GREETING:
                raise SSHException("the server's greeting does not end")
            line += super().read_all(1)
        return line.rstrip(b"\r\n").decode("utf-8", "replace")


class Pieces(BufferedPipe):  # type: ignore[type-arg]  # generic in the stubs alone
    """What a channel has received, kept as it came: paramiko's own copies it, and moves the rest at each read.

    What a read asks for counts pieces, not bytes, so it gets all that is there.
    """

    def __init__(self) -> None:
        super().__init__()
        self._buffer: Any = []

    def _buffer_frombytes(self, data: bytes) -> None:
        pieces = self._buffer
        if data and pieces and len(pieces[-1]) < SMALL_PIECE:  # a server that drips does not fill the memory
            pieces[-1] += data
        elif data:
            pieces.append(data)

    def _buffer_tobytes(self, limit: int | None = None) -> bytes:
        return b"".join(self._buffer[:limit])


class Receiver(ABC):
    """Receives the answers to `Client.ask_read` and `ask_write`; paramiko holds it by a weak reference."""

    @abstractmethod
    def take(self, kind: int, message: Message, number: int) -> None:
        """Called from `Client.wait` with an answer's packet type and content, and the number of its request."""

    def _async_response(self, kind: int, message: Message, number: int) -> None:
        self.take(kind, message, number)


class Client(SFTPClient):
    """An SFTP client that receives all available answers at once.

    paramiko's own client receives each answer in two parts with three locks each, which dominates small requests.
    """

    def __init__(self, sock: Any) -> None:
        self._came, self._at = b"", 0
        self._library: Any = self  # the same object, for what the type stubs do not know
        sock.in_buffer = Pieces()  # before anything comes: the server does not speak first
        super().__init__(sock)

    def folder(self, path: str) -> list[tuple[str, SFTPAttributes]]:
        """Names in a folder, including `.` and `..`, with attributes; bytes that are no UTF-8 become surrogates."""
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
                    message.get_string()  # longname, a line for display
                    attributes: Any = SFTPAttributes
                    found.append((name, attributes._from_msg(message)))
                    if len(found) > MOST_NAMES:
                        raise SFTPError(f"more than {MOST_NAMES:,} names in one folder")
        finally:
            with contextlib.suppress(OSError):
                library._request(CLOSE, handle)

    def ask_read(self, receiver: Receiver, handle: bytes, offset: int, length: int) -> int:
        """Request a piece of an open file; return the number with which the answer is passed to `receiver`."""
        number: int = self._library._async_request(receiver, READ, handle, int64(offset), length)
        return number

    def ask_write(self, receiver: Receiver, handle: bytes, offset: int, data: bytes) -> None:
        """Send a piece of an open file; its acknowledgement is passed to `receiver`."""
        self._library._async_request(receiver, WRITE, handle, int64(offset), data)

    def wait(self) -> None:
        """Wait for one answer and pass it to its receiver."""
        self._library._read_response()

    def check(self, status: Message) -> None:
        """Raise the error of a status: EOFError at the end of a file, OSError for a refusal."""
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
                if error.errno is None and not isinstance(error, TimeoutError):  # paramiko's error for a closed channel
                    raise EOFError from error
                raise
            if sent <= 0:
                raise EOFError
            rest = rest[sent:]


class Burst:
    """Requests that are sent together; the server processes them without waiting for the client."""

    def __init__(self, client: Client) -> None:
        self._client: Any = client
        self._out = bytearray()
        self._open: set[int] = set()

    def ask(self, kind: int, *fields: bytes) -> int:
        """Add a request with encoded fields; return its number, the key of its answer."""
        number: int = self._client.request_number
        self._client.request_number = number + 1
        body = b"".join(fields)
        self._out += struct.pack(">IBI", len(body) + 5, kind, number)
        self._out += body
        self._open.add(number)
        return number

    def answers(self, beat: Callable[[], None]) -> dict[int, Answer]:
        """Send the requests and wait for all answers; `beat` is called at every progress."""
        for begin in range(0, len(self._out), PIECE):
            self._client._write_all(self._out[begin : begin + PIECE])
            beat()
        self._out = bytearray()
        found: dict[int, Answer] = {}
        while self._open:
            kind, body = self._client._read_packet()
            beat()
            number = int.from_bytes(body[:4], "big")
            if number in self._open:  # otherwise it answers a request of earlier, aborted work
                self._open.remove(number)
                found[number] = kind, body[4:]
        return found


def text(value: bytes) -> bytes:
    """A string field of the protocol: length and bytes."""
    return len(value).to_bytes(4, "big") + value
