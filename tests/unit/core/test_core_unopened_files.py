"""A file that could not be opened leaves an object: its finalizer has nothing to say, which Python 3.13 would print."""

import gc
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from aetherflow.core.base.durable.files import AtomicFile
from aetherflow.core.base.durable.resumable import ResumableFile
from aetherflow_builtins_reports.sources.opening import HashedFile


@pytest.mark.parametrize("cls", [AtomicFile, ResumableFile, HashedFile])
def test_an_object_without_its_file_closes(cls: type[AtomicFile | ResumableFile | HashedFile]) -> None:
    cls.__new__(cls).close()


@pytest.mark.parametrize(
    "opening",
    [AtomicFile, lambda path: ResumableFile(path, "key"), HashedFile],
    ids=["AtomicFile", "ResumableFile", "HashedFile"],
)
def test_nothing_but_the_error_is_heard(
    opening: Callable[[Path], object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", heard.append)
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"):
        opening(tmp_path / "file" / "below")
    gc.collect()
    assert heard == []
