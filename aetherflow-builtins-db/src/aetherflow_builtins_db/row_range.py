"""How many rows a step may change."""

from typing import Self

from pydantic import Field, model_validator

from aetherflow.core.api import StepInputs


class RowRange(StepInputs):
    """A range of row counts."""

    min: int | None = Field(None, ge=0, description="At least so many.")
    max: int | None = Field(None, ge=0, description="At most so many.")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError("min is above max")
        return self

    def __str__(self) -> str:
        low = self.min or 0
        return f"{low} or more" if self.max is None else f"{low} to {self.max}"

    def holds(self, rows: int) -> bool:
        """Whether the number is within."""
        return (self.min or 0) <= rows and (self.max is None or rows <= self.max)


def is_met(expected: int | RowRange | None, rows: int) -> bool:
    """Whether the number is the expected one."""
    if expected is None:
        return True
    return expected.holds(rows) if isinstance(expected, RowRange) else rows == expected
