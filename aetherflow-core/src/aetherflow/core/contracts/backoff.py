"""The retry policy: the number of attempts and the waits between them."""

import math

from pydantic import BaseModel, ConfigDict, Field


class Backoff(BaseModel):
    """The keys of every `retry` in a document. A subclass may change defaults and bounds, and add keys.

    `wait_before(attempt)` gives the seconds before attempt 2 or a later one; `wait_after(failures)` those before the
    next attempt, or None if no attempt is left.
    """

    model_config = ConfigDict(
        extra="forbid", frozen=True, populate_by_name=True, hide_input_in_errors=True, defer_build=True
    )

    max_attempts: int = Field(default=1, ge=1, description="Attempts in all, the first included")
    backoff_seconds: float = Field(default=0, ge=0, description="Wait before the second attempt")
    backoff_multiplier: float = Field(default=1, ge=1, description="Growth of the wait from attempt to attempt")
    max_backoff_seconds: float | None = Field(default=None, ge=0, description="Longest wait")

    @property
    def longest(self) -> float:
        """Upper limit of a wait, in seconds; infinity if there is none."""
        return math.inf if self.max_backoff_seconds is None else self.max_backoff_seconds

    def wait_before(self, attempt: int) -> float:
        """Seconds to wait before attempt 2 or a later one."""
        try:
            wait = self.backoff_seconds * self.backoff_multiplier ** (attempt - 2)
        except OverflowError:
            wait = math.inf if self.backoff_seconds else 0.0
        return min(wait, self.longest)

    def wait_after(self, failures: int) -> float | None:
        """Seconds to wait after `failures` failed attempts; None if no attempt is left."""
        return None if failures >= self.max_attempts else self.wait_before(failures + 1)
