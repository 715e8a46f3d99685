"""Errors about workbooks and data files."""

from pathlib import Path, PurePath
from typing import Any

from aetherflow.core.api import StepError, StepInputError, install_command


class WorkbookError(StepError, ValueError):
    """A workbook cannot be read, or cannot be filled as requested."""


class SourceError(StepError, ValueError):
    """A data file cannot be read."""


def parquet_library(path: Any, file_format: Any, suffixes: tuple[str, ...] = (".parquet", ".pq")) -> dict[str, str]:
    """What `Step.libraries` says of a file: raw inputs, of which the format wins."""
    named = isinstance(path, str) and PurePath(path).suffix.lower() in suffixes
    needed = file_format == "parquet" if file_format else named
    return {"pyarrow": install_command("parquet")} if needed else {}


def missing_extra(what: str, extra: str) -> StepInputError:
    """The error for a feature whose library is not installed."""
    from aetherflow.core.api import ParquetSupportMissing  # imported on first access

    kind = ParquetSupportMissing if extra == "parquet" else StepInputError
    return kind(f"{what} needs a library that is not installed", fix=install_command(extra))


def full_disk(path: Path | str, error: OSError) -> StepError:
    """The error for a full disk; an existing file is unchanged."""
    return StepError(
        f"{path} was not written: {error.strerror or error}; what was there before is unchanged",
        fix="free space there, or name another place for output; temporary files stand in the job's scratch folder",
    )
