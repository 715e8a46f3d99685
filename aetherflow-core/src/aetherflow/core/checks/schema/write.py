"""The schema of each kind of document; the text is deterministic for an installation."""

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from aetherflow.core.base.errors import PluginError
from aetherflow.core.checks.schema.definitions import SchemaDefinitions
from aetherflow.core.checks.schema.flow import ID, flow_schema, of_installed
from aetherflow.core.checks.schema.manifest import manifest_schema
from aetherflow.core.checks.schema.model import describe
from aetherflow.core.checks.schema.resource import add_connectors
from aetherflow.core.checks.schema.texts import shortened
from aetherflow.core.host.catalog import Catalog
from aetherflow.core.host.hook_objects import imported, settings_model
from aetherflow.core.host.names import MANY

if TYPE_CHECKING:
    from aetherflow.core.contracts.document_kind import DocumentKind

DIALECT = "https://json-schema.org/draft/2020-12/schema"


class Schema(NamedTuple):
    """A schema, and notes about plugins that it leaves out."""

    document: dict[str, Any]
    notes: list[str]

    @property
    def text(self) -> str:
        """The schema as JSON text, keys sorted."""
        return json.dumps(self.document, ensure_ascii=False, indent=1, sort_keys=True) + "\n"


def schema_for(kind: "str | DocumentKind", catalog: Catalog) -> Schema:
    """The schema of one kind of document; `kind` is one of SCHEMAS, or a kind of another distribution."""
    definitions = SchemaDefinitions()
    if isinstance(kind, str):
        title, build = SCHEMAS[kind]
        found = build(catalog, definitions)
    else:
        title, found = kind.title, _plain(kind.model(), definitions)
    shared: dict[str, Any] = {}
    document = {
        "$schema": DIALECT,
        "title": title,
        **shortened(found, shared),
        "$defs": {**shortened(definitions.by_name, shared), **shared},
    }
    return Schema(document, definitions.notes)


def _profiles(catalog: Catalog, definitions: SchemaDefinitions) -> dict[str, Any]:
    from aetherflow.core.runtime.environment.spec.profiles_file import ProfilesSpec

    del catalog
    return _plain(ProfilesSpec, definitions)


def _project(catalog: Catalog, definitions: SchemaDefinitions) -> dict[str, Any]:
    from aetherflow.core.runtime.environment.spec.project_file import ProjectFileSpec

    kinds = add_connectors(catalog, definitions)
    found, models = describe(ProjectFileSpec)
    of_installed(models["ResourceSpec"], kinds)
    found["properties"]["resources"]["propertyNames"] = ID
    if settings := _settings_of_hooks(catalog, definitions):
        plugins = models["PluginsSpec"]["properties"]
        plugins["settings"] = {**plugins["settings"], "properties": settings}
    for name, each in models.items():
        definitions.add(name, each)
    return found


def _settings_of_hooks(catalog: Catalog, definitions: SchemaDefinitions) -> dict[str, Any]:
    """The schema of `plugins.settings` for each installed distribution whose hooks take some."""
    found = {}
    for entry in (each for each in catalog.entries if each.group in MANY):
        try:
            catalog.rules.require(entry)
            model = settings_model(imported(entry))
        except PluginError as error:
            definitions.notes.append(f"{error.code} {error.message}")
            continue
        if model is not None and model.model_fields and entry.distribution not in found:
            found[entry.distribution], more = describe(model, f"settings.{entry.distribution}.")
            for name, each in more.items():
                definitions.add(name, each)
    return found


def _policy(catalog: Catalog, definitions: SchemaDefinitions) -> dict[str, Any]:
    from aetherflow.core.runtime.environment.spec.administrator import AdministratorSpec

    del catalog
    return _plain(AdministratorSpec, definitions)


def _env_files(catalog: Catalog, definitions: SchemaDefinitions) -> dict[str, Any]:
    from aetherflow.core.runtime.environment.spec.env_files import EnvFilesSpec

    del catalog
    return _plain(EnvFilesSpec, definitions)


def _plain(model: Any, definitions: SchemaDefinitions) -> dict[str, Any]:
    found, more = describe(model)
    for name, each in more.items():
        definitions.add(name, each)
    return found


SCHEMAS: dict[str, tuple[str, Callable[[Catalog, SchemaDefinitions], dict[str, Any]]]] = {
    "flow": ("AetherFlow flow", flow_schema),
    "profiles": ("AetherFlow profiles", _profiles),
    "project": ("AetherFlow project file", _project),
    "manifest": ("AetherFlow bundle manifest", manifest_schema),
    "policy": ("AetherFlow administrator's policy", _policy),
    "env-files": ("AetherFlow list of env files", _env_files),
}
"""Title and builder by kind, for every kind of `checks.kinds`."""
