"""The settings for repeated attempts."""

from pydantic import Field, field_validator

from aetherflow.core.api import Backoff, Flag


class Retry(Backoff):
    """Rules for another attempt after a failed connection or an error status."""

    max_attempts: int = Field(1, ge=1, description="Maximum number of attempts, the first one included.")
    backoff_seconds: float = Field(0.5, ge=0, description="Wait before the second attempt, in seconds.")
    backoff_multiplier: float = Field(2, ge=1, le=100, description="Factor by which each further wait is longer.")
    max_backoff_seconds: float = Field(30, ge=0, description="Longest such wait, in seconds.")
    retry_on: list[int] = Field([429, 502, 503, 504], description="Statuses after which a request is sent again.")
    unsafe_methods: Flag = Field(
        False,
        description="Also repeat POST and PATCH, which the server may carry out twice. Better: `keyed` of the step.",
    )
    max_retry_after_seconds: float = Field(
        120, ge=0, description="Longest accepted Retry-After, in seconds; a longer one ends the attempts."
    )

    @field_validator("retry_on")
    @classmethod
    def _statuses(cls, value: list[int]) -> list[int]:
        if wrong := [status for status in value if not 400 <= status <= 599]:
            raise ValueError(f"{wrong[0]} is no error status (400 to 599)")
        return value
