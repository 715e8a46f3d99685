"""The profiles document as a whole."""

from pydantic import RootModel

from aetherflow.core.runtime.environment.spec.profiles import ProfileSpec


class ProfilesSpec(RootModel[dict[str, ProfileSpec]]):
    """The whole document of a profiles file: profiles by name."""
