"""A bench in memory for each test of the torture suites."""

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
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator["Bench"]:
    """An empty bench, in memory where there is such a folder: on a disk the fsyncs of a thousand runs take minutes."""
    from torture_bench import bench_in  # not for everybody's tests: this module is a plugin of the whole session

    for name in list(os.environ):
        if name.startswith("AETHERFLOW_") and "TORTURE" not in name:
            monkeypatch.delenv(name)
    memory = Path("/dev/shm")
    usable = memory.is_dir() and os.access(memory, os.W_OK)
    with bench_in(Path(tempfile.mkdtemp(prefix="torture-", dir=memory if usable else tmp_path))) as made:
        # forks find the steps where real processes do: the origin of a step is part of its definition
        monkeypatch.syspath_prepend(made.folder / "site")
        _forget_what_is_installed()
        yield made
    monkeypatch.undo()
    _forget_what_is_installed()


def _forget_what_is_installed() -> None:
    wheels.forget()
