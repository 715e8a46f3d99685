"""Errors about workbooks and data files."""

from pathlib import Path

from aetherflow.core.api import StepError, StepInputError, install_command


class WorkbookError(StepError, ValueError):
    """A workbook cannot be read, or cannot be filled as requested."""


class SourceError(StepError, ValueError):
    """A data file cannot be read."""


class ReportTooLargeError(StepInputError):
    """A region would get more rows than `rows_threshold`. Raised before anything is written."""

    def __init__(self, target_name: str, source_path: str, row_count: int, rows_threshold: int) -> None:
        super().__init__(
            f"target {target_name!r}: {source_path} has {row_count} rows, more than rows_threshold ({rows_threshold})",
            fix="use mode: data_sheet for large data, raise rows_threshold, or set fail_on_threshold: false",
        )
        self.target_name = target_name
        self.source_path = source_path
        self.row_count = row_count
        self.rows_threshold = rows_threshold


def missing_extra(what: str, extra: str) -> StepInputError:
    """The error for a feature whose library is not installed."""
    return StepInputError(
        f"{what} needs a library that is not installed",
        fix=install_command(extra, of="aetherflow-builtins-reports"),
    )


def full_disk(path: Path | str, error: OSError) -> StepError:
    """The error for a full disk; an existing file is unchanged."""
    return StepError(
        f"{path} was not written: {error.strerror or error}; what was there before is unchanged",
        fix="free space there, or name another place for output; temporary files stand in the job's scratch folder",
    )
