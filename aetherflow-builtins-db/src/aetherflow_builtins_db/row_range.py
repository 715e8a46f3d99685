"""Expected numbers of rows, as step inputs."""

from typing import Self

from pydantic import Field, model_validator

from aetherflow.core.api import StepInputs


class RowRange(StepInputs):
    """A range of row counts."""

    min: int | None = Field(None, ge=0, description="Minimum number.")
    max: int | None = Field(None, ge=0, description="Maximum number.")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError("min is above max")
        return self

    def __str__(self) -> str:
        low = self.min or 0
        return f"{low} or more" if self.max is None else f"{low} to {self.max}"

    def holds(self, rows: int) -> bool:
        """Whether `rows` is in the range; both ends are included."""
        return (self.min or 0) <= rows and (self.max is None or rows <= self.max)


def is_met(expected: int | RowRange | None, rows: int) -> bool:
    """Whether `rows` is the expected number or in the expected range; None expects nothing."""
    if expected is None:
        return True
    return expected.holds(rows) if isinstance(expected, RowRange) else rows == expected
