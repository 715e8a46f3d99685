"""The connection by which a process has looked at a store, kept for its next look, which costs less than to connect."""

import os
import time
import weakref
from collections.abc import Callable
from contextlib import suppress
from typing import Any

OFTEN, SOON_SECONDS = 8, 2.0
"""A process that has looked so many times, each so soon after the one before, goes on to look, as `runs prune` does."""


class KeptConnection:
    """One connection at most, while the process only looks, or looks often: one that writes has another, which stays.

    It is used again soon or not at all: between two hosts there may be one that has forgotten a connection without
    messages, and who waits for it calls the server unreachable. It is closed at the end of the process. In a fork it
    is left to the process before.
    """

    def __init__(self, connect: Callable[[], Any]) -> None:
        self._connect, self._process = connect, os.getpid()
        self._only_looks, self._looks, self._at = True, 0, 0.0
        self._free: list[Any] = []
        weakref.finalize(self, _close, self._free, self._process)

    def take(self, *, reading: bool) -> Any:
        """The connection that is free and was used a moment ago, or a new one."""
        is_own, is_soon = self._process == os.getpid(), time.monotonic() - self._at < SOON_SECONDS
        self._only_looks &= reading and is_own
        self._looks = self._looks + reading if is_soon else 0
        if is_own:
            if not is_soon:
                _close(self._free, self._process)
            with suppress(IndexError):  # another thread may be quicker
                return self._free.pop()
        return self._connect()

    def give_back(self, raw: Any) -> bool:
        """Take back a connection without a transaction; False if it is not needed."""
        self._at = time.monotonic()
        is_wanted = self._only_looks or (self._looks > OFTEN and self._process == os.getpid())
        if self._free or not is_wanted:
            return False
        self._free.append(raw)
        return True


def _close(free: list[Any], process: int) -> None:
    while free and process == os.getpid():
        with suppress(Exception):
            free.pop().close()
