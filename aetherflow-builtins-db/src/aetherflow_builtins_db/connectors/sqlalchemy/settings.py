"""Settings of a SQLAlchemy resource."""

from typing import Annotated

from pydantic import Field, field_validator

from aetherflow.core.api import ConnectorConfig, Flag
from aetherflow_builtins_db.connectors.common.arguments import IN_URL
from aetherflow_builtins_db.connectors.common.settings import ServerOptions


class Config(ConnectorConfig):
    """The URL of a SQLAlchemy resource."""

    url: Annotated[str, IN_URL] = Field(
        min_length=1,
        repr=False,
        description="SQLAlchemy's URL: `postgresql+psycopg://user:password@host:5432/db`. A relative file of SQLite is "
        "under `<workspace.root>/<flow id>`.",
    )
    read_only: Flag = Field(False, description="Refuse everything that changes data.")

    @field_validator("url")
    @classmethod
    def _a_url(cls, value: str) -> str:
        if ":" not in value:
            raise ValueError("must be a URL: dialect+driver://user:password@host:port/database")
        return value


class Options(ServerOptions):
    """How the connection behaves. Settings that are missing here go into `connect_args` or `init_sql`."""
