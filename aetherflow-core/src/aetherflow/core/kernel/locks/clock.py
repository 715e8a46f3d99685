"""Two clocks: the monotonic one, for decisions; the wall clock, for display and for times written in another boot."""

import contextlib
import time
from pathlib import Path

from aetherflow.core.base.actor import hostname


class Clock:
    """The clocks of this host, in milliseconds."""

    def __init__(self) -> None:
        self.boot = _boot()
        """Id of this boot of the host: monotonic times are comparable only within one boot."""

    def mono_ms(self) -> int:
        """Milliseconds since an arbitrary start; cannot be set, and stops while the host is suspended."""
        return time.monotonic_ns() // 1_000_000

    def wall_ms(self) -> int:
        """Milliseconds since the UTC epoch; may jump, since people and time servers set it."""
        return time.time_ns() // 1_000_000


def _boot() -> str:
    with contextlib.suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        with contextlib.suppress(OSError):  # a kernel without time namespaces
            boot += " " + str(Path("/proc/self/ns/time").readlink())
        return boot
    return f"host {hostname()}"
