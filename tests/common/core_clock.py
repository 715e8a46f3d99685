"""A wall clock that is ahead, for commands that run in the process of the test."""

import contextlib
import time
from collections.abc import Iterator
from typing import Any

import pytest

from aetherflow.core.base.durable import database
from aetherflow.core.kernel.state import records

HOUR_NS = 3_600_000_000_000


class _Ahead:
    """The module `time` with a wall clock that is ahead."""

    def __init__(self, hours: float) -> None:
        self._ns = int(hours * HOUR_NS)

    def time_ns(self) -> int:
        return time.time_ns() + self._ns

    def __getattr__(self, name: str) -> Any:
        return getattr(time, name)


@contextlib.contextmanager
def ahead(monkeypatch: pytest.MonkeyPatch, hours: float = 2) -> Iterator[None]:
    with monkeypatch.context() as patch:
        for module in (records, database):
            patch.setattr(module, "time", _Ahead(hours))
        yield
