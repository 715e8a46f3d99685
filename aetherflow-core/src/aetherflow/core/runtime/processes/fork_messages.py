"""What the fork server, who asks it, and the processes that it forks tell each other."""

import json
import os
import socket
import struct
from collections.abc import Mapping, Sequence
from typing import NamedTuple

LENGTH = struct.Struct("=I")
"""Before each request, which is JSON; with it come stdin, stdout, stderr, and the socket for what follows."""
STARTED = struct.Struct("=ii?")
"""Process id, error number, and whether the server is no longer up to date."""
ENDED = struct.Struct("=i")
"""The exit code, or the negative number of a signal."""
DESCRIPTORS = 4


class ForkRequest(NamedTuple):
    """A program that is to be started."""

    module: str
    arguments: Sequence[str]
    folder: str
    env: Mapping[str, str]

    @property
    def place(self) -> tuple[str, Mapping[str, str]]:
        """What runs have in common that one process may execute."""
        return self.folder, self.env


ForkMessage = tuple[ForkRequest, list[int], socket.socket]


def received(by: socket.socket, size: int) -> bytes | None:
    """So many bytes; None if the other side is gone."""
    found = b""
    while len(found) < size:
        try:
            more = by.recv(size - len(found))
        except ConnectionError:
            return None
        if not more:
            return None
        found += more
    return found


def next_message(by: socket.socket) -> ForkMessage | None:
    """A request, with its streams and the channel for its result; None if the other side is gone."""
    try:
        head, descriptors, _, _ = socket.recv_fds(by, LENGTH.size, DESCRIPTORS)
    except ConnectionError:
        return None
    body = received(by, *LENGTH.unpack(head)) if len(head) == LENGTH.size else None
    if body is None:
        for descriptor in descriptors:
            os.close(descriptor)
        return None
    *streams, status = descriptors
    return ForkRequest(*json.loads(body)), streams, socket.socket(fileno=status)
