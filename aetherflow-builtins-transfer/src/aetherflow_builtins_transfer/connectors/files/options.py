"""Options that every connector to files has, and the types that go with them."""

import random
from typing import TypeVar

from pydantic import Field, field_validator, model_validator

from aetherflow.core.api import Backoff, ConnectorConfig, ConnectorOptions


class FileRetry(Backoff):
    """Tries after a connection that could not be made, or that broke. Nothing else is tried again."""

    max_attempts: int = Field(1, ge=1, le=100, description="Tries in all; 1 is no second one.")
    backoff_seconds: float = Field(1.0, ge=0, description="Wait before the second try.")
    backoff_multiplier: float = Field(2.0, ge=1, description="By what the wait grows with each further try.")
    max_backoff_seconds: float = Field(30.0, ge=0, description="Longest wait.")

    @field_validator("max_backoff_seconds")
    @classmethod
    def _no_endless_wait(cls, value: float) -> float:
        if value > 3600:
            raise ValueError("max_backoff_seconds must be 3600 at most")
        return value

    def wait_before(self, attempt: int) -> float:
        """Up to a quarter less than the rule says, so that many clients do not come back in the same moment."""
        return super().wait_before(attempt) * random.uniform(0.75, 1.0)  # noqa: S311 no secret hangs on it


class FileOptions(ConnectorOptions):
    """How a connector to files behaves, whatever it speaks."""

    timeout: float | None = Field(None, gt=0, description="Seconds to wait for the connection. Default: 30.")
    timeout_seconds: float | None = Field(None, gt=0, description="The same.")
    idle_timeout_seconds: float = Field(
        60, gt=0, description="A transfer, or an answer, during which nothing arrives for so long has failed."
    )
    pool_size: int = Field(4, ge=1, le=64, description="Sessions at the peer that may work at the same time.")
    max_bytes_per_second: float | None = Field(
        None, gt=0, description="Most bytes per second, all transfers together. Default: no limit."
    )
    retry: FileRetry = Field(FileRetry(), description="Tries after a connection failed or broke; default: one in all.")
    retries: int | None = Field(
        None, ge=0, le=99, description="The same as `retry.max_attempts`, counted without the first."
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
        """The retry policy, whichever key gave it."""
        return self.retry if self.retries is None else self.retry.model_copy(update={"max_attempts": self.retries + 1})


ConfigT = TypeVar("ConfigT", bound=ConnectorConfig)
OptionsT = TypeVar("OptionsT", bound=FileOptions)
