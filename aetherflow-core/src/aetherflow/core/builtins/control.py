"""The steps `assert`, `fail` and `sleep`."""

import time
from typing import Any, Literal

from pydantic import Field

from aetherflow.core.api import STEP_SKIPPED, PlainText, Step, StepError, StepInputs, StepOutputs, StepResult
from aetherflow.core.builtins.file_find import pause


class AssertInputs(StepInputs):
    condition: PlainText = Field(
        min_length=1,
        description="Expression in the grammar of `when`, without braces; it may also read `steps`",
    )
    message: PlainText | None = Field(None, description="What to say if it is not true; default: the condition")
    on_false: Literal["fail", "skip"] = Field("fail", description="fail: the step fails; skip: it is SKIPPED")


class AssertOutputs(StepOutputs):
    holds: bool = Field(description="Whether the condition is true")


class Assert(Step[AssertInputs]):
    """Fail, or be SKIPPED, unless a condition is true.

    With `on_false: skip` and `on_no_data: skip_job` the rest of the job is skipped.

    Example:
        - id: enough
          type: assert
          inputs:
            condition: run.attempt >= 1
            message: "run {{run_id}} cannot go on"
    """

    Outputs = AssertOutputs
    conditions = frozenset({"condition"})

    def run(self) -> StepResult:
        if self.ctx.holds(self.args.condition):
            return StepResult(output={"holds": True})
        message = self.args.message or f"not true: {self.args.condition}"
        if self.args.on_false == "skip":
            return StepResult(STEP_SKIPPED, {"holds": False}, message)
        raise StepError(message, fix=f"the condition was: {self.args.condition}" if self.args.message else "")

    def plan(self) -> list[str]:
        return [f"{self.args.on_false} unless {self.args.condition}"]


class FailInputs(StepInputs):
    message: PlainText = Field(min_length=1, description="What to say")
    fix: PlainText = Field("", description="What the reader should do about it")


class Fail(Step[FailInputs]):
    """Fail, always: the end of a job that only runs when something is wrong.

    Example:
        - id: stop
          type: fail
          inputs:
            message: "no export for {{run.date.iso}}"
            fix: ask the sender
    """

    def run(self) -> StepResult:
        raise StepError(self.args.message, fix=self.args.fix)

    def plan(self) -> list[str]:
        return [f"fail: {self.args.message}"]


class SleepInputs(StepInputs):
    seconds: float = Field(ge=0, description="How long")


class SleepOutputs(StepOutputs):
    seconds: float = Field(description="How long it was")


class Sleep(Step[SleepInputs]):
    """Wait for a fixed time; a stop of the run ends the wait at once.

    Example:
        - id: breathe
          type: sleep
          inputs: {seconds: 0.1}
    """

    Outputs = SleepOutputs

    def run(self) -> dict[str, Any]:
        started = time.monotonic()
        while (left := started + self.args.seconds - time.monotonic()) > 0:
            self.ctx.progress(self.args.seconds - left, self.args.seconds, "s")
            pause(self.ctx, min(left, 1.0))
        return {"seconds": self.args.seconds}

    def plan(self) -> list[str]:
        return [f"wait {self.args.seconds:g} s"]
