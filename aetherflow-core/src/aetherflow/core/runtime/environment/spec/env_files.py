"""A list of env files as a document of its own: the value of AETHERFLOW_ENV_FILES_JSON."""

from pydantic import RootModel

from aetherflow.core.runtime.environment.spec.environment import EnvFile


class EnvFilesSpec(RootModel[list[EnvFile]]):
    """Env files in order; later ones win."""
