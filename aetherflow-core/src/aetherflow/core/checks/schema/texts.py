"""Schemas of text in place of another value: templates, and text that models read as numbers and booleans."""

from typing import Any

from aetherflow.core.contracts.fields import any_case

TEXT = ("string", "number", "boolean")
"""Types of the values that a text field accepts; numbers and booleans arrive in their written form."""
_NAME = "[A-Za-z_][A-Za-z0-9_]*"
TEMPLATE: dict[str, Any] = {
    "type": "string",
    "pattern": r"\{\{\s*" + _NAME + r"(\." + _NAME + r")*\s*(:[^{}]*)?\}\}",
    "description": "A template, {{env.NAME}} or {{steps.ID.OUTPUT}}: checked once more after rendering",
}
_INTEGER = r"[0-9]+(_[0-9]+)*(\.0*)?"
_NUMBER = r"([0-9][0-9_]*(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]+)?"
_SIGNS = {"": "[-+]?", "positive_": r"\+?(?=[0.]*[1-9])", "unsigned_": r"\+?"}
NUMBERS: dict[str, dict[str, Any]] = {
    f"{sign}{name}_text": {
        "type": "string",
        "pattern": rf"^\s*{signs}{digits}\s*$",
        "description": f"{sign.replace('_', ' ')}{name} as text".capitalize(),
    }
    for sign, signs in _SIGNS.items()
    for name, digits in (("integer", _INTEGER), ("number", _NUMBER))
}
"""Patterns for numbers as text; of their limits a pattern can only check sign and zero."""
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
NAMED = {"template": TEMPLATE, "boolean_text": BOOLEAN, "flag_text": FLAG, **NUMBERS}
"""Definitions that a schema contains once and refers to by name."""


def ref(name: str) -> dict[str, Any]:
    """A reference to a definition of the same schema."""
    return {"$ref": f"#/$defs/{name}"}


_NAMES = {key: name for name, text in NAMED.items() for key in (text["description"], ref(name)["$ref"])}
"""Description, and reference, of each of them to its name."""


def number_text(number: dict[str, Any]) -> dict[str, Any]:
    """The schema of text that is read as a number of this schema."""
    least, above = number.get("minimum", -1), number.get("exclusiveMinimum", -1)
    sign = "positive_" if least > 0 or above >= 0 else "unsigned_" if least == 0 else ""
    return NUMBERS[f"{sign}{number['type']}_text"]


def shortened(schema: Any, defs: dict[str, Any]) -> Any:
    """Replace named schemas by references; the used ones are added to `defs`."""
    if isinstance(schema, dict):
        key = schema.get("description") or schema.get("$ref")
        if isinstance(key, str) and (name := _NAMES.get(key)) and schema in (NAMED[name], ref(name)):
            defs[name] = NAMED[name]
            return ref(name)
        members = schema.get("anyOf", [])
        if {"type": list(TEXT)} in members or {"type": [*TEXT, "null"]} in members:  # these accept number texts, too
            schema = {**schema, "anyOf": [each for each in members if each not in NUMBERS.values()]}
        return {key: shortened(value, defs) for key, value in schema.items()}
    return [shortened(value, defs) for value in schema] if isinstance(schema, list) else schema
