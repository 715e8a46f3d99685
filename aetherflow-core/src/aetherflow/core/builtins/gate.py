"""What steps on lists have in common: fewer than wanted is SKIPPED, a failure, or fine."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field

from aetherflow.core.api import STEP_SKIPPED, StepError, StepInputs, StepResult

OnEmpty = Literal["skip", "fail", "ok"]


class GateInputs(StepInputs):
    """How many there must be, and what happens otherwise."""

    min_count: int = Field(1, ge=0, description="Fewer than these are too few")
    on_empty: OnEmpty = Field(
        "skip",
        description="What too few mean: skip: the step is SKIPPED; fail: it fails; ok: it is SUCCESS all the same",
    )

    def judge(self, count: int, output: Mapping[str, Any], fix: str) -> StepResult:
        """The result for so many; StepError if they are too few and that is a failure. Adds `has_data`."""
        enough = count >= self.min_count
        found = {"has_data": enough, **output}
        if enough or self.on_empty == "ok":
            return StepResult(output=found)
        reason = f"count({count}) < min_count({self.min_count})"
        if self.on_empty == "fail":
            raise StepError(reason, fix=fix)
        return StepResult(STEP_SKIPPED, found, reason)
