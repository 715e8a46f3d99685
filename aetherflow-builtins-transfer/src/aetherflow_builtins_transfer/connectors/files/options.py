"""Options of all file connectors."""

import random
from typing import TypeVar

from pydantic import Field, field_validator, model_validator

from aetherflow.core.api import Backoff, ConnectorConfig, ConnectorOptions


class FileRetry(Backoff):
    """Attempts after a failed or lost connection. Other failures are not repeated."""

    max_attempts: int = Field(1, ge=1, le=100, description="Maximum number of attempts; 1: no second attempt.")
    backoff_seconds: float = Field(1.0, ge=0, description="Wait before the second attempt, in seconds.")
    backoff_multiplier: float = Field(2.0, ge=1, description="Factor by which each further wait is longer.")
    max_backoff_seconds: float = Field(30.0, ge=0, description="Longest wait, in seconds.")

    @field_validator("max_backoff_seconds")
    @classmethod
    def _no_endless_wait(cls, value: float) -> float:
        if value > 3600:
            raise ValueError("max_backoff_seconds must be 3600 at most")
        return value

    def wait_before(self, attempt: int) -> float:
        """The wait in seconds, randomly reduced by up to a quarter, so that many clients do not retry together."""
        return super().wait_before(attempt) * random.uniform(0.75, 1.0)  # noqa: S311 - no security relevance


class FileOptions(ConnectorOptions):
    """Options of all file connectors, independent of the protocol."""

    timeout: float | None = Field(None, gt=0, description="Seconds to wait for the connection. Default: 30.")
    timeout_seconds: float | None = Field(None, gt=0, description="The same.")
    idle_timeout_seconds: float = Field(
        60,
        gt=0,
        description="Seconds without any data, or with less than 16 bytes of content a second, after which a "
        "transfer or a request has failed.",
    )
    pool_size: int = Field(4, ge=1, le=64, description="Maximum number of sessions at the same time.")
    max_bytes_per_second: float | None = Field(
        None, gt=0, description="Bandwidth limit in bytes per second for all transfers together. Default: no limit."
    )
    retry: FileRetry = Field(FileRetry(), description="Attempts after a failed or lost connection; default: one.")
    retries: int | None = Field(
        None, ge=0, le=99, description="Older key: number of further attempts, `retry.max_attempts` minus one."
    )

    @model_validator(mode="after")
    def _one_spelling(self) -> "FileOptions":
        if None not in (self.timeout, self.timeout_seconds) and self.timeout != self.timeout_seconds:
            raise ValueError("timeout and timeout_seconds are both given and differ")
        if (
            self.retries is not None
            and "retry" in self.model_fields_set
            and self.retry.max_attempts != self.retries + 1
        ):
            raise ValueError("retry.max_attempts and retries are both given and differ (retries is one less)")
        return self

    @property
    def connect_timeout(self) -> float:
        """Seconds to wait for a connection."""
        return self.timeout or self.timeout_seconds or 30.0

    @property
    def policy(self) -> FileRetry:
        """The retry settings, from `retry` or `retries`."""
        return self.retry if self.retries is None else self.retry.model_copy(update={"max_attempts": self.retries + 1})


ConfigT = TypeVar("ConfigT", bound=ConnectorConfig)
OptionsT = TypeVar("OptionsT", bound=FileOptions)
