"""Resources as a run uses them: merged with profiles, templates rendered, secrets decoded."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from aetherflow.core.base.errors import ResolverError, ResolverSyntaxError, SpecError
from aetherflow.core.base.location import DocPath, format_path
from aetherflow.core.base.problems import Problem
from aetherflow.core.base.redact import MIN_SECRET, Redactor, secrets_in, url_secrets
from aetherflow.core.contracts.written import value_at, with_texts
from aetherflow.core.kernel.resolver.template import render
from aetherflow.core.kernel.yaml.flow import FlowSpec
from aetherflow.core.kernel.yaml.loader import Document
from aetherflow.core.kernel.yaml.spec import ResourceSpec
from aetherflow.core.runtime.environment.decode import SECTIONS, Paths, decode_paths, with_value
from aetherflow.core.runtime.environment.merged_source import MergedSource
from aetherflow.core.runtime.environment.profiles import Profiles, with_profile
from aetherflow.core.runtime.environment.secrets import NO_HOOK_FIX, Secrets, SecretsHookError
from aetherflow.core.runtime.environment.spec.project import ProjectSpec


class Resources(NamedTuple):
    """The resources of a flow before rendering, each merged with its profile, and the positions of their values."""

    merged: Mapping[str, ResourceSpec]
    source: MergedSource


def merge_resources(document: Document, spec: FlowSpec | ProjectSpec, profiles: Profiles) -> Resources:
    """Merge every resource over its profile; KeyError for an unknown profile, which `validate` reports."""
    merged = {
        name: with_texts_of(document, name, with_profile(resource, profiles))
        for name, resource in spec.resources.items()
    }
    names = {name: resource.profile for name, resource in spec.resources.items()}
    return Resources(merged, MergedSource(document, profiles.document, names))


def with_texts_of(document: Document, name: str, spec: ResourceSpec) -> ResourceSpec:
    """The resource with text in the text fields of its connector, so that numbers that are secrets are masked too."""
    settings = {section: getattr(spec, section) for section in SECTIONS}
    texts = {
        path[2:]: text
        for path, text in document.source.texts.items()
        if path[:2] == ("resources", name) and not isinstance(value_at(settings, path[2:], ""), str)
    }
    return spec.model_copy(update=with_texts(settings, texts)) if texts else spec


def resolve_resources(
    resources: Resources, scope: Mapping[str, Any], hook: Secrets | None, redactor: Redactor
) -> dict[str, dict[str, Any]]:
    """Render and decode every resource; decoded values and values with a secret name are registered for masking.

    Raises a located SpecError for a template without value, an invalid `decode`, a decode without a hook, and a hook
    that fails.
    """
    resolved: dict[str, dict[str, Any]] = {}
    for name, spec in resources.merged.items():
        found: dict[str, Any] = {"kind": spec.kind, "driver": spec.driver}
        paths = _decode_paths(resources, name, spec)
        for section in SECTIONS:
            at: DocPath = ("resources", name, section)
            try:
                rendered = render(getattr(spec, section), scope, at)
            except ResolverError as error:
                raise _failed(resources, error.at, error.code, str(error)) from error
            found[section] = _decode(rendered, paths[section], at, resources, hook, redactor)
        redactor.add(secrets_in(found))
        redactor.add(url_secrets([found[section] for section in SECTIONS]))
        found["decode"] = spec.decode
        resolved[name] = found
    return resolved


def _decode_paths(resources: Resources, name: str, spec: ResourceSpec) -> dict[str, Paths]:
    try:
        return decode_paths(spec.decode)
    except ResolverSyntaxError as error:
        raise _failed(resources, ("resources", name, "decode"), error.code, str(error)) from error


def _decode(
    section: dict[str, Any],
    paths: Paths,
    at: DocPath,
    resources: Resources,
    hook: Secrets | None,
    redactor: Redactor,
) -> dict[str, Any]:
    for path in sorted(paths):
        value = value_at(section, path)
        if not isinstance(value, str):
            continue
        if hook is None:
            message = "decode is requested and no secrets hook is configured"
            raise _failed(resources, (*at, *path), "AF1702", message, NO_HOOK_FIX)
        try:
            decoded = hook.decode(value, format_path((*at, *path)))
        except SecretsHookError as error:
            raise _failed(resources, (*at, *path), error.code, error.message, error.fix) from error
        refuse_short(resources, (*at, *path), [decoded])
        redactor.add([decoded])
        section = with_value(section, path, decoded)
    return section


def refuse_short(resources: Resources, at: DocPath, secrets: Iterable[str]) -> None:
    """Raise a located SpecError for a secret that is too short to be masked."""
    for secret in secrets:
        if 0 < len(secret) < MIN_SECRET:
            message = f"a secret of {len(secret)} characters cannot be masked in logs and messages"
            raise _failed(resources, at, "AF1704", message, f"choose one of at least {MIN_SECRET} characters")


def _failed(resources: Resources, path: DocPath, af: str, message: str, fix: str = "") -> SpecError:
    where = resources.source.value(path)
    return SpecError([Problem(af, f"{format_path(path)}: {message}", where, format_path(path), "template:value", fix)])
