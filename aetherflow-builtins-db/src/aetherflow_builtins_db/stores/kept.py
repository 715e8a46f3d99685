"""The connection by which a process has looked at a store, kept for its next look, which costs less than to connect."""

import os
import weakref
from collections.abc import Callable
from contextlib import suppress
from typing import Any

OFTEN = 8
"""So many looks show that a process goes on to look, as `runs prune` does at each flow."""


class KeptConnection:
    """One connection at most, of a process that only looks, or looks often: one that writes has another, which stays.

    It is closed at the end of the process. In a fork it is left to the process before.
    """

    def __init__(self, connect: Callable[[], Any]) -> None:
        self._connect, self._process = connect, os.getpid()
        self._only_looks, self._looks = True, 0
        self._free: list[Any] = []
        weakref.finalize(self, _close, self._free, self._process)

    def take(self, *, reading: bool) -> Any:
        """The connection that is free, or a new one."""
        self._only_looks &= reading and self._process == os.getpid()
        self._looks += reading
        if self._process == os.getpid():
            with suppress(IndexError):  # another thread may be quicker
                return self._free.pop()
        return self._connect()

    def give_back(self, raw: Any) -> bool:
        """Take back a connection without a transaction; False if it is not needed."""
        if self._free or not (self._only_looks or (self._looks > OFTEN and self._process == os.getpid())):
            return False
        self._free.append(raw)
        return True


def _close(free: list[Any], process: int) -> None:
    if process == os.getpid():
        for raw in free:
            with suppress(Exception):
                raw.close()
