"""What all documents have in common: the base of their models, and their resources."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class SpecModel(BaseModel):
    """Base of all document models: unknown keys are refused."""

    # defer_build: the schema of the whole document is built once, not once more for each of its parts
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True, defer_build=True)


class ResourceSpec(SpecModel):
    """One entry of `resources`: a connector and its settings."""

    kind: str = Field(description="Kind of connector, `db`")
    driver: str = Field(description="Driver of that kind, `duckdb`")
    profile: str | None = Field(None, description="Name of a profile that gives values which are not set here")
    config: dict[str, Any] = Field({}, description="Address and account; templates may read env")
    options: dict[str, Any] = Field({}, description="Behaviour of the connector; templates may read env")
    decode: dict[str, Any] = Field({}, description="Which values the secrets hook decodes")
