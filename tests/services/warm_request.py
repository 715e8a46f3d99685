"""Requests to the warm interpreter. Imports little, because `warm_shim` imports it in a fresh interpreter."""

import os
import pickle
import signal
import socket
import struct
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

EXECUTABLE = "AETHERFLOW_TESTS_EXECUTABLE"
"""Environment variable with what a forked command takes for `sys.executable`, and so starts; its children have none."""
LENGTH = struct.Struct("=Q")
APART = ("unshare", "--uts", "--mount")
"""The only use of `unshare` that a fork can do itself: another host name, and other files at some paths."""
DESCRIPTORS = 3
"""Of each request: stdin, stdout, stderr."""


class NotWarmError(ValueError):
    """A fork cannot replace the start of this process."""


class Request(NamedTuple):
    """A process to be created, with the attributes that it would inherit at a true start."""

    argv: Sequence[str]
    """The interpreter, then `-m MODULE` or `-P -m MODULE`, `-c CODE` or a file, then arguments."""
    env: Mapping[bytes, bytes]
    cwd: str
    umask: int
    session: bool
    """Whether it leads a new session."""
    group: int
    """Its process group: -1 that of the server, 0 a new one."""
    tied: bool
    """Whether it is killed when the connection breaks."""
    ignored: Sequence[int]
    """Signals that are ignored."""
    blocked: Sequence[int]
    """Signals that are blocked."""
    closed: Sequence[int] = ()
    """Which of the descriptors 0, 1 and 2 are closed."""
    apart: Sequence[str] = ()
    """The program after APART that runs in its namespaces before it does; none if it stays in those of the server."""


def inherited_signals() -> dict[str, list[int]]:
    """The ignored and blocked signals that a child of this process would inherit."""
    ignored = [int(number) for number in signal.valid_signals() if signal.getsignal(number) == signal.SIG_IGN]
    return {"ignored": ignored, "blocked": [int(number) for number in signal.pthread_sigmask(signal.SIG_BLOCK, ())]}


def inherited_umask() -> int:
    """The umask of this process."""
    try:
        with open("/proc/self/status", "rb") as status:  # noqa: PTH123 pathlib takes longer to import than all of this
            return int(status.read().partition(b"Umask:")[2].split()[0], 8)
    except OSError:  # without /proc, the umask can only be read by setting it
        os.umask(found := os.umask(0o077))
        return found


def ask(path: str, request: Request, descriptors: Sequence[int]) -> tuple[int, socket.socket]:
    """Start a process; returns its pid and the connection that will deliver its wait status. Raises the server's error.

    EOFError or ConnectionError if the server is gone.
    """
    nothing = os.open(os.devnull, os.O_RDWR)
    connection = socket.socket(socket.AF_UNIX)
    try:
        closed = [number for number, descriptor in enumerate(descriptors) if not is_open(descriptor)]
        passed = [nothing if number in closed else descriptor for number, descriptor in enumerate(descriptors)]
        connection.connect(path)
        socket.send_fds(connection, [b"\0"], passed)
        send(connection, tuple(request._replace(closed=closed)))
        answer = receive(connection)
        if isinstance(answer, Exception):
            raise answer
    except BaseException:
        connection.close()
        raise
    finally:
        os.close(nothing)
    return answer, connection


def is_open(descriptor: int) -> bool:
    """Whether a descriptor is open."""
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


def send(to: socket.socket, what: object) -> None:
    data = pickle.dumps(what)
    to.sendall(LENGTH.pack(len(data)) + data)


def receive(of: socket.socket) -> Any:
    """Receive an object; EOFError if the other side is gone."""
    return pickle.loads(_read(of, *LENGTH.unpack(_read(of, LENGTH.size))))


def _read(of: socket.socket, length: int) -> bytes:
    data = bytearray()
    while len(data) < length:
        if not (piece := of.recv(length - len(data))):
            raise EOFError
        data += piece
    return bytes(data)
