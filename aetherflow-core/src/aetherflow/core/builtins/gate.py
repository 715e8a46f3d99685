"""The common part of steps with lists: too few items mean SKIPPED, a failure, or SUCCESS."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field

from aetherflow.core.api import STEP_SKIPPED, StepError, StepInputs, StepResult

OnEmpty = Literal["skip", "fail", "ok"]


class GateInputs(StepInputs):
    """The fewest items, and what happens with fewer."""

    min_count: int = Field(1, ge=0, description="Fewest items that are enough")
    on_empty: OnEmpty = Field(
        "skip",
        description="With fewer than `min_count`: skip: the step is SKIPPED; fail: it fails; ok: it is SUCCESS",
    )

    def judge(self, count: int, output: Mapping[str, Any], fix: str) -> StepResult:
        """The result for `count` items, with `has_data` added to `output`; StepError if too few are a failure."""
        enough = count >= self.min_count
        found = {"has_data": enough, **output}
        if enough or self.on_empty == "ok":
            return StepResult(output=found)
        reason = f"count({count}) < min_count({self.min_count})"
        if self.on_empty == "fail":
            raise StepError(reason, fix=fix)
        return StepResult(STEP_SKIPPED, found, reason)
