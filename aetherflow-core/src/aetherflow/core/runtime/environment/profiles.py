"""Profiles: read from AETHERFLOW_PROFILES_JSON or a YAML file, and merged with the resources that name them."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from aetherflow.core.base.errors import SpecError
from aetherflow.core.base.location import Location
from aetherflow.core.base.problems import Problem
from aetherflow.core.kernel.yaml.binder import bind
from aetherflow.core.kernel.yaml.loader import Document, parse_document
from aetherflow.core.kernel.yaml.spec import ResourceSpec
from aetherflow.core.runtime.environment.decode import deep_merge, merge_decode
from aetherflow.core.runtime.environment.documents import load_document
from aetherflow.core.runtime.environment.settings import Settings, Source

if TYPE_CHECKING:
    from aetherflow.core.runtime.environment.spec.profiles import ProfileSpec

JSON_VARIABLE, FILE_VARIABLE = "AETHERFLOW_PROFILES_JSON", "AETHERFLOW_PROFILES_FILE"


class Profiles(NamedTuple):
    """All profiles, and their document."""

    by_name: "dict[str, ProfileSpec]"
    document: Document | None = None


def load_profiles(settings: Settings, sources: Mapping[str, Source] | None = None, flow: str = "") -> Profiles:
    """Read the profiles; empty if none are configured. Raises SpecError with located problems.

    Findings name the file as they name `flow`, the path of the flow file: relative to the current folder if that is.
    Setting both variables is an error; the `profiles_file` of a project file is overridden by either.
    """
    text, path = settings.profiles_json, settings.profiles_file
    if text and path and (sources or {}).get("profiles_file") != "project file":
        message = f"Set only one of {JSON_VARIABLE} or {FILE_VARIABLE}"
        at = Location(JSON_VARIABLE)
        raise SpecError([Problem("AF1520", message, at, code="profiles:ambiguous", fix=f"unset {FILE_VARIABLE}")])
    if text:
        document = parse_document(text, JSON_VARIABLE)
    elif path:
        try:
            document = load_document(_named_like(flow, Path(path).expanduser()))
        except SpecError as error:
            in_project = (sources or {}).get("profiles_file") == "project file"
            fix = f"check {'profiles_file in the project file' if in_project else FILE_VARIABLE}"
            raise SpecError(
                [replace(each, fix=fix) if each.af == "AF1001" else each for each in error.problems]
            ) from None
    else:
        return Profiles({})
    return bind_profiles(document)


def _named_like(flow: str, file: Path) -> Path:
    if Path(flow).is_absolute() or not file.is_relative_to(here := Path.cwd()):
        return file
    return file.relative_to(here)


def bind_profiles(document: Document) -> Profiles:
    """Profiles of a parsed document; raises SpecError."""
    from aetherflow.core.runtime.environment.spec.profiles_file import ProfilesSpec  # a root model is costly to define

    spec, problems = bind(ProfilesSpec, document.data, document.source)
    if spec is None:
        raise SpecError(problems)
    return Profiles(spec.root, document)


def with_profile(resource: ResourceSpec, profiles: Profiles) -> ResourceSpec:
    """The resource merged over its profile; unchanged if it names none. KeyError for an unknown profile."""
    if resource.profile is None:
        return resource
    profile = profiles.by_name[resource.profile]
    return resource.model_copy(
        update={
            "config": deep_merge(profile.config, resource.config),
            "options": deep_merge(profile.options, resource.options),
            "decode": merge_decode(profile.decode, resource.decode),
        }
    )
