"""Input fields that the Excel steps share: old key names, words in any case, JSON text for lists and maps."""

import json
from typing import Annotated, Any, Literal, Self

from pydantic import AliasChoices, BeforeValidator, Field, model_validator

from aetherflow.core.api import Flag, PlainText, PlainValue, StepInputs
from aetherflow_builtins_reports.cells.casting import Dtype, Formula

_NOT_OF_TABLES = ("anchor_is_marker", "template_has_header", "style_row_offset")
_DTYPES: dict[str, Dtype] = {
    "string": "string", "int": "int", "float": "float", "bool": "bool", "date": "date", "datetime": "datetime",
}  # fmt: skip


def _json(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError as error:
        raise ValueError(f"is text that is no JSON: {error}") from None


def _optional_json(value: Any) -> Any:
    return None if isinstance(value, str) and not value.strip() else _json(value)


def _word(value: Any) -> Any:
    return value.strip().lower() if isinstance(value, str) else value


def _whole(value: Any) -> Any:
    """The width as int; None, as if it were not given, for anything that is no number."""
    if isinstance(value, bool):
        return None
    try:
        return int(value)
    except (TypeError, ValueError):
        return None


Word = BeforeValidator(_word, json_schema_input_type=str)
"""Annotation for a Literal: accepts its words in any case, with blanks around them."""
NullWord = BeforeValidator(lambda value: "null" if value is None else _word(value), json_schema_input_type=str | None)
"""The same; YAML's null is the word `null`."""
JsonNames = Annotated[list[PlainText], BeforeValidator(_optional_json, json_schema_input_type=list[str] | str)]
JsonMap = Annotated[dict[str, PlainValue], BeforeValidator(_optional_json, json_schema_input_type=dict[str, Any] | str)]
JsonRows = Annotated[list[PlainValue], BeforeValidator(_optional_json, json_schema_input_type=list[Any] | str)]
FreeWidth = Annotated[int | None, BeforeValidator(_whole, json_schema_input_type=int | str)]
Insert = Annotated[Literal["replace", "below", "grow"], Word]
HeaderMode = Annotated[Literal["template", "override", "append"], Word]


def merge_spellings(values: Any, pairs: dict[str, str]) -> Any:
    """Rename old keys to new ones; ValueError if both are given and differ."""
    if not isinstance(values, dict):
        return values
    merged = dict(values)
    for old, new in pairs.items():
        if old in merged:
            value = merged.pop(old)
            if new in merged and merged[new] != value:
                raise ValueError(f"{old} and {new} are both given and differ")
            merged[new] = value
    return merged


class Casting(StepInputs):
    """Columns, and how their text is cast to values."""

    columns_json: JsonNames | None = Field(
        None, validation_alias=AliasChoices("columns_json", "columns"), description="Names of the columns."
    )
    type_cast: Annotated[Literal["none", "basic", "schema"], Word] | None = Field(
        None,
        description="How text is cast: `none`, `basic` (by its form), `schema` (by `dtypes`). Default: `schema` with "
        "`dtypes`, else `none`.",
    )
    dtypes: JsonMap | None = Field(
        None, description="Column to string, int, float, bool, date or datetime; other names count as string."
    )
    dtypes_json: JsonMap | None = Field(None, description="The same, as an earlier step emits it.")

    @model_validator(mode="before")
    @classmethod
    def _spellings(cls, values: Any) -> Any:
        return merge_spellings(values, {"columns": "columns_json"})

    @property
    def cast(self) -> Literal["none", "basic", "schema"]:
        """`type_cast`, or its default."""
        return self.type_cast or ("schema" if self.wanted_types else "none")

    @property
    def wanted_types(self) -> dict[str, Any]:
        """`dtypes`, or else `dtypes_json`; empty without both."""
        return self.dtypes or self.dtypes_json or {}

    def column_types(self, names: list[str] | None) -> tuple[list[Dtype], Dtype]:
        """The dtypes of the columns, and the dtype of further columns."""
        if self.cast == "basic":
            return [], "basic"
        if self.cast == "none" or not names:
            return [], "none"
        wanted = self.wanted_types
        return [_DTYPES.get(str(wanted.get(name, "string")).strip().lower(), "string") for name in names], "string"


class Target(Casting):
    """One block of rows and its place."""

    name: PlainText = Field("target", min_length=1, description="Name in messages and in the result.")
    sheet: PlainText | None = Field(
        None, description="Sheet of `cell: A1`, or the only one on which `anchor` is searched."
    )
    anchor: PlainText | None = Field(
        None, description="A defined name, a cell, or the whole text of a cell, in any case."
    )
    cell: PlainText | None = Field(None, description="`A1` with `sheet`, or `Sheet!A1`.")
    insert: Insert | None = Field(
        None,
        description="`replace` overwrites cells. `below` inserts rows and moves existing rows down. `grow`: the style "
        "row becomes the first row, the others are inserted below it, and totals and charts are extended.",
    )
    table: PlainText | None = Field(
        None,
        description="Instead of `anchor` and `cell`: a table of the template, which is filled and resized to the rows.",
    )
    anchor_is_marker: Flag | None = Field(
        None, description="Whether the anchor is a cell above the header. Default: true for texts, false for names."
    )
    template_has_header: Flag | None = Field(
        None, description="Whether the template has a header there. Default: true if the anchor is a marker."
    )
    header_style: Annotated[Literal["template", "style_row"], Word] = Field(
        "template", description="`style_row`: a written header gets the formats of the style row."
    )
    header_clear: Flag = Field(True, description="Empty the row of the header before it is written.")
    header_clear_width: FreeWidth = Field(
        None, description="Number of cells to empty. Default: the width of the header."
    )
    anchor_clear: Flag = Field(False, description="Empty the anchor.")
    anchor_clear_mode: Annotated[Literal["cell", "row"], Word] = Field(
        "cell", description="`row`: `anchor_clear_width` cells from the anchor to the right."
    )
    anchor_clear_width: FreeWidth = Field(1, description="Cells that `anchor_clear_mode: row` empties.")
    style_mode: Annotated[Literal["none", "copy_row"], Word] | None = Field(
        None,
        description="`copy_row`: the rows get the formats of the template's style row. Default: `none`; with `grow` "
        "and `table` `copy_row`.",
    )
    style_row_offset: int | None = Field(
        None,
        description="The style row, counted from the marker or from the block's first row. Default 2; with "
        "`insert: grow` and `table` it is the first row of data.",
    )
    style_apply: Annotated[Literal["data", "header", "both"], Word] = Field(
        "data", description="Which rows get the formats of the style row."
    )
    clear_style_row: Flag = Field(False, description="Empty the values of the style row if no data cover it.")
    row_count: int | None = Field(None, ge=0, description="Number of rows, if known; otherwise the rows are counted.")
    max_rows: int | None = Field(None, ge=0, description="Maximum number of data rows; more are an error.")
    max_total_rows: int | None = Field(None, ge=0, description="Maximum number of rows, header included.")
    max_cols: int | None = Field(None, ge=0, description="Maximum number of columns.")

    @model_validator(mode="after")
    def _shape(self) -> Self:
        self.check_place()
        if self.table is not None:
            self._check_table()
        if self.header_style == "style_row" and (not self.copies_style or self.style_apply == "data"):
            raise ValueError("header_style: style_row needs style_mode: copy_row and style_apply: header or both")
        return self

    def check_place(self) -> None:
        """Raise ValueError unless exactly one of `anchor`, `cell` and `table` is given."""
        if sum(each is not None for each in (self.anchor, self.cell, self.table)) != 1:
            raise ValueError("give one of anchor and cell, or a table")

    def _check_table(self) -> None:
        if self.insert not in {None, "grow"}:
            raise ValueError(f"a table makes room for its rows; leave insert: {self.insert} out")
        told = [key for key in _NOT_OF_TABLES if getattr(self, key) is not None]
        if told:
            raise ValueError(f"{', '.join(told)}: the table says that; leave it out")
        if self.writes_header:
            raise ValueError("a table keeps its header; leave header_mode out")

    @property
    def grows(self) -> bool:
        """Whether the template has the first row of data and the other rows are inserted below it."""
        return self.insert == "grow" or self.table is not None

    @property
    def copies_style(self) -> bool:
        return self.grows if self.style_mode is None else self.style_mode == "copy_row"

    @property
    def effective_insert(self) -> str:
        return "grow" if self.grows else self.insert or "replace"

    @property
    def writes_header(self) -> bool:
        """Whether `header_mode` requests a written header."""
        return False

    @property
    def owner(self) -> str:
        return f"target {self.name!r}"


class CellValue(StepInputs):
    """A single value with its type."""

    value: Any = Field(description="The value.")
    type: Annotated[Literal["basic", "string", "int", "float", "bool", "date", "datetime", "formula"], Word] = Field(
        "string", description="Type to which text is cast. `formula`: the text is a formula, without `=`."
    )

    @property
    def content(self) -> Any:
        return Formula(str(self.value).removeprefix("=")) if self.type == "formula" else self.value

    @property
    def dtype(self) -> Dtype:
        return "none" if self.type == "formula" else self.type
