"""Tells the service manager how a scheduler is doing: the protocol of sd_notify(3), a line per message to a socket."""

import os
import socket
from collections.abc import MutableMapping
from typing import Final

_SOCKET, _WATCHDOG = "NOTIFY_SOCKET", ("WATCHDOG_USEC", "WATCHDOG_PID")
_SHARE: Final = 3
"""So many signs of life in the time after which the service manager takes the process for hung."""


class Supervisor:
    """The service manager that has started this process and listens; without one, nothing is sent.

    The variables are taken out of the environment: what a run starts must not speak for the scheduler.
    """

    def __init__(self, env: MutableMapping[str, str] | None = None) -> None:
        env = os.environ if env is None else env
        self._address = env.pop(_SOCKET, "")
        usec, pid = (env.pop(name, "") for name in _WATCHDOG)
        hears = usec.isdigit() and pid in ("", str(os.getpid()))
        self._seconds = int(usec) / 1_000_000 / _SHARE if hears else None
        self._next = 0.0
        self._told = ""
        self._ready = False

    def stopping(self) -> None:
        """No run is started any more."""
        self._send("STOPPING=1")

    def alive(self, now: float) -> None:
        """A pass is made; after the first one it is ready. `now` in seconds of a monotonic clock."""
        if not self._ready:
            self._ready = True
            self._send("READY=1")
        if self._seconds is not None and now >= self._next:
            self._next = now + self._seconds
            self._send("WATCHDOG=1")

    def status(self, text: str) -> None:
        """What `systemctl status` shows; sent when it has changed."""
        if text != self._told:
            self._told = text
            self._send(f"STATUS={text}")

    def _send(self, line: str) -> None:
        if not self._address:
            return
        path = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as to:
                to.setblocking(False)  # a scheduler waits for nobody who does not read
                to.sendto(line.encode(), path)
        except OSError:  # a supervisor that misses it judges by its own clock
            return
