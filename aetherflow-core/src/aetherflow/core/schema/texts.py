"""Text that stands for another value: templates, and the text that our models read as numbers and booleans."""

from typing import Any

from aetherflow.core.contracts.fields import any_case

_NAME = "[A-Za-z_][A-Za-z0-9_]*"
TEMPLATE: dict[str, Any] = {
    "type": "string",
    "pattern": r"\{\{\s*" + _NAME + r"(\." + _NAME + r")*\s*(:[^{}]*)?\}\}",
    "description": "A template, {{env.NAME}} or {{steps.ID.OUTPUT}}: checked once more after rendering",
}
INTEGER: dict[str, Any] = {
    "type": "string",
    "pattern": r"^\s*[-+]?[0-9]+(_[0-9]+)*(\.0*)?\s*$",
    "description": "A whole number as text",
}
NUMBER: dict[str, Any] = {
    "type": "string",
    "pattern": r"^\s*[-+]?([0-9][0-9_]*(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]+)?\s*$",
    "description": "A number as text",
}
BOOLEAN: dict[str, Any] = {
    "anyOf": [
        {
            "type": "string",
            "pattern": any_case("true", "false", "yes", "no", "on", "off", "t", "f", "y", "n", "1", "0"),
        },
        {"enum": [0, 1]},
    ],
    "description": "A truth value as text or number",
}
FLAG: dict[str, Any] = {
    "anyOf": [
        {"type": "string", "pattern": any_case("true", "false", "yes", "no", "on", "off", "1", "0", blanks=True)},
        {"enum": [0, 1]},
    ],
    "description": "true, false, yes, no, 1, 0, on, off, as text or number",
}
NAMED = {
    "template": TEMPLATE,
    "integer_text": INTEGER,
    "number_text": NUMBER,
    "boolean_text": BOOLEAN,
    "flag_text": FLAG,
}
"""What the definitions of a schema hold once and refer to by name."""


def ref(name: str) -> dict[str, Any]:
    """A reference to a definition of the same schema."""
    return {"$ref": f"#/$defs/{name}"}


def shortened(schema: Any, defs: dict[str, Any]) -> Any:
    """The schema with the named texts as references; `defs` receives those that are used."""
    for name, text in NAMED.items():
        if schema == text or schema == ref(name):
            defs[name] = text
            return ref(name)
    if isinstance(schema, dict):
        if {"type": "string"} in (members := schema.get("anyOf", [])):  # which takes the texts in too
            schema = {**schema, "anyOf": [each for each in members if each not in (INTEGER, NUMBER)]}
        return {key: shortened(value, defs) for key, value in schema.items()}
    return [shortened(value, defs) for value in schema] if isinstance(schema, list) else schema
