"""Inputs and outputs that both fill steps share, apart from their targets."""

import zoneinfo
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, AliasChoices, Field, model_validator

from aetherflow.core.api import AssetPath, Flag, PlainText, StepInputs, StepOutputs, WritePath
from aetherflow_builtins_reports.package.deflate import Compression
from aetherflow_builtins_reports.steps.fields import CellValue, JsonMap, Word, merge_spellings


def _zone(name: str) -> str:
    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"{name!r} is no time zone; write Europe/Vienna or UTC") from None
    return name


class ValueInputs(StepInputs):
    """How values become cells, and how the file is compressed."""

    timezone: Annotated[PlainText, AfterValidator(_zone)] = Field(
        "UTC", description="Times with a UTC offset are converted to this zone, because cells hold no offset."
    )
    long_numbers: Annotated[Literal["text", "number"], Word] = Field(
        "text",
        description="Numbers with more digits than Excel keeps (15 of whole numbers): as text, or rounded numbers.",
    )
    compression: Annotated[Compression, Word] = Field(
        "auto",
        description="`zlib-ng` (smaller) or `isal` (faster), which the extra fast brings, `zlib`, or "
        "`auto`: the first of these that is installed.",
    )

    @property
    def zone(self) -> zoneinfo.ZoneInfo:
        return zoneinfo.ZoneInfo(self.timezone)


def _cells(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    return {
        key: CellValue.model_validate(each) if isinstance(each, dict) else CellValue(value=each, type="string")
        for key, each in value.items()
    }


class FillInputs(ValueInputs):
    """A template, and the file that is made from it."""

    template_path: AssetPath = Field(
        min_length=1, description="The workbook to fill, relative to the flow file: .xlsx, .xlsm, .xltx or .xltm."
    )
    output: WritePath = Field(
        min_length=1,
        validation_alias=AliasChoices("output", "output_path"),
        description="The file to write, relative to the job's artifacts.",
    )
    cells: JsonMap | None = Field(
        None,
        description="Single values by defined name or cell (`Report!B2`): a plain value, or `{value, type}`.",
    )
    stored_results: Annotated[Literal["keep", "drop"], Word] = Field(
        "keep",
        description="Formula results in the template: `keep`, although they are old until a program recalculates, or "
        "`drop` on all sheets. Excel recalculates when it opens the file, LibreOffice only formulas without a result.",
    )
    stamp: Flag = Field(True, description="Add a part with the hashes of the template, the sources and the flow.")

    @model_validator(mode="before")
    @classmethod
    def _old_names(cls, values: Any) -> Any:
        return merge_spellings(values, {"output_path": "output"})

    @model_validator(mode="after")
    def _cells_are_values(self) -> "FillInputs":
        _ = self.cell_values
        return self

    @property
    def cell_values(self) -> dict[str, CellValue]:
        """`cells`, each with its type."""
        return _cells(self.cells or {})  # type: ignore[no-any-return]  # a map gives a map


class WrittenOutputs(StepOutputs):
    """The file, and what was written to it."""

    output: str = Field(description="Absolute path of the file.")
    receipt: dict[str, list[dict[str, Any]]] = Field(
        default_factory=dict, description="What was `read` and `made`, as `runs show --receipts` shows it."
    )
    written: list[dict[str, Any]] = Field(
        description="For each target: `name`, `sheet`, `rows`, `cols`, `start_cell` [row, column], the effective modes "
        "and `adjusted`: column to rule to the number of values that the rule changed."
    )
    cells: dict[str, str] = Field(description="For each of `cells`: the cell to which it was written.")
    warnings: list[str] = Field(
        description="What a person should check: parts that were left out, references that could not be adapted."
    )
