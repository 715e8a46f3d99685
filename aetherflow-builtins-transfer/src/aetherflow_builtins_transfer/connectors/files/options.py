"""Options that every connector to files has, and the types that go with them."""

from typing import Annotated, TypeVar

from pydantic import Field, model_validator

from aetherflow.core.api import ConnectorConfig, ConnectorOptions
from aetherflow_builtins_transfer.retrying import Retry


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
    retry: Annotated[Retry, Field(description="Tries after a connection failed or broke; default: one in all.")] = (
        Retry()
    )
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
    def policy(self) -> Retry:
        """The retry policy, whichever key gave it."""
        return self.retry if self.retries is None else self.retry.model_copy(update={"max_attempts": self.retries + 1})


ConfigT = TypeVar("ConfigT", bound=ConnectorConfig)
OptionsT = TypeVar("OptionsT", bound=FileOptions)
