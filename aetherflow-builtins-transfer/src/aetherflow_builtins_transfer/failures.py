"""Failures of a peer that holds files, in kinds that steps can tell apart."""

import errno
import logging
import socket
from typing import Literal, NamedTuple

from aetherflow.core.api import ConnectorError

Kind = Literal["missing", "exists", "denied", "lost", "other"]
"""`lost`: the connection could not be made or broke; whether the peer did what it was asked is unknown."""

Cause = Literal["", "unreachable", "login", "protection"]
"""What advice can be more exact about than the kind is."""
_UNREACHABLE = frozenset({errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH})
_ERRNO: dict[int, Kind] = {
    errno.ENOENT: "missing",
    errno.ENOTDIR: "missing",
    errno.EEXIST: "exists",
    errno.EACCES: "denied",
    errno.EPERM: "denied",
    errno.ECONNRESET: "lost",
    errno.ECONNABORTED: "lost",
    errno.ECONNREFUSED: "lost",
    errno.EPIPE: "lost",
    errno.ETIMEDOUT: "lost",
    errno.EHOSTUNREACH: "lost",
    errno.ENETUNREACH: "lost",
    errno.ENOTCONN: "lost",
    errno.EBADF: "lost",
}


class Fault(NamedTuple):
    """What an error of a library means: its kind, its message in one line, and a cause that has advice of its own."""

    kind: Kind
    text: str
    cause: Cause = ""


class RemoteError(ConnectorError):
    """A file operation failed at the peer, or on the way to it. `resource`, if given, opens the message."""

    def __init__(self, message: str, *, kind: Kind = "other", fix: str = "", resource: str = "") -> None:
        super().__init__(f"{resource}: {message}" if resource else message, fix=fix)
        self.kind = kind
        self.names_resource = bool(resource)


class InterruptedTransferError(RemoteError):
    """The run is being stopped, and with it this transfer."""


class LostError(RemoteError):
    """The connection broke in the middle of a transfer, or nothing came for too long; what is to be tried again."""

    def __init__(self, message: str) -> None:
        super().__init__(message, kind="lost")


def kind_of_os_error(error: OSError) -> Kind:
    """The kind of an operating system's error, or of one that a library dresses as such."""
    if isinstance(error, TimeoutError | ConnectionError | EOFError | socket.gaierror):
        return "lost"
    return _ERRNO.get(error.errno or 0, "other")


def os_fault(error: OSError) -> Fault:
    """An operating system's error, or one that a library dresses as such."""
    unreachable = isinstance(error, socket.gaierror) or error.errno in _UNREACHABLE
    return Fault(kind_of_os_error(error), one_line(error), "unreachable" if unreachable else "")


def one_line(error: BaseException) -> str:
    """The message of an error on one line; its type where it has none."""
    text = error.strerror if isinstance(error, OSError) and isinstance(error.strerror, str) else str(error)
    return shown(" ".join(text.split())) or type(error).__name__


def shown(path: str) -> str:
    """A name from elsewhere as it may be printed: control characters and broken Unicode escaped."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode() for character in path
    )


def silence(*libraries: str) -> None:
    """Keep a library's own log, tracebacks included, off stderr unless somebody has set up logging for it.

    What is wrong is told by the error that reaches the user, once.
    """
    for name in libraries:
        logger = logging.getLogger(name)
        if not logger.handlers:
            logger.addHandler(logging.NullHandler())
