"""Errors of steps over data that programs catch by name. They have the code of the error that they extend."""

from aetherflow.core.base.errors import StepInputError


class ReportTooLargeError(StepInputError):
    """A region of a report would get more rows than `rows_threshold`. Raised before anything is written."""

    def __init__(self, target_name: str, source_path: str, row_count: int, rows_threshold: int) -> None:
        super().__init__(
            f"target {target_name!r}: {source_path} has {row_count} rows, more than rows_threshold ({rows_threshold})",
            fix="use mode: data_sheet for large data, raise rows_threshold, or set fail_on_threshold: false",
        )
        self.target_name = target_name
        self.source_path = source_path
        self.row_count = row_count
        self.rows_threshold = rows_threshold


class ParquetSupportMissing(StepInputError):  # noqa: N818 its documented name
    """Parquet is to be read or written, and pyarrow is not installed."""
