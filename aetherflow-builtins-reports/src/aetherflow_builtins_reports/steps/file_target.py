"""A target with rows from a file, on its own data sheet or in a region of a designed sheet."""

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from aetherflow.core.api import Flag, PlainText, ReadPath, StepInputError, parse_bool
from aetherflow_builtins_reports.sources.counting import count_rows
from aetherflow_builtins_reports.steps.fields import HeaderMode, Target, Word
from aetherflow_builtins_reports.steps.file_source import FileSource

ROWS_THRESHOLD = 50_000


class FileTarget(Target, FileSource):
    """Rows from a file, and their place."""

    mode: Annotated[Literal["data_sheet", "report_region"], Word] = Field(
        "data_sheet", description="A data sheet, which is created if it is missing, or a region of a designed sheet."
    )
    source_path: ReadPath = Field(
        min_length=1, description="The file, relative to the job's artifacts; .gz and .zst too."
    )
    header_mode: HeaderMode | None = Field(
        None,
        description="`append` or `override`: the names are written as a header; `template`: they are not. Default: "
        "`append` on a data sheet, `template` in a region.",
    )
    include_header: Flag | None = Field(
        None,
        description="Older key, which wins over both: true is `read_header: true` and `header_mode: append`, false is "
        "`read_header: false` and `header_mode: template`.",
    )
    rows_threshold: int | None = Field(
        None, ge=0, description="Maximum number of rows of a region. Default: the step's."
    )
    fail_on_threshold: Flag = Field(True, description="false: a region may have any number of rows.")
    count_mode: Annotated[Literal["fast", "csv_parse"], Word] = Field(
        "fast", description="How rows are counted for the threshold: `fast` line ends, `csv_parse` records."
    )
    data_sheet_prefix: PlainText = Field(
        "DATA_", description="Without `sheet`, a data sheet is named by this and `name`."
    )
    freeze_panes: Flag | None = Field(
        None, description="Freeze a data sheet below its header. Default: if a header is written."
    )
    autofilter: Flag = Field(True, description="Put a filter over a data sheet with a written header.")
    header_bold: Flag = Field(True, description="Make the written header of a data sheet bold.")
    clear_stale_rows: Flag = Field(
        True, description="Empty rows of a longer, older block directly below the new rows of a data sheet."
    )

    @model_validator(mode="before")
    @classmethod
    def _older_spellings(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        merged = dict(values)
        if merged.get("include_header") is not None:
            include = parse_bool(merged["include_header"])
            merged |= {"read_header": include, "header_mode": "append" if include else "template"}
        return merged

    @model_validator(mode="after")
    def _modes(self) -> Self:
        if self.mode == "data_sheet" and self.insert == "grow" and self.table is None:
            raise ValueError("insert: grow needs mode: report_region; no rows go into a data sheet")
        return self

    def check_place(self) -> None:
        """Raise ValueError unless exactly one of `anchor`, `cell` and `table` is given; a data sheet needs none."""
        if self.mode == "report_region" or (self.anchor, self.cell, self.table) != (None, None, None):
            super().check_place()

    @property
    def writes_header(self) -> bool:
        """Whether `header_mode` requests a written header."""
        return self.effective_header_mode != "template"

    @property
    def is_sheet(self) -> bool:
        """Whether the rows go to a data sheet, with its header format, filter and frozen panes."""
        return self.mode == "data_sheet" and self.table is None

    @property
    def effective_insert(self) -> str:
        """The effective `insert`; on a data sheet no rows are inserted."""
        if self.grows:
            return "grow"
        return "replace" if self.mode == "data_sheet" else self.insert or "below"

    @property
    def effective_header_mode(self) -> str:
        return self.header_mode or ("append" if self.is_sheet else "template")

    @property
    def data_sheet(self) -> str:
        """The name of the data sheet."""
        return self.sheet or f"{self.data_sheet_prefix}{self.name}"

    def count(self, path: Path) -> int:
        """Number of rows: `row_count`, or counted by `count_mode`."""
        if self.row_count is not None:
            return self.row_count
        kind = self.format_of(path)
        return count_rows(
            path, kind, self.dialect(path), fast=self.count_mode == "fast", has_header=self.read_header
        )  # fmt: skip

    def rows_to_expect(self, path: Path) -> tuple[int, str]:
        """Number of rows to make room for, and its origin for messages. Always counts records, not line ends."""
        if self.row_count is not None:
            return self.row_count, "row_count"
        kind = self.format_of(path)
        count = count_rows(path, kind, self.dialect(path), fast=False, has_header=self.read_header)
        return count, f"counting those of {path.name}"

    def guard(self, path: Path, step_threshold: int) -> None:
        """Raise StepInputError or ReportTooLargeError if the target has too many rows, before anything is written."""
        for limit in ("max_rows", "max_total_rows"):
            most = getattr(self, limit)
            if self.row_count is not None and most is not None and self.row_count > most:
                raise StepInputError(f"{self.owner}: row_count {self.row_count} exceeds {limit} ({most})")
        if self.mode != "report_region" or not self.fail_on_threshold:
            return
        threshold = step_threshold if self.rows_threshold is None else self.rows_threshold
        count = self.count(path)
        if count > threshold:
            from aetherflow.core.api import ReportTooLargeError  # imported on first access

            raise ReportTooLargeError(self.name, str(path), count, threshold)
