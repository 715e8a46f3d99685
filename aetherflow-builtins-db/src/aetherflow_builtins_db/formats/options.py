"""The options of delimited files as step inputs, at the top level or under `file:`."""

from itertools import pairwise
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from aetherflow.core.api import CsvFormat, CsvQuoting, Flag, PlainText, StepInputs
from aetherflow_builtins_db.columns import parse_type

_ESCAPES = {r"\t": "\t", r"\n": "\n", r"\r\n": "\r\n", r"\r": "\r"}


def _unescape(value: Any) -> Any:
    """Replace an escape of a tab or line end: templates and single-quoted YAML keep the backslash."""
    return _ESCAPES.get(value, value) if isinstance(value, str) else value


def _known_encoding(value: str) -> str:
    try:
        "".encode(value)  # codecs.lookup would also find "hex" and "zip"
    except LookupError as error:
        raise ValueError(f"encoding {value!r} is not known to Python") from error
    return value


def _one_character(value: str) -> str:
    if len(value) != 1:
        raise ValueError("must be one character")
    return value


def _linefeed(value: str) -> str:
    if value not in {"\n", "\r\n", "\r"}:
        raise ValueError(r"must be \n, \r\n or \r")
    return value


def _not_cut(value: Any) -> Any:
    """Refuse what YAML makes of `{a: decimal(12,2)}`: `a: decimal(12`, and a key `2)` without a value."""
    if isinstance(value, dict):
        for (name, kind), rest in pairwise(value.items()):
            if rest[1] is None and isinstance(kind, str) and "(" in kind and ")" not in kind:
                whole = f'{name}: "{kind},{rest[0]}"'
                raise ValueError(f"a comma within braces ends a value in YAML: quote the type, {{{whole}}}")
    return value


Character = Annotated[PlainText, BeforeValidator(_unescape, json_schema_input_type=str), AfterValidator(_one_character)]
LineEnd = Annotated[PlainText, BeforeValidator(_unescape, json_schema_input_type=str), AfterValidator(_linefeed)]
Encoding = Annotated[PlainText, AfterValidator(_known_encoding)]
DtypeName = Annotated[PlainText, AfterValidator(lambda name: str(parse_type(name)))]
"""The name of a column's type."""
ColumnTypes = Annotated[dict[str, DtypeName], BeforeValidator(_not_cut, json_schema_input_type=dict[str, DtypeName])]
"""Name of a column to the name of its type, with precision and scale; what YAML has cut at a comma is refused."""


class FileOptions(StepInputs):
    """How CSV and TSV are written; Parquet uses none of these options."""

    include_header: Flag | None = Field(None, description="Write the column names first. Default true.")
    null_value: PlainText | None = Field(
        None, description="Unquoted text for null; text that looks the same is quoted. Default: empty."
    )
    encoding: Encoding | None = Field(None, description="Text encoding. Default utf-8.")
    delimiter: Character | None = Field(
        None, description="Character between fields. Default `,` for csv, a tab for tsv."
    )
    quotechar: Character | None = Field(None, description='Character around quoted fields. Default `"`.')
    escapechar: Character | None = Field(
        None, description="Character before a special character that is not quoted. Default none."
    )
    doublequote: Flag | None = Field(None, description="Write a quote inside quotes twice. Default true.")
    quoting: CsvQuoting | None = Field(
        None,
        description="`minimal` (default) quotes where needed, `all` every value, `nonnumeric` all but numbers, "
        "`none` nothing.",
    )
    linefeed: LineEnd | None = Field(None, description=r"End of a line: `\n` (default), `\r\n` or `\r`.")

    def dialect(self, format_name: str) -> CsvFormat:
        """The options with the defaults of a format; ValueError if they contradict each other."""
        given = {key: getattr(self, key) for key in FileOptions.model_fields}
        return _dialect(format_name, {key: value for key, value in given.items() if value is not None})


class ReadingOptions(FileOptions):
    """FileOptions of a file that is read."""

    decimal: Literal[".", ","] | None = Field(
        None,
        description="Decimal sign: `.` (default), or `,` for `1,5`. It is for columns of numbers; text stays as it is. "
        "`1.234,56`, with a thousands separator, isn't a number.",
    )


class DelimitedInputs(FileOptions):
    """The options of FileOptions at the top level, and the block `file` that may hold them instead."""

    file: FileOptions | None = Field(None, description="The CSV and TSV options may stand in this block instead.")

    @model_validator(mode="after")
    def _one_dialect(self) -> Self:
        self.dialect("csv")
        return self

    def dialect(self, format_name: str) -> CsvFormat:
        """The merged options; ValueError if the top level and `file` differ, or options contradict each other."""
        given = {key: self._merged(key) for key in FileOptions.model_fields}
        return _dialect(format_name, {key: value for key, value in given.items() if value is not None})

    def _merged(self, key: str) -> Any:
        here, there = getattr(self, key), getattr(self.file, key, None)
        if here is not None and there is not None and here != there:
            raise ValueError(f"{key} and file.{key} are both given and differ")
        return there if here is None else here


class DelimitedReadingInputs(DelimitedInputs, ReadingOptions):
    """DelimitedInputs of a file that is read."""

    file: ReadingOptions | None = Field(None, description="The CSV and TSV options may stand in this block instead.")

    @model_validator(mode="after")
    def _one_decimal(self) -> Self:
        self._merged("decimal")
        return self

    @property
    def has_commas(self) -> bool:
        """Whether the decimal sign is a comma."""
        return bool(self._merged("decimal") == ",")


def _dialect(format_name: str, options: dict[str, Any]) -> CsvFormat:
    dialect = CsvFormat(**{"delimiter": "\t" if format_name == "tsv" else ",", **options})
    _check(dialect)
    return dialect


def _check(dialect: CsvFormat) -> None:
    special = [dialect.delimiter, dialect.quotechar, dialect.escapechar or ""]
    if len(set(special)) < len(special) or set(special) & {"\r", "\n"}:
        raise ValueError("delimiter, quotechar and escapechar must differ, and none may be a line end")
    if any(sign and sign in dialect.null_value for sign in [*special, "\r", "\n"]):
        raise ValueError("null_value may hold no delimiter, quotechar, escapechar or line end")
    if not dialect.doublequote and dialect.escapechar is None and dialect.quoting != "none":
        raise ValueError("doublequote: false needs an escapechar, or a quote in a value cannot be written")
