"""Two clocks: one that only runs on, for deciding, and the wall clock, for people and for what another boot wrote."""

import contextlib
import socket
import time
from pathlib import Path


class Clock:
    """The clocks of this host, in milliseconds."""

    def __init__(self) -> None:
        self.boot = _boot()
        """Names the running kernel: monotonic times of one boot can be compared with each other, and with no other."""

    def mono_ms(self) -> int:
        """Time since an arbitrary start; nobody can set it, and it stands still while the host sleeps."""
        return time.monotonic_ns() // 1_000_000

    def wall_ms(self) -> int:
        """Milliseconds of the UTC epoch; may jump, since people and time servers set it."""
        return time.time_ns() // 1_000_000


def _boot() -> str:
    with contextlib.suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        with contextlib.suppress(OSError):  # a kernel without time namespaces
            boot += " " + str(Path("/proc/self/ns/time").readlink())
        return boot
    return f"host {socket.gethostname()}"
