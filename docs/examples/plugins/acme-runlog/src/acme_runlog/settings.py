"""What the project file says to the hooks."""

from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from aetherflow.core.api import Flag, PluginSettings


class RunLogSettings(PluginSettings):
    """Where the stream is, and how long a run may wait for it."""

    host: str = Field(min_length=1, description="Name or address of the Redis server.")
    port: int = Field(6379, ge=1, le=65535, description="Its port.")
    db: int = Field(0, ge=0, description="Number of the database.")
    username: str | None = Field(None, description="Account to log in with; `default` unless set.")
    password_file: Path | None = Field(None, description="Absolute path of a file that holds the password.")
    tls: Flag = Field(False, description="Encrypt the connection, and check the server's certificate.")
    stream: str = Field("aetherflow:runs", min_length=1, description="Key of the stream.")
    keep: int = Field(100_000, ge=1, description="About how many entries the stream keeps.")
    connect_seconds: float = Field(0.5, gt=0, le=10, description="Longest time for a connection, and for an answer.")
    finish_seconds: float = Field(2.0, ge=0, le=60, description="Longest time that the end of a run waits for entries.")

    @model_validator(mode="after")
    def _is_absolute(self) -> Self:
        if self.password_file is not None and not self.password_file.is_absolute():
            raise ValueError("password_file must be an absolute path")
        return self
