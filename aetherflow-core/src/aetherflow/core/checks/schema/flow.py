"""The schema of a flow: its models with the installed step types and connectors."""

from typing import Any

from aetherflow.core.checks.schema.definitions import SchemaDefinitions
from aetherflow.core.checks.schema.model import describe
from aetherflow.core.checks.schema.resource import RULES, add_connectors
from aetherflow.core.checks.schema.step import add_steps, as_step
from aetherflow.core.checks.schema.texts import TEMPLATE, TEXT, ref
from aetherflow.core.host.catalog import Catalog
from aetherflow.core.host.names import STATE_BACKENDS
from aetherflow.core.kernel.yaml.flow import DEFAULT_LAYOUT, FlowSpec

ID = {"type": "string", "pattern": "^[A-Za-z_][A-Za-z0-9_-]{0,127}$"}

FOLDER = {"type": list(TEXT), "minimum": 0, "pattern": "^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$"}


def flow_schema(catalog: Catalog, definitions: SchemaDefinitions) -> dict[str, Any]:
    """The schema of a flow; its definitions are added to `definitions`."""
    add_steps(catalog, definitions)
    kinds = add_connectors(catalog, definitions)
    found, models = describe(FlowSpec)
    for name in ("StepSpec", "VerifySpec"):
        models[name] = as_step(models[name])
    of_installed(models["ResourceSpec"], kinds)
    for name in ("StepSpec", "JobSpec"):
        _of(models, name, "id").update(ID)
    _of(models, "FlowMetaSpec", "id").update(_or_template(ID))
    for items in (_of(models, "StepSpec", "for_each"), _of(models, "ForEachSpec", "items")):
        items["anyOf"] = [ref("template") if "string" in each.get("type", ()) else each for each in items["anyOf"]]
    _of(models, "FlowMetaSpec", "params")["propertyNames"] = ID
    found["properties"]["resources"]["propertyNames"] = ID
    # checked outside of the models: see checks/state_servers.py
    _of(models, "StateSpec", "backend")["enum"] = ["sqlite", *catalog.names(STATE_BACKENDS)]
    folders = {name: {"default": folder, **_or_template(FOLDER)} for name, folder in DEFAULT_LAYOUT.items()}
    _of(models, "WorkspaceSpec", "layout").update(properties=folders, additionalProperties=False)
    for name, each in models.items():
        definitions.add(name, each)
    return found


def _or_template(limit: dict[str, Any]) -> dict[str, Any]:
    return {"anyOf": [limit, {"type": "string", "pattern": TEMPLATE["pattern"]}]}


def _of(models: dict[str, Any], model: str, key: str) -> dict[str, Any]:
    found: dict[str, Any] = models[model]["properties"][key]
    return found


def of_installed(schema: dict[str, Any], kinds: list[str]) -> None:
    """Limit the schema of a resource to the connectors that `add_connectors` has added."""
    schema["properties"]["kind"]["enum"] = kinds
    schema["allOf"] = [ref(RULES)]
