"""The schema of a bundle manifest: its model with the installed bundle sources and connectors."""

import functools
from typing import Any

from aetherflow.core.bundle.manifest_spec import ManifestSpec, SourceSpec
from aetherflow.core.checks.schema.definitions import SchemaDefinitions, choice, when
from aetherflow.core.checks.schema.model import describe
from aetherflow.core.checks.schema.prose import prose
from aetherflow.core.checks.schema.resource import RULES, add_connectors
from aetherflow.core.checks.schema.templated import widened
from aetherflow.core.checks.schema.texts import ref
from aetherflow.core.host.catalog import Catalog
from aetherflow.core.host.names import BUNDLE_SOURCES

SHARED = tuple(SourceSpec.model_fields)
"""Keys that every source has."""


def manifest_schema(catalog: Catalog, definitions: SchemaDefinitions) -> dict[str, Any]:
    """The schema of a bundle manifest; its definitions are added to `definitions`."""
    kinds = add_connectors(catalog, definitions)
    found, models = describe(ManifestSpec)
    models["ResourceSpec"]["properties"]["kind"]["enum"] = kinds
    models["ResourceSpec"]["properties"].pop("profile")  # profiles do not exist before the sync
    models["ResourceSpec"]["allOf"] = [ref(RULES)]
    _add_sources(catalog, definitions, models["SourceSpec"])
    for name, each in models.items():
        definitions.add(name, each)
    return found


def _add_sources(catalog: Catalog, definitions: SchemaDefinitions, source: dict[str, Any]) -> None:
    types, rules = [], []
    shared = dict.fromkeys(SHARED, True)
    for name in catalog.names(BUNDLE_SOURCES):
        cls = definitions.load(BUNDLE_SOURCES, name, functools.partial(catalog.bundle_source, name))
        if cls is None:
            continue
        types.append(choice(name, prose(cls).summary))
        rule: dict[str, Any] = {"required": ["resource"]} if cls.resource_kind is not None else {}
        if cls.Config is not None:
            described = definitions.describe(cls.Config, f"source.{name}.", f"the keys of bundle source {name}")
            if described is not None:
                own = widened(described)
                own["properties"] = {**own.get("properties", {}), **shared}
                rule = (
                    {"allOf": [rule, definitions.add(f"source.{name}", own)]}
                    if rule
                    else definitions.add(f"source.{name}", own)
                )
        rules.append(when({"type": name}, rule))
        if name == SourceSpec.model_fields["type"].default:
            rules[-1]["if"].pop("required")  # the rule applies also without `type`
    source["properties"]["type"]["anyOf"] = types
    source["allOf"] = rules
    source.pop("additionalProperties", None)
