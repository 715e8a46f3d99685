"""The lock file of the plugins, `plugins.lock`."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from aetherflow.core.kernel.yaml.spec import SpecModel


class LockedSpec(SpecModel):
    """One distribution as it was when the lock was written."""

    version: str = Field(description="Its version")
    hash: Annotated[str, StringConstraints(pattern=r"^(record|files):[0-9a-f]{64}$")] = Field(
        description="record: its files are as pip installed them; files: it is editable, was edited, or has no RECORD"
    )


class PluginLockSpec(SpecModel):
    """The whole document `plugins.lock`."""

    version: Literal[1] = Field(description="Version of the document format")
    distributions: dict[str, LockedSpec] = Field(description="The distributions whose plugins may be loaded, by name")
