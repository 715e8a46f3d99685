"""Input fields for rows from a file, and opening that file."""

import contextlib
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeAlias

from pydantic import AfterValidator, AliasChoices, BeforeValidator, Field, model_validator

from aetherflow.core.api import Flag, PlainText, RunContext, StepInputError, StepInputs
from aetherflow_builtins_reports.cells.casting import Dtype
from aetherflow_builtins_reports.sources.delimited import DelimitedSource, Dialect, Quoting
from aetherflow_builtins_reports.sources.jsonl import JsonlSource
from aetherflow_builtins_reports.sources.opening import unpacked_suffix
from aetherflow_builtins_reports.sources.parquet import ParquetSource
from aetherflow_builtins_reports.steps.fields import Casting, Word, merge_spellings

Format: TypeAlias = Literal["csv", "tsv", "jsonl", "parquet"]
AnySource: TypeAlias = DelimitedSource | JsonlSource | ParquetSource
_BY_SUFFIX: dict[str, Format] = {
    ".csv": "csv", ".tsv": "tsv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet", ".pq": "parquet",
}  # fmt: skip
BASE_MEMORY, MEMORY_FACTOR = 224 << 20, 16
"""Bytes of memory for any Parquet file, and for each byte of its size. Usual files take 60 MiB and 2 for each byte."""
BASE_SECONDS, SECONDS_PER_MIB = 5, 2
"""CPU time for any Parquet file, and for each MiB of its size."""
_WITH_COMMA: dict[Dtype, Dtype] = {"basic": "basic comma", "float": "float comma"}
_ESCAPES = {r"\t": "\t", r"\n": "\n", r"\r\n": "\r\n", r"\r": "\r"}


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
    """The word in lower case; unknown words count as `minimal`."""
    word = value.strip().lower() if isinstance(value, str) else value
    return word if word in {"all", "none", "nonnumeric"} else "minimal"


Character = Annotated[PlainText, BeforeValidator(_unescape, json_schema_input_type=str), AfterValidator(_one_character)]
Encoding = Annotated[PlainText, AfterValidator(_known_encoding)]


class ReadingOptions(StepInputs):
    """How CSV and TSV are read."""

    encoding: Encoding | None = Field(
        None, description="Text encoding. Default utf-8, with or without a byte order mark."
    )
    delimiter: Character | None = Field(
        None, description="Character between fields. Default `,` for csv, a tab for tsv."
    )
    quotechar: Character | None = Field(None, description='Character around quoted fields. Default `"`.')
    quoting: Annotated[Quoting, BeforeValidator(_quoting, json_schema_input_type=str)] | None = Field(
        None,
        description="`minimal` (default), `all`, `none`: quotes are text, `nonnumeric`: unquoted fields are numbers.",
    )
    escapechar: Character | None = Field(None, description="Character before a special character. Default none.")
    doublequote: Flag | None = Field(None, description="Whether two quotes inside quotes are one. Default true.")
    null_value: PlainText | None = Field(
        None, description="Text of fields that become empty cells, in addition to empty fields."
    )
    decimal: Literal[".", ","] | None = Field(
        None,
        description="Decimal sign: `.` (default), or `,` for `1,5`. It is for fields that are cast to numbers; text "
        "stays as it is. `1.234,56`, with a thousands separator, isn't a number.",
    )
    linefeed: Annotated[PlainText, BeforeValidator(_unescape, json_schema_input_type=str)] | None = Field(
        None, description=r"Line end, used by `count_mode: fast` only. Default `\n`."
    )


class FileSource(ReadingOptions, Casting):
    """A file, and how it is read."""

    source_format: Annotated[Format, Word] | None = Field(
        None,
        validation_alias=AliasChoices("source_format", "format"),
        description="`csv`, `tsv`, `jsonl` or `parquet`. Default: by the suffix, else `tsv`.",
    )
    read_header: Flag = Field(
        True,
        description="Whether the first record of a CSV or TSV file holds the names. For Parquet, false ignores the "
        "file's column names in favour of `columns`.",
    )
    file: ReadingOptions | None = Field(None, description="The options for CSV and TSV may stand in this block.")

    @model_validator(mode="before")
    @classmethod
    def _source_spellings(cls, values: Any) -> Any:
        return merge_spellings(values, {"format": "source_format"})

    @model_validator(mode="after")
    def _decimal_of_text(self) -> Self:
        if self._option("decimal") is None:
            return self
        path = getattr(self, "source_path", None)
        kind = "rows_json" if path is None else self.format_of(Path(path))
        if kind not in {"csv", "tsv"}:
            raise ValueError(f"decimal: not for {kind}; leave it out, or set source_format: csv")
        return self

    @property
    def owner(self) -> str:
        return "source"

    def _option(self, key: str) -> Any:
        """The option of a CSV or TSV file; the top-level key wins over the same key in `file:`."""
        here = getattr(self, key)
        return getattr(self.file, key, None) if here is None else here

    def column_types(self, names: list[str] | None) -> tuple[list[Dtype], Dtype]:
        """The dtypes of the columns, and the dtype of further columns."""
        types, rest = super().column_types(names)
        if self._option("decimal") == ",":
            return [_WITH_COMMA.get(each, each) for each in types], _WITH_COMMA.get(rest, rest)
        return types, rest

    def format_of(self, path: Path) -> Format:
        return self.source_format or _BY_SUFFIX.get(unpacked_suffix(path), "tsv")

    def dialect(self, path: Path) -> Dialect:
        """The merged options; StepInputError if they conflict."""
        given = {key: self._option(key) for key in ReadingOptions.model_fields}
        options = {key: value for key, value in given.items() if value is not None}
        dialect = Dialect(**{"delimiter": "\t" if self.format_of(path) == "tsv" else ",", **options})
        if len({dialect.delimiter, dialect.quotechar, "\r", "\n"}) < 4:
            raise StepInputError(f"{self.owner}: delimiter and quotechar must differ, and neither may be a line end")
        return dialect

    def open(self, path: Path, ctx: RunContext, *, rows: bool = True) -> AnySource:
        """Open the file; StepInputError if it does not exist, SourceError if it cannot be read.

        A Parquet file is first read by a limited child: all of it, or without `rows` only what is known of it.
        """
        if not path.is_file():
            raise StepInputError(
                f"{self.owner}: source {path} does not exist",
                fix="a relative source_path is under the job's artifacts; an earlier step's path is "
                "{{steps.NAME.artifact_path}}",
            )
        kind = self.format_of(path)
        if kind == "parquet":
            return self._parquet(path, ctx, rows=rows)
        if kind == "jsonl":
            return JsonlSource(path, self.columns_json, self.dialect(path).encoding)
        return DelimitedSource(path, self.dialect(path), has_header=self.read_header)

    def _parquet(self, path: Path, ctx: RunContext, *, rows: bool) -> ParquetSource:
        with contextlib.ExitStack() as stack:
            steady = stack.enter_context(ctx.steady_file(path))
            size = steady.stat().st_size
            ctx.call_limited(
                "aetherflow_builtins_reports.sources.parquet:read_through",
                {"path": str(steady), "rows": rows},
                subject=str(path),
                memory_bytes=BASE_MEMORY + MEMORY_FACTOR * size,
                cpu_seconds=BASE_SECONDS + SECONDS_PER_MIB * (size >> 20),
                fix="look where the file is from; if it is sound, write it with smaller pages and row groups",
            )
            source = ParquetSource(steady, has_header=self.read_header)
            source.closing = stack.pop_all().close
        return source
