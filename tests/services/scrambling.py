"""Scrambles the texts of reasons, to test that decisions depend on the codes only."""

import runpy
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from aetherflow.core.base import said

FOLDER = Path(__file__).with_name("scrambled")
"""Folder that, on PYTHONPATH, scrambles the reasons of a command, forked or started, and of its children."""


@pytest.fixture
def scramble() -> Iterator[Callable[[], None]]:
    """A function that scrambles the reasons of this process until the end of the test."""
    plain = said._words

    def patch() -> None:
        runpy.run_path(str(FOLDER / "sitecustomize.py"))

    yield patch
    said._words = plain
