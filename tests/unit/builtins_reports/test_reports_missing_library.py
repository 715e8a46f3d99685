"""A library that is not installed is answered with the command that brings it, at the version that is there."""

import sys
from collections.abc import Callable
from importlib.metadata import metadata
from pathlib import Path

import pytest

from aetherflow.core.api import StepInputError, install_command
from aetherflow_builtins_reports.sources.opening import HashedFile, unpack
from aetherflow_builtins_reports.sources.parquet import ParquetSource


def unpack_zst(path: Path) -> None:
    with HashedFile(path) as file:
        unpack(file, path)


@pytest.mark.parametrize(
    ("module", "extra", "read"), [("pyarrow", "parquet", ParquetSource), ("zstandard", "zstd", unpack_zst)]
)
def test_the_command_names_extra_and_version(
    module: str, extra: str, read: Callable[[Path], object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    path = tmp_path / "rows.csv.zst"
    path.touch()
    with pytest.raises(StepInputError, match="needs a library that is not installed") as caught:
        read(path)
    assert caught.value.fix == install_command(extra)
    assert extra in (metadata("aetherflow-core").get_all("Provides-Extra") or ())
