"""How often a peer is tried again, and after which wait: one policy for every connector that moves files."""

import random
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Retry(BaseModel):
    """Tries after a connection that could not be made, or that broke. Nothing else is tried again."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    max_attempts: int = Field(1, ge=1, le=100, description="Tries in all; 1 is no second one.")
    backoff_seconds: float = Field(1.0, ge=0, description="Wait before the second try.")
    backoff_multiplier: float = Field(2.0, ge=1, description="By what the wait grows with each further try.")
    max_backoff_seconds: float = Field(30.0, ge=0, description="Longest wait.")

    @model_validator(mode="after")
    def _no_endless_wait(self) -> Self:
        if self.max_backoff_seconds > 3600:
            raise ValueError("max_backoff_seconds must be 3600 at most")
        return self

    def wait_before(self, attempt: int) -> float:
        """Seconds to wait before try `attempt` (2, 3, …): up to a quarter less than the rule says, so that many
        clients do not come back in the same moment.
        """
        wait = min(self.backoff_seconds * self.backoff_multiplier ** (attempt - 2), self.max_backoff_seconds)
        return wait * random.uniform(0.75, 1.0)  # noqa: S311 no secret hangs on it
