"""Requests to the warm interpreter.

Imports only what is built in, because `warm_shim` imports it in a fresh interpreter: `signal`, `socket`, `pickle` and
`typing` take two thirds of the time of its process.
"""

import _signal  # type: ignore[import-not-found]
import _socket
import marshal
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

EXECUTABLE = "AETHERFLOW_TESTS_EXECUTABLE"
"""Environment variable with what a forked command takes for `sys.executable`, and so starts; its children have none."""
FAILPOINT = "AETHERFLOW_TESTS_FAILPOINT"
"""Environment variable that arms the failpoints of a forked command, not of its children; the product reads none."""
LENGTH = 8
"""Bytes of the length before each object."""
APART = ("unshare", "--uts", "--mount")
"""The only use of `unshare` that a fork can do itself: another host name, and other files at some paths."""
UNPRIVILEGED = (
    "setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-dac_override,-dac_read_search",
)  # fmt: skip
"""The only use of `setpriv` that a fork can do itself: permissions of files hold for root, too."""
DESCRIPTORS = 3
"""Of each request: stdin, stdout, stderr."""


class NotWarmError(ValueError):
    """A fork cannot replace the start of this process."""


class Request:
    """A process to be created, with the attributes that it would inherit at a true start."""

    def __init__(
        self, argv: "Sequence[str]", env: "Mapping[bytes, bytes]", cwd: str, umask: int, *, session: bool, group: int,
        tied: bool, ignored: "Sequence[int]", blocked: "Sequence[int]", closed: "Sequence[int]" = (),
        apart: "Sequence[str]" = (), unprivileged: bool = False,
    ) -> None:  # fmt: skip
        self.argv = argv
        """The interpreter, then `-m MODULE` or `-P -m MODULE`, `-c CODE` or a file, then arguments."""
        self.env = env
        self.cwd = cwd
        self.umask = umask
        self.session = session
        """Whether it leads a new session."""
        self.group = group
        """Its process group: -1 that of the server, 0 a new one."""
        self.tied = tied
        """Whether it is killed when the connection breaks."""
        self.ignored = ignored
        """Signals that are ignored."""
        self.blocked = blocked
        """Signals that are blocked."""
        self.closed = closed
        """Which of the descriptors 0, 1 and 2 are closed."""
        self.apart = apart
        """The program after APART that runs in its namespaces before it does; none: it stays in those of the server."""
        self.unprivileged = unprivileged
        """Whether it drops what UNPRIVILEGED drops."""


def inherited_signals() -> dict[str, list[int]]:
    """The ignored and blocked signals that a child of this process would inherit."""
    ignored = [number for number in _signal.valid_signals() if _signal.getsignal(number) == _signal.SIG_IGN]
    return {"ignored": ignored, "blocked": list(_signal.pthread_sigmask(_signal.SIG_BLOCK, ()))}


def inherited_umask() -> int:
    """The umask of this process."""
    try:
        with open("/proc/self/status", "rb") as status:  # noqa: PTH123 pathlib takes longer to import than all of this
            return int(status.read().partition(b"Umask:")[2].split()[0], 8)
    except OSError:  # without /proc, the umask can only be read by setting it
        os.umask(found := os.umask(0o077))
        return found


def ask(path: str, request: Request, descriptors: "Sequence[int]") -> tuple[int, _socket.socket]:
    """Start a process; returns its pid and the connection that will deliver its wait status. Raises the server's error.

    EOFError or ConnectionError if the server is gone.
    """
    nothing = os.open(os.devnull, os.O_RDWR)
    connection = _socket.socket(_socket.AF_UNIX)
    try:
        closed = [number for number, descriptor in enumerate(descriptors) if not is_open(descriptor)]
        passed = [nothing if number in closed else descriptor for number, descriptor in enumerate(descriptors)]
        connection.connect(path)
        rights = b"".join(number.to_bytes(4, sys.byteorder) for number in passed)
        connection.sendmsg([b"\0"], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, rights)])
        send(connection, vars(request) | {"closed": closed})
        answer = receive(connection)
        if isinstance(answer, bytes):
            import pickle

            raise pickle.loads(answer)
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


def send(to: _socket.socket, what: "Any") -> None:
    """Send an object that `marshal` knows."""
    data = marshal.dumps(what)
    to.sendall(len(data).to_bytes(LENGTH, sys.byteorder) + data)


def receive(of: _socket.socket) -> "Any":
    """Receive an object; EOFError if the other side is gone."""
    return marshal.loads(_read(of, int.from_bytes(_read(of, LENGTH), sys.byteorder)))


def _read(of: _socket.socket, length: int) -> bytes:
    data = bytearray()
    while len(data) < length:
        if not (piece := of.recv(length - len(data))):
            raise EOFError
        data += piece
    return bytes(data)
