"""The installed connectors in a schema: kinds and drivers to complete, and the settings that each accepts."""

import functools
from typing import Any

from aetherflow.core.checks.schema.definitions import SchemaDefinitions, choice, when
from aetherflow.core.checks.schema.prose import find, prose
from aetherflow.core.checks.schema.templated import widened
from aetherflow.core.host.catalog import Catalog
from aetherflow.core.host.connecting import models_of
from aetherflow.core.host.names import CONNECTORS

RULES = "resource_settings"
"""Name of the definition that ties driver, config and options to the kind."""


def add_connectors(catalog: Catalog, definitions: SchemaDefinitions) -> list[str]:
    """Add a definition for every usable connector; returns the kinds, sorted."""
    drivers: dict[str, list[dict[str, Any]]] = {}
    rules = []
    for name in catalog.names(CONNECTORS):
        kind, _, driver = name.partition(".")
        cls = definitions.load(CONNECTORS, name, functools.partial(catalog.connector, kind, driver))
        if cls is None:
            continue
        drivers.setdefault(kind, []).append(choice(driver, prose(cls).summary))
        rules.append(when({"kind": kind, "driver": driver}, _settings(kind, driver, cls, definitions)))
    of_kind = [when({"kind": kind}, {"properties": {"driver": {"anyOf": found}}}) for kind, found in drivers.items()]
    definitions.add(RULES, {"allOf": [*of_kind, *rules]} if rules else {})
    return sorted(drivers)


def _settings(kind: str, driver: str, cls: Any, definitions: SchemaDefinitions) -> dict[str, Any]:
    whole = _sections(kind, driver, cls, definitions, partial=False)
    if "required" not in definitions.text_of(whole):
        return whole
    # with a profile, required settings may come from there
    partial = _sections(kind, driver, cls, definitions, partial=True)
    return {"if": {"properties": {"profile": {"type": "null"}}}, "then": whole, "else": partial}


def _sections(kind: str, driver: str, cls: Any, definitions: SchemaDefinitions, *, partial: bool) -> dict[str, Any]:
    example = find(prose(cls).example, kind=kind, driver=driver) or {}
    found: dict[str, Any] = {"properties": {}}
    for section, model in models_of(cls):
        name = f"{'profiled' if partial else 'connector'}.{kind}.{driver}.{section}"
        what = f"the {section} of connector {kind}:{driver}"
        described = definitions.describe(model, f"{name}.", what, partial=partial)
        if described is None:
            continue
        if section in example:
            described["examples"] = [example[section]]
        found["properties"][section] = definitions.add(name, widened(described))
        if not partial and any(field.is_required() for field in model.model_fields.values()):
            found.setdefault("required", []).append(section)
    return found
