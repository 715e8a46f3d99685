"""Scrambled reasons: what is decided on codes is decided as before, whatever the words are."""

import runpy
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from aetherflow.core.base import said

FOLDER = Path(__file__).with_name("scrambled")
"""On PYTHONPATH it scrambles the reasons of a command, forked or started, and of what that starts."""


@pytest.fixture
def scramble() -> Iterator[Callable[[], None]]:
    """Scrambles the reasons of this process from the call on, until the end of the test."""
    plain = said._words

    def patch() -> None:
        runpy.run_path(str(FOLDER / "sitecustomize.py"))

    yield patch
    said._words = plain
