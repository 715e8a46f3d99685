"""Keeps what a fork of a test process has to copy small: its page tables, and what the collector looks through.

What a file of tests has freed goes back to the system, before those that fork. What is left when all is collected, or
when the unit tests of a worker have imported what they need, is moved into huge pages.
"""

import ctypes
import gc
import sys
import warnings
from collections.abc import Generator
from typing import Any

import pytest

import huge_pages
from side_by_side import UNIT

TRIM: Any = getattr(ctypes.CDLL(None), "malloc_trim", None)
"""Of the C library of GNU; others have none."""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> Generator[None, object, object]:
    result = yield
    if nextitem is not None and nextitem.path != item.path:
        with warnings.catch_warnings():
            # of what a file left open in reference cycles; in a test of the next file it would name the wrong one
            warnings.simplefilter("ignore", ResourceWarning)
            gc.collect()
        _keep()
        if (arrow := sys.modules.get("pyarrow")) is not None:  # it keeps what hostile files took
            arrow.default_memory_pool().release_unused()
        if nextitem.nodeid.startswith(UNIT):
            return result  # it forks nothing: what is free is for the next file
        if TRIM is not None:
            TRIM(0)
        if item.nodeid.startswith(UNIT):
            huge_pages.collapse()
    return result


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection() -> Generator[None, object, object]:
    """Modules and tests are made and stay: collections would go through them again and again."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    _keep()
    huge_pages.collapse()


def _keep() -> None:
    """What is left stays, such as modules: the collector does not go through it again and again."""
    gc.freeze()
    gc.set_threshold(50_000, 10, 10)  # a run of a flow in this process has set what is right for itself
