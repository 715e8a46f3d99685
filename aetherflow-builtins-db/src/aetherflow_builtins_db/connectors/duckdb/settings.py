"""Settings of a DuckDB resource."""

from typing import Annotated

from pydantic import Field, StringConstraints

from aetherflow.core.api import ConnectorConfig, ConnectorOptions, Flag, Holds, WritePath
from aetherflow_builtins_db.connectors.common.arguments import IN_MAP
from aetherflow_builtins_db.connectors.common.base import SettingName

ExtensionName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$"), Holds.CODE]


class Config(ConnectorConfig):
    """The database file of a DuckDB resource."""

    path: WritePath = Field(
        ":memory:",
        min_length=1,
        description="Database file, relative to `<workspace.root>/<flow id>`; created if it is missing. "
        "`:memory:` lives as long as the run.",
    )
    read_only: Flag = Field(
        False, description="Open an existing file for reading only, which several processes may do."
    )


class Options(ConnectorOptions):
    """Extensions, time limit and session settings."""

    extensions: tuple[ExtensionName, ...] = Field(
        (), description="Extensions to load; a missing one is installed from DuckDB's server first."
    )
    statement_timeout: float = Field(
        0.0,
        ge=0,
        description="Seconds that one statement may run; 0 is no limit. The time in which its rows are written "
        "elsewhere does not count.",
    )
    pragmas: Annotated[dict[SettingName, str | int | float | bool], IN_MAP] = Field(
        {}, description="Settings for every session: `{memory_limit: 2GB, TimeZone: UTC}`."
    )
