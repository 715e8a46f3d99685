"""A target whose rows stand in a file: its keys, its dialect, its source."""

from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeAlias

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from aetherflow.core.api import Flag, StepInputError, StepInputs
from aetherflow_builtins_reports.errors import ReportTooLargeError
from aetherflow_builtins_reports.sources.counting import count_rows
from aetherflow_builtins_reports.sources.delimited import DelimitedSource, Dialect, Quoting
from aetherflow_builtins_reports.sources.jsonl import JsonlSource
from aetherflow_builtins_reports.sources.opening import unpacked_suffix
from aetherflow_builtins_reports.sources.parquet import ParquetSource
from aetherflow_builtins_reports.steps.fields import NOT_YET, HeaderMode, Target, Word

Format: TypeAlias = Literal["csv", "tsv", "jsonl", "parquet"]
AnySource: TypeAlias = DelimitedSource | JsonlSource | ParquetSource
_BY_SUFFIX: dict[str, Format] = {
    ".csv": "csv", ".tsv": "tsv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet", ".pq": "parquet",
}  # fmt: skip
_ESCAPES = {r"\t": "\t", r"\n": "\n", r"\r\n": "\r\n", r"\r": "\r"}
ROWS_THRESHOLD = 50_000


def _unescape(value: Any) -> Any:
    return _ESCAPES.get(value, value) if isinstance(value, str) else value


def _one_character(value: str) -> str:
    if len(value) != 1:
        raise ValueError("must be one character")
    return value


def _known_encoding(value: str) -> str:
    try:
        "".encode(value)
    except LookupError as error:
        raise ValueError(f"encoding {value!r} is not known to Python") from error
    return value


def _quoting(value: Any) -> Any:
    """Another word counts as minimal."""
    word = value.strip().lower() if isinstance(value, str) else value
    return word if word in {"all", "none", "nonnumeric"} else "minimal"


Character = Annotated[str, BeforeValidator(_unescape, json_schema_input_type=str), AfterValidator(_one_character)]
Encoding = Annotated[str, AfterValidator(_known_encoding)]


class ReadingOptions(StepInputs):
    """How CSV and TSV are read."""

    encoding: Encoding | None = Field(None, description="Text encoding. Default utf-8, with or without a mark.")
    delimiter: Character | None = Field(None, description="Between fields. Default `,` for csv, a tab for tsv.")
    quotechar: Character | None = Field(None, description='Around fields. Default `"`.')
    quoting: Annotated[Quoting, BeforeValidator(_quoting, json_schema_input_type=str)] | None = Field(
        None, description="`minimal` (default), `all`, `none`: quotes are text, `nonnumeric`: bare fields are numbers."
    )
    escapechar: Character | None = Field(None, description="Before a special character. Default none.")
    doublequote: Flag | None = Field(None, description="Whether two quotes inside quotes are one. Default true.")
    null_value: str | None = Field(None, description="A field that reads so is an empty cell, as an empty field is.")
    linefeed: Annotated[str, BeforeValidator(_unescape, json_schema_input_type=str)] | None = Field(
        None, description=r"End of a line, for `count_mode: fast` alone. Default `\n`."
    )


class FileTarget(Target, ReadingOptions):
    """Rows in a file, and their place."""

    mode: Annotated[Literal["data_sheet", "report_region"], Word] = Field(
        "data_sheet", description="A sheet of data, which is created if need be, or a region of a designed sheet."
    )
    source_path: str = Field(min_length=1, description="The file, relative to the job's artifacts; .gz and .zst too.")
    source_format: Annotated[Format, Word] | None = Field(
        None, description="`csv`, `tsv`, `jsonl` or `parquet`. Default: by the suffix, else `tsv`."
    )
    read_header: Flag = Field(True, description="Whether the first record of a CSV or TSV file holds the names.")
    header_mode: HeaderMode | None = Field(
        None,
        description="`append` or `override`: the names are written as a header; `template`: they are not. Default: "
        "`append` on a data sheet, `template` in a region.",
    )
    file: ReadingOptions | None = Field(None, description="The options for CSV and TSV may stand in this block.")
    rows_threshold: int | None = Field(None, ge=0, description="Most rows of a region. Default: the step's.")
    fail_on_threshold: Flag = Field(True, description="false: a region may have any number of rows.")
    count_mode: Annotated[Literal["fast", "csv_parse"], Word] = Field(
        "fast", description="How rows are counted for the threshold: line ends, or records."
    )
    data_sheet_prefix: str = Field("DATA_", description="Name of a data sheet without `sheet`: this and `name`.")
    freeze_panes: Flag | None = Field(
        None, description="Freeze a data sheet below its header. Default: if a header is written."
    )
    autofilter: Flag = Field(True, description="Put a filter over a data sheet with a written header.")
    header_bold: Flag = Field(True, description="Make the written header of a data sheet bold.")
    clear_stale_rows: Flag = Field(
        True, description="Empty rows of a longer, older block that follow directly below a data sheet's."
    )

    @model_validator(mode="before")
    @classmethod
    def _older_spellings(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        merged = dict(values)
        if "format" in merged:
            given = merged.pop("format")
            if merged.setdefault("source_format", given) != given:
                raise ValueError("format and source_format are both given and differ")
        if "include_header" in merged:
            from aetherflow.core.api import parse_bool

            include = parse_bool(merged.pop("include_header"))
            merged |= {"read_header": include, "header_mode": "append" if include else "template"}
        return merged

    @model_validator(mode="after")
    def _modes(self) -> Self:
        if self.mode == "report_region" and self.insert in {None, "below"}:
            what = "insert: below" if self.insert else "insert: below, the default of report_region,"
            raise ValueError(f"{what} {NOT_YET}")
        return self

    def check_place(self) -> None:
        """ValueError unless one of `anchor` and `cell` is given; a data sheet needs none."""
        if self.mode == "report_region" or self.anchor is not None or self.cell is not None:
            super().check_place()

    @property
    def effective_header_mode(self) -> str:
        """`header_mode` as it counts."""
        return self.header_mode or ("append" if self.mode == "data_sheet" else "template")

    @property
    def data_sheet(self) -> str:
        """Name of the data sheet."""
        return self.sheet or f"{self.data_sheet_prefix}{self.name}"

    def format_of(self, path: Path) -> Format:
        """The format that counts."""
        return self.source_format or _BY_SUFFIX.get(unpacked_suffix(path), "tsv")

    def dialect(self, path: Path) -> Dialect:
        """The options put together; the top-level key wins over that in `file:`."""
        options: dict[str, Any] = {}
        for key in ReadingOptions.model_fields:
            here, there = getattr(self, key), getattr(self.file, key, None)
            value = there if here is None else here
            if value is not None:
                options[key] = value
        dialect = Dialect(**{"delimiter": "\t" if self.format_of(path) == "tsv" else ",", **options})
        if len({dialect.delimiter, dialect.quotechar, "\r", "\n"}) < 4:
            raise StepInputError(f"{self.owner}: delimiter and quotechar must differ, and neither may be a line end")
        return dialect

    def open(self, path: Path) -> AnySource:
        """The source; StepInputError if there is no such file."""
        if not path.is_file():
            raise StepInputError(
                f"{self.owner}: source {path} does not exist",
                fix="a relative source_path is under the job's artifacts; an earlier step's path is "
                "{{steps.NAME.artifact_path}}",
            )
        kind = self.format_of(path)
        if kind == "parquet":
            return ParquetSource(path)
        if kind == "jsonl":
            return JsonlSource(path, self.columns_json, self.dialect(path).encoding)
        return DelimitedSource(path, self.dialect(path), has_header=self.read_header)

    def count(self, path: Path) -> int:
        """Number of rows, as `count_mode` and `row_count` say."""
        if self.row_count is not None:
            return self.row_count
        kind = self.format_of(path)
        return count_rows(
            path, kind, self.dialect(path), fast=self.count_mode == "fast", has_header=self.read_header
        )  # fmt: skip

    def guard(self, path: Path, step_threshold: int) -> None:
        """Raise for more rows than the target may have, before anything is written."""
        for limit in ("max_rows", "max_total_rows"):
            most = getattr(self, limit)
            if self.row_count is not None and most is not None and self.row_count > most:
                raise StepInputError(f"{self.owner}: row_count {self.row_count} exceeds {limit} ({most})")
        if self.mode != "report_region" or not self.fail_on_threshold:
            return
        threshold = step_threshold if self.rows_threshold is None else self.rows_threshold
        count = self.count(path)
        if count > threshold:
            raise ReportTooLargeError(self.name, str(path), count, threshold)
