"""The installed step types in a schema: their names to complete, and the inputs that each accepts."""

from functools import partial
from typing import Any

from aetherflow.core.checks.schema.definitions import SchemaDefinitions, choice, when
from aetherflow.core.checks.schema.prose import Prose, find, prose
from aetherflow.core.checks.schema.templated import widened
from aetherflow.core.checks.schema.texts import ref
from aetherflow.core.host.catalog import Catalog
from aetherflow.core.host.names import STEPS

TYPE, INPUTS = "step_type", "step_inputs"
"""Names of definitions: all step types, and the rules that tie the inputs to the type."""


def add_steps(catalog: Catalog, definitions: SchemaDefinitions) -> None:
    """Add a definition of the inputs of every usable step type, and the definitions TYPE and INPUTS."""
    choices: list[dict[str, Any]] = []
    rules = []
    for name in catalog.names(STEPS):
        cls = definitions.load(STEPS, name, partial(catalog.step, name))
        if cls is None:
            continue
        told = prose(cls)
        choices.append(choice(name, told.summary))
        inputs, required = _inputs(name, cls, told, definitions)
        then: dict[str, Any] = {"properties": {"inputs": definitions.add(f"step.{name}", inputs)}}
        rules.append(when({"type": name}, {**then, "required": ["inputs"]} if required else then))
    definitions.add(TYPE, {"anyOf": choices} if choices else {"enum": []})
    definitions.add(INPUTS, {"allOf": rules} if rules else {})


def as_step(schema: dict[str, Any]) -> dict[str, Any]:
    """Turn the schema of a map with `type` and `inputs` into that of a step."""
    properties = dict(schema["properties"])
    properties["type"] = {"description": properties["type"].get("description", "Step type"), **ref(TYPE)}
    return {**schema, "properties": properties, "allOf": [*schema.get("allOf", ()), ref(INPUTS)]}


def _inputs(name: str, cls: Any, told: Prose, definitions: SchemaDefinitions) -> tuple[dict[str, Any], bool]:
    """The schema of a step's inputs, and whether any of them is required."""
    found: dict[str, Any] = {}
    required = set(cls.required_inputs)
    if cls.Inputs is not None:
        described = definitions.describe(cls.Inputs, f"step.{name}.", f"the inputs of step {name!r}")
        if described is not None:
            found = widened(described)
            required |= {key for key, field in cls.Inputs.model_fields.items() if field.is_required()}
    # the type of `inputs` itself is set where it is used: for an inner step it may be a template
    found.pop("type", None)
    if cls.required_inputs:
        found["required"] = sorted({*found.get("required", ()), *cls.required_inputs})
    for key in cls.inner_steps:
        inner = found.get("properties", {}).get(key)
        if inner is not None:
            found["properties"][key] = {**inner, "allOf": [{"properties": {"type": ref(TYPE)}}, ref(INPUTS)]}
    example = find(told.example, type=name)
    if example and example.get("inputs"):
        found["examples"] = [example["inputs"]]
    if told.text:
        found["description"] = told.text
    return found, bool(required)
