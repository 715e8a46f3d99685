"""Errors of file servers, classified by kind."""

import errno
import logging
import socket
from typing import Literal, NamedTuple

from aetherflow.core.api import RemoteFileError

Kind = Literal["missing", "exists", "denied", "lost", "stopped", "other"]
"""Those of `RemoteFileError`. `lost`: the connection failed or broke, and the outcome of the request is unknown."""

Cause = Literal["", "unreachable", "login", "protection"]
"""A cause that has more specific advice than the kind."""
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

_CLASSES: dict[type[OSError], Kind] = {
    FileNotFoundError: "missing",
    NotADirectoryError: "missing",
    FileExistsError: "exists",
    PermissionError: "denied",
}


class Fault(NamedTuple):
    """A classified error: its kind, its message on one line, and a cause with specific advice."""

    kind: Kind
    text: str
    cause: Cause = ""


class RemoteError(RemoteFileError):
    """A file operation failed on the server or on the way to it. The message starts with `resource`, if given."""

    def __init__(
        self,
        message: str,
        *,
        kind: Kind = "other",
        fix: str = "",
        resource: str = "",
        reason: str = "",
        unsent: bool = False,
    ) -> None:
        text = f"{resource}: {message}" if resource else message
        super().__init__(text, kind=kind, fix=fix, reason=reason, unsent=unsent)
        self.names_resource = bool(resource)
        self.stands_alone = self.names_resource and not reason
        """Whether the message tells all, and is no part of a larger one."""


class InterruptedTransferError(RemoteError):
    """The transfer was ended because the run is being stopped."""

    def __init__(self, message: str, *, resource: str = "") -> None:
        super().__init__(message, kind="stopped", resource=resource)


class LostError(RemoteError):
    """The connection broke during a transfer, or the server was silent for too long; a retry may succeed."""

    def __init__(self, message: str) -> None:
        super().__init__(message, kind="lost")


def kind_of_os_error(error: OSError) -> Kind:
    """The kind of an OSError, from the operating system or a library."""
    if isinstance(error, TimeoutError | ConnectionError | socket.gaierror):
        return "lost"
    if error.errno is None:  # raised by a program, such as a connector
        return next((kind for cls, kind in _CLASSES.items() if isinstance(error, cls)), "other")
    return _ERRNO.get(error.errno, "other")


def os_fault(error: OSError) -> Fault:
    """The Fault for an OSError, from the operating system or a library."""
    unreachable = isinstance(error, socket.gaierror) or error.errno in _UNREACHABLE
    return Fault(kind_of_os_error(error), one_line(error), "unreachable" if unreachable else "")


MOST_TEXT = 300
"""Characters of a library's message; some quote whatever the server has sent."""


def one_line(error: BaseException) -> str:
    """The message of an error on one line; the name of its type if it has none."""
    text = error.strerror if isinstance(error, OSError) and isinstance(error.strerror, str) else str(error)
    return shown(" ".join(text.split())[:MOST_TEXT]) or type(error).__name__


def shown(path: str) -> str:
    """An external name, safe for printing: control characters and invalid Unicode are escaped."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode() for character in path
    )


def silence(*libraries: str) -> None:
    """Keep a library's own log, tracebacks included, off stderr, unless handlers are configured for it.

    The user gets the error itself, which has the same information.
    """
    for name in libraries:
        logger = logging.getLogger(name)
        if not logger.handlers:
            logger.addHandler(logging.NullHandler())
