"""The profiles document: settings of resources by environment, kept apart from the flow."""

from typing import Any

from pydantic import Field

from aetherflow.core.kernel.yaml.spec import SpecModel


class ProfileSpec(SpecModel):
    """One profile; the values of a resource that names it override its values."""

    config: dict[str, Any] = Field({}, description="As `config` of a resource")
    options: dict[str, Any] = Field({}, description="As `options` of a resource")
    decode: dict[str, Any] = Field({}, description="Which values the secrets hook decodes")
