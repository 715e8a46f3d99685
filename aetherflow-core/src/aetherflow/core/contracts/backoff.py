"""How often something that failed is tried again, and after which waits."""

import math

from pydantic import BaseModel, ConfigDict, Field


class Backoff(BaseModel):
    """The keys of every `retry` in a document. A subclass may give them other defaults and bounds, and add keys.

    `wait_before(attempt)` tells the seconds before an attempt, from 2 on; `wait_after(failures)` those until the next,
    or None if there is none.
    """

    model_config = ConfigDict(
        extra="forbid", frozen=True, populate_by_name=True, hide_input_in_errors=True, defer_build=True
    )

    max_attempts: int = Field(1, ge=1, description="Attempts in all, the first included")
    backoff_seconds: float = Field(0, ge=0, description="Wait before the second attempt")
    backoff_multiplier: float = Field(1, ge=1, description="Growth of the wait from attempt to attempt")
    max_backoff_seconds: float | None = Field(None, ge=0, description="Longest wait")

    @property
    def longest(self) -> float:
        """Seconds that no wait exceeds; infinity where there is no limit."""
        return math.inf if self.max_backoff_seconds is None else self.max_backoff_seconds

    def wait_before(self, attempt: int) -> float:
        """Seconds to wait before an attempt, from 2 on."""
        try:
            wait = self.backoff_seconds * self.backoff_multiplier ** (attempt - 2)
        except OverflowError:
            wait = math.inf if self.backoff_seconds else 0.0
        return min(wait, self.longest)

    def wait_after(self, failures: int) -> float | None:
        """Seconds until the next attempt after so many that failed; None if there is none."""
        return None if failures >= self.max_attempts else self.wait_before(failures + 1)
