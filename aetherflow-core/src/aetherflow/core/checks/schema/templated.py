"""Widening a schema so that a template is accepted in place of a value."""

from typing import Any

from aetherflow.core.checks.schema.texts import ref

_NOTES = ("description", "default", "examples", "title", "deprecated", "doNotSuggest")
_COUNTS = ("minItems", "maxItems", "uniqueItems", "contains", "minContains", "maxContains")
_TEXT_LIMITS = ("pattern", "enum", "const", "format", "minLength", "maxLength", "allOf", "not")


def widened(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema of a map whose values, at any depth, may be templates; the map itself may not."""
    found = dict(schema)
    for key in ("properties", "patternProperties"):
        if key in found:
            found[key] = {name: _value(each) for name, each in found[key].items()}
    for key in ("items", "additionalProperties"):
        if isinstance(found.get(key), dict):
            found[key] = _value(found[key])
    if "prefixItems" in found:
        found["prefixItems"] = [_value(each) for each in found["prefixItems"]]
    for key in ("anyOf", "oneOf", "allOf"):
        if key in found:
            found[key] = [widened(each) if isinstance(each, dict) else each for each in found[key]]
    counts = {key: found.pop(key) for key in _COUNTS if key in found and found.get("type") == "array"}
    if counts:  # a list with a template cannot be counted before rendering
        found["allOf"] = [*found.get("allOf", ()), {"anyOf": [counts, {"contains": ref("template")}]}]
    return found


def _value(schema: Any) -> Any:
    if not isinstance(schema, dict):
        return schema
    found = widened(schema)
    if _takes_text(schema):
        return found
    notes = {key: found.pop(key) for key in _NOTES if key in found}
    members = found["anyOf"] if found.keys() == {"anyOf"} else [found]
    return {**notes, "anyOf": [*members, ref("template")]}


def _takes_text(schema: Any) -> bool:
    """True if the schema accepts any text, and so any template."""
    if not isinstance(schema, dict):
        return bool(schema)
    if any(key in schema for key in _TEXT_LIMITS) or "$ref" in schema or "oneOf" in schema:
        return False
    if "anyOf" in schema and not any(map(_takes_text, schema["anyOf"])):
        return False
    return "type" not in schema or "string" in schema["type"]
