"""How a file of rows is written down, as inputs of a step."""

from collections.abc import Mapping
from pathlib import PurePath
from typing import Annotated, Any, Literal, Self, TypeAlias

from pydantic import Field, model_validator

from aetherflow.core.api import PlainText, StepInputError, install_command
from aetherflow_builtins_db.formats.options import FileOptions, ReadingOptions
from aetherflow_builtins_db.formats.parquet import libraries_for
from aetherflow_builtins_db.formats.sink import Packing
from aetherflow_builtins_db.loading.source import format_of, packing_of

TableFormat: TypeAlias = Literal["csv", "tsv", "jsonl", "parquet", "xlsx", "fixed"]
_WORKBOOKS = frozenset({".xlsx", ".xlsm", ".xlsb", ".xls", ".ods"})
_DELIMITED = frozenset({"csv", "tsv"})
_ENCODED = _DELIMITED | {"fixed"}
_TELL_FORMAT = "set the format of that file, under read or write: csv, tsv, jsonl, parquet, xlsx or fixed"
EXCEL = "aetherflow_builtins_reports"
"""What has the steps for workbooks."""


class FileForm(ReadingOptions):
    """How a file of rows is written down. The options of CSV and TSV are those of `db_load` and `db_extract`."""

    format: TableFormat | None = Field(
        None,
        description="`csv`, `tsv`, `jsonl`, `parquet`, `xlsx` or `fixed`, lines of fixed width. Default: by the "
        "file's suffix; `fixed` if there are `widths`.",
    )
    compression: Literal["none", "gzip", "zstd"] | None = Field(
        None,
        description="`none`, `gzip` or `zstd`. Default: by a last suffix `.gz` or `.zst`; for Parquet, whose columns "
        "are compressed, `zstd`.",
    )
    widths: dict[str, Annotated[int, Field(ge=1)]] | None = Field(
        None, description="For `fixed`: each column, in the order of the line, and its width in characters."
    )
    sheet: PlainText | None = Field(
        None, min_length=1, description="For `xlsx`: the sheet. Default: the first one; a new one is named `Data`."
    )
    on_error: Literal["null", "text", "fail"] | None = Field(
        None,
        description="For `xlsx` that is read: what error cells such as `#DIV/0!` become, as in `excel_read`. Default: "
        "`null`, with a warning.",
    )

    @model_validator(mode="after")
    def _possible(self) -> Self:
        self.dialect("csv")
        if self.format == "fixed" and not self.widths:
            raise ValueError("format fixed needs widths: {column: characters}")
        if self.widths is not None and self.format not in {None, "fixed"}:
            raise ValueError("widths are for format fixed")
        return self

    def kind_of(self, path: str) -> TableFormat:
        """The format of that file; StepInputError if its suffix tells none."""
        if self.format is not None:
            return self.format
        if self.widths:
            return "fixed"
        if is_workbook(path):
            return "xlsx"
        return format_of(path, _TELL_FORMAT)

    def packing_of(self, path: str) -> Packing:
        """The compression around the whole file."""
        if self.kind_of(path) in {"parquet", "xlsx"}:
            return "none"
        return self.compression or packing_of(path)


def is_workbook(path: str) -> bool:
    """Whether the suffix is that of a workbook."""
    return PurePath(path).suffix.lower() in _WORKBOOKS


def unfitting(form: FileForm, kind: TableFormat, name: str) -> str | None:
    """What is wrong with the options of a file of that format; `name` is that of the input."""
    given = form.model_fields_set - {"format"}
    reading = name != "write"
    delimited = frozenset((ReadingOptions if reading else FileOptions).model_fields) | {"compression"}
    fitting = {
        "csv": delimited,
        "tsv": delimited,
        "jsonl": frozenset({"encoding", "compression"}),
        "parquet": frozenset({"compression"}),
        "xlsx": frozenset({"sheet", "include_header"} | ({"on_error"} if reading else set())),
        "fixed": frozenset({"encoding", "linefeed", "compression", "widths"} | ({"decimal"} if reading else set())),
    }[kind]
    strange = sorted(given - fitting)
    return f"{name}: {', '.join(strange)}: not for {kind}" if strange else None


def refuse_unfitting(form: FileForm, path: str, name: str) -> TableFormat:
    """The format of a file; StepInputError for options that mean nothing for it."""
    kind = form.kind_of(path)
    if found := unfitting(form, kind, name):
        raise StepInputError(found, fix="leave them out, or set format")
    return kind


def needed_libraries(inputs: Mapping[str, Any], path: str, form: str) -> dict[str, str]:
    """What `Step.libraries` says of the raw inputs `path` and `form`."""
    given, file = inputs.get(form), inputs.get(path)
    options = given if isinstance(given, Mapping) else {}
    told = {key: options.get(key) for key in ("format", "compression")}
    is_book = told["format"] == "xlsx" or (not told["format"] and isinstance(file, str) and is_workbook(file))
    found = libraries_for(told, file, (".zst", ".zstd"))
    return found | ({EXCEL: install_command("excel")} if is_book else {})
