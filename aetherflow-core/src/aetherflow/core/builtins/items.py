import json
from typing import Any

from pydantic import Field, field_validator

from aetherflow.core.api import PlainValue, Step, StepOutputs, StepResult
from aetherflow.core.builtins.gate import GateInputs


class Inputs(GateInputs):
    items: list[PlainValue] = Field(description="List to count: a list, its JSON text, or text with commas")

    @field_validator("items", mode="before", json_schema_input_type=list[Any] | str)
    @classmethod
    def _read(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        text = value.strip()
        if text.startswith("["):
            try:
                return json.loads(text)
            except ValueError:
                raise ValueError("starts like a JSON list but is not valid JSON") from None
        return [item for part in text.split(",") if (item := part.strip())]


class Outputs(StepOutputs):
    has_data: bool = Field(description="True if there are at least min_count items")
    count: int = Field(description="Number of items")


class CheckItems(Step[Inputs]):
    """Gate a job on data: SKIPPED if a list has fewer items than `min_count`, FAILED with `on_empty: fail`.

    With `on_no_data: skip_job` the rest of the job is skipped too.

    Example:
        - id: has_files
          type: check_items
          inputs:
            items: "{{steps.list.rows}}"
            min_count: 1
          on_no_data: skip_job
    """

    Outputs = Outputs

    def run(self) -> StepResult:
        count = len(self.args.items)
        return self.args.judge(count, {"count": count}, "look at the step that made the list, or lower min_count")

    def plan(self) -> list[str]:
        return [f"count items: {len(self.args.items)} now, at least {self.args.min_count} wanted"]
