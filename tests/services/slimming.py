"""Gives memory back to the system after each file of tests: a fork copies the page tables of all that a process has."""

import ctypes
import gc
import sys
import warnings
from collections.abc import Generator
from typing import Any

import pytest

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
        gc.freeze()  # what is left stays, such as modules: the next file does not look through it again
        if (arrow := sys.modules.get("pyarrow")) is not None:  # it keeps what hostile files took
            arrow.default_memory_pool().release_unused()
        if TRIM is not None:
            TRIM(0)
    return result
