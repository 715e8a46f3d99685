"""Ends a run in which a test hangs, with the stack of every thread; `-o hang_seconds=...` says when.

pytest's own `faulthandler_timeout` starts a thread for each test, and waits for its end: for most unit tests, of a
millisecond, that is a quarter of their time.
"""

import faulthandler
import time
from collections.abc import Generator

import pytest
from _pytest.faulthandler import fault_handler_stderr_fd_key

from side_by_side import UNIT

EVERY_SECONDS = 10.0
"""How long one thread watches the unit tests of a file: the limit of each of them is shorter by this at most."""


class Watch:
    """Since when a thread watches: 0.0 if none does."""

    since = 0.0


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addini("hang_seconds", "a test that takes longer ends the run", default="600")


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> Generator[None, object, object]:
    if not Watch.since or time.monotonic() - Watch.since > EVERY_SECONDS:
        limit = float(item.config.getini("hang_seconds"))
        # it takes the place of the one before
        faulthandler.dump_traceback_later(limit, file=item.config.stash[fault_handler_stderr_fd_key], exit=True)
        Watch.since = time.monotonic()
    try:
        return (yield)
    finally:
        if nextitem is None or nextitem.path != item.path or not item.nodeid.startswith(UNIT):
            _end()  # a worker may wait for the next test, and does not hang


def _end() -> None:
    faulthandler.cancel_dump_traceback_later()
    Watch.since = 0.0


@pytest.hookimpl(tryfirst=True)
def pytest_exception_interact() -> None:
    _end()  # as pytest's own does, for a debugger may follow


@pytest.hookimpl(tryfirst=True)
def pytest_enter_pdb() -> None:
    _end()
