"""A library that is not installed is answered with the command that brings it, at the version that is there."""

import sys
from collections.abc import Callable
from importlib.metadata import metadata, version
from pathlib import Path

import pytest

from aetherflow.core.api import StepInputError
from aetherflow_builtins_reports.sources.opening import HashedFile, unpack
from aetherflow_builtins_reports.sources.parquet import ParquetSource

REPORTS = "aetherflow-builtins-reports"


def unpack_zst(path: Path) -> None:
    with HashedFile(path) as file:
        unpack(file, path)


@pytest.mark.parametrize(
    ("module", "extra", "read"), [("pyarrow", "parquet", ParquetSource), ("zstandard", "zstandard", unpack_zst)]
)
def test_the_command_names_extra_and_version(
    module: str, extra: str, read: Callable[[Path], object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    path = tmp_path / "rows.csv.zst"
    path.touch()
    with pytest.raises(StepInputError, match="needs a library that is not installed") as caught:
        read(path)
    assert caught.value.fix == f'pip install "{REPORTS}[{extra}]=={version(REPORTS)}"'
    assert extra in (metadata(REPORTS).get_all("Provides-Extra") or ())
