"""Env files: the list in AETHERFLOW_ENV_FILES_JSON, in the project file and in a manifest."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, StringConstraints

from aetherflow.core.contracts.fields import Flag, any_case
from aetherflow.core.kernel.yaml.spec import SpecModel

EnvFileType = Literal["dotenv", "json", "dir"]
_TYPES = {"dotenv": "dotenv", "json": "json", "dir": "dir", "directory": "dir", "dir-of-files": "dir"}


_Written = Annotated[str, StringConstraints(pattern=any_case(*_TYPES))]


def _type(value: Any) -> Any:
    return _TYPES.get(value.lower(), value) if isinstance(value, str) else value


class EnvFileSpec(SpecModel):
    """One env file: its type, path and prefix."""

    type: Annotated[EnvFileType, BeforeValidator(_type, json_schema_input_type=EnvFileType | _Written)] = Field(
        description="dotenv, json, or dir: a folder of files"
    )
    path: str = Field(description="Path of the file or folder")
    optional: Flag = Field(False, description="True: a missing file is no error")
    prefix: str = Field("", description="Put before every key")


def _from_text(value: Any) -> Any:
    # the short form is a path; its ending gives the type
    if not isinstance(value, str):
        return value
    kind = "json" if value.endswith(".json") else "dir" if value.endswith("/") else "dotenv"
    return {"type": kind, "path": value}


EnvFile = Annotated[EnvFileSpec, BeforeValidator(_from_text, json_schema_input_type=EnvFileSpec | str)]
"""An env file as an object, or as a path: `.json` is json, a folder (ending in `/`) dir, all else dotenv."""
