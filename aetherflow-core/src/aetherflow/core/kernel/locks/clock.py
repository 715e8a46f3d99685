"""Two clocks: the monotonic one, for decisions; the wall clock, for display and for times written in another boot."""

import time
from collections.abc import Callable

from aetherflow.core.base.actor import boot_id


class Clock:
    """The clocks of this host, in milliseconds."""

    def __init__(self, shared: Callable[[], int] | None = None) -> None:
        """`shared` is the wall clock of a server, which all hosts that use it have in common."""
        self._shared = shared
        self.boot = boot_id()
        """Id of this boot of the host: monotonic times are comparable only within one boot."""

    def mono_ms(self) -> int:
        """Milliseconds since an arbitrary start; cannot be set, and stops while the host is suspended."""
        return time.monotonic_ns() // 1_000_000

    def wall_ms(self) -> int:
        """Milliseconds since the UTC epoch; may jump, since people and time servers set it."""
        return time.time_ns() // 1_000_000 if self._shared is None else self._shared()
