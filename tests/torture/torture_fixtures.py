"""A bench in memory for each test of the torture suites."""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import wheels

if TYPE_CHECKING:
    from torture_bench import Bench


@pytest.fixture
def bench(tmp_path: Path) -> Iterator["Bench"]:
    """An empty bench, in memory where there is such a folder."""
    with bench_in_memory(tmp_path) as made:
        yield made


@contextlib.contextmanager
def bench_in_memory(otherwise: Path) -> Iterator["Bench"]:
    """An empty bench, in memory where that can be: on a disk the fsyncs of a thousand runs take minutes."""
    from torture_bench import bench_in  # not for everybody's tests: this module is a plugin of the whole session

    memory = Path("/dev/shm")
    usable = memory.is_dir() and os.access(memory, os.W_OK)
    folder = Path(tempfile.mkdtemp(prefix="torture-", dir=memory if usable else otherwise))
    with pytest.MonkeyPatch.context() as patch, bench_in(folder) as made:
        for name in list(os.environ):
            if name.startswith("AETHERFLOW_") and not name.startswith(("AETHERFLOW_TESTS_", "AETHERFLOW_TORTURE_")):
                patch.delenv(name)
        # forks find the steps where real processes do: the origin of a step is part of its definition
        patch.syspath_prepend(made.folder / "site")
        _forget_what_is_installed()
        yield made
    _forget_what_is_installed()


def _forget_what_is_installed() -> None:
    wheels.forget()
