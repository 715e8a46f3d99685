"""From a model to JSON Schema: the schema describes everything that the model accepts from YAML.

Pydantic's own schema has one spelling of a field and one type of a value. The models accept more: every alias, text
for numbers, and the values that a `before` validator converts.
"""

import re
from itertools import combinations
from typing import Any, ClassVar

from pydantic import BaseModel, RootModel
from pydantic.fields import FieldInfo
from pydantic.json_schema import GenerateJsonSchema

from aetherflow.core.checks.schema.texts import BOOLEAN, FLAG, TEXT, number_text
from aetherflow.core.contracts.fields import parse_bool
from aetherflow.core.contracts.written import plain
from aetherflow.core.kernel.yaml.scalars import plain_scalar

_OBJECTS = ("model", "model-fields", "dict", "typed-dict", "dataclass", "definition-ref")
_AS_THEY_ARE = (type(None), bool, int, str)
"""Types of defaults that are the same in JSON."""
_NOT_AN_OBJECT = {"type": ["array", "boolean", "null", "number", "string"]}
_INLINE_FLAGS = re.compile(r"\(\?[a-zA-Z-]*[:)]|\\[AZz]")


def describe(
    model: type[BaseModel], prefix: str = "", *, partial: bool = False
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The schema of a model, and the definitions that it refers to, whose names start with `prefix`.

    `partial`: no key is required, as in settings that are merged with others. Raises what the model's hooks raise.
    """
    # pydantic takes a generator class, so the variant is a subclass
    found = model.model_json_schema(
        by_alias=False,
        ref_template=f"#/$defs/{prefix}{{model}}",
        schema_generator=_Partial if partial else _Whole,
        mode="validation",
    )
    defs = {f"{prefix}{name}": each for name, each in found.pop("$defs", {}).items()}
    for each in (found, *defs.values()):
        each.pop("title", None)  # a class name means nothing to users
    return found, defs


class _Whole(GenerateJsonSchema):
    ignored_warning_kinds = {"skipped-choice", "non-serializable-default"}  # noqa: RUF012 as the base declares it
    partial: ClassVar = False

    def int_schema(self, schema: Any) -> dict[str, Any]:
        found = super().int_schema(schema)
        return _or_text(found, number_text(found), schema)

    def float_schema(self, schema: Any) -> dict[str, Any]:
        found = super().float_schema(schema)
        return _or_text(found, number_text(found), schema)

    def bool_schema(self, schema: Any) -> dict[str, Any]:
        return _or_text(super().bool_schema(schema), BOOLEAN, schema)

    def str_schema(self, schema: Any) -> dict[str, Any]:
        found = super().str_schema(schema)
        if _INLINE_FLAGS.search(found.get("pattern", "")):
            del found["pattern"]  # flags of Rust or Python, which editors do not support
        # numbers and booleans are accepted in their written form, unless the text is limited: a schema cannot see it
        return found if schema.get("strict") or _measures(found) else {**found, "type": list(TEXT)}

    def literal_schema(self, schema: Any) -> dict[str, Any]:
        found = super().literal_schema(schema)
        words = [each for each in schema["expected"] if isinstance(each, str)]
        values = [value for each in words if not isinstance(value := plain(plain_scalar(each)), str | None)]
        return {"enum": [*schema["expected"], *values]} if values else found

    # pydantic reads more forms of a date than the formats of JSON Schema, such as a number of seconds

    def date_schema(self, schema: Any) -> dict[str, Any]:
        del schema
        return {"type": ["string", "number"]}

    time_schema = datetime_schema = timedelta_schema = date_schema

    def list_schema(self, schema: Any) -> dict[str, Any]:
        return _with_words(super().list_schema(schema))

    def tuple_schema(self, schema: Any) -> dict[str, Any]:
        return _with_words(super().tuple_schema(schema))

    def set_schema(self, schema: Any) -> dict[str, Any]:
        return _repeated(super().set_schema(schema))

    def frozenset_schema(self, schema: Any) -> dict[str, Any]:
        return _repeated(super().frozenset_schema(schema))

    def dict_schema(self, schema: Any) -> dict[str, Any]:
        found = super().dict_schema(schema)
        if "patternProperties" in found:
            found["additionalProperties"] = False
        return found

    def function_before_schema(self, schema: Any) -> dict[str, Any]:
        if schema["function"]["function"] is parse_bool:
            return {"anyOf": [{"type": "boolean"}, FLAG]}
        return self._converted(super().function_before_schema(schema), schema)

    def tagged_union_schema(self, schema: Any) -> dict[str, Any]:
        return {"anyOf": super().tagged_union_schema(schema)["oneOf"]}

    def function_wrap_schema(self, schema: Any) -> dict[str, Any]:
        return self._converted(super().function_wrap_schema(schema), schema)

    def _converted(self, found: dict[str, Any], schema: Any) -> dict[str, Any]:
        """The input of a `before` validator: any value, unless it declares an input type."""
        if schema.get("json_schema_input_schema") or _checks_a_model(schema["function"]["function"]):
            return found
        inner = schema["schema"]
        while inner["type"] in ("default", "nullable", "function-after", "function-before", "function-wrap"):
            inner = inner["schema"]
        # maps are still checked: a validator that accepts a short form, mostly text, leaves maps unchanged
        return {"anyOf": [found, _NOT_AN_OBJECT if inner["type"] in _OBJECTS else {}]}

    def model_schema(self, schema: Any) -> dict[str, Any]:
        found, cls = super().model_schema(schema), schema["cls"]
        if "properties" in found and not issubclass(cls, RootModel):
            _spell(found, cls)
        if self.partial:
            found.pop("required", None)
        return found

    def sort(self, value: Any, parent_key: str | None = None) -> Any:
        del parent_key
        return value  # the text of the whole schema has its keys sorted

    def field_title_should_be_set(self, schema: Any) -> bool:
        del schema
        return False  # "Timeout Seconds" tells no reader more than `timeout_seconds`

    def handle_invalid_for_json_schema(self, schema: Any, error_info: str) -> dict[str, Any]:
        del schema, error_info
        return {}  # not describable in JSON Schema: anything goes, the model decides

    def encode_default(self, dft: Any) -> Any:
        if type(dft) in _AS_THEY_ARE:  # pydantic makes an adapter for each, a quarter of the time of a flow's schema
            return dft
        return super().encode_default(sorted(dft, key=repr) if isinstance(dft, set | frozenset) else dft)


class _Partial(_Whole):
    partial: ClassVar = True

    def model_schema(self, schema: Any) -> dict[str, Any]:
        found = super().model_schema(schema)
        rules = [rule for rule in found.pop("allOf", []) if "not" in rule]
        return {**found, "allOf": rules} if rules else found


def _measures(found: dict[str, Any]) -> bool:
    return bool(found.keys() & {"pattern", "maxLength", "format"}) or found.get("minLength", 0) > 1


def _or_text(found: dict[str, Any], text: dict[str, Any], schema: Any) -> dict[str, Any]:
    return found if schema.get("strict") else {"anyOf": [found, text]}


def _repeated(found: dict[str, Any]) -> dict[str, Any]:
    return _with_words({key: value for key, value in found.items() if key != "uniqueItems"})


def _with_words(found: dict[str, Any]) -> dict[str, Any]:
    """Allow null in lists of texts, where a written `null` is text; a schema cannot detect an empty item."""

    def item(each: Any) -> Any:
        if each.get("type") == list(TEXT):
            return {**each, "type": [*TEXT, "null"]}
        return {**each, "anyOf": [item(member) for member in each["anyOf"]]} if "anyOf" in each else each

    if isinstance(found.get("items"), dict):
        found["items"] = item(found["items"])
    return found


def _checks_a_model(function: Any) -> bool:
    """True for a model validator, which gets the whole map."""
    owner = getattr(function, "__self__", None)
    if not (isinstance(owner, type) and issubclass(owner, BaseModel)):
        return False
    return function.__name__ in owner.__pydantic_decorators__.model_validators


def _spell(found: dict[str, Any], cls: type[BaseModel]) -> None:
    """Make every spelling of every field a property; one of them is required if the field is, two are refused."""
    properties: dict[str, Any] = {}
    required: list[str] = []
    rules: list[dict[str, Any]] = []
    for name, own in found["properties"].items():
        names = _spellings(cls, name, cls.model_fields[name])
        for other in names[1:]:
            text = f"The same as `{names[0]}`. {own.get('description', '')}".rstrip()
            properties[other] = {**own, "description": text, "doNotSuggest": True}
            properties[other].pop("default", None)
        properties[names[0]] = own
        if name in found.get("required", ()):
            if names[1:]:
                rules.append({"anyOf": [{"required": [each]} for each in names]})
            else:
                required.append(names[0])
        if cls.model_config.get("extra") == "forbid":
            rules += [{"not": {"type": "object", "required": list(pair)}} for pair in combinations(names, 2)]
    found["properties"] = properties
    found.pop("required", None)
    if required:
        found["required"] = required
    if rules:
        found["allOf"] = [*found.get("allOf", ()), *rules]


def _spellings(cls: type[BaseModel], name: str, field: FieldInfo) -> list[str]:
    """The accepted keys of a field, the suggested one first."""
    choices = getattr(field.validation_alias, "choices", (field.validation_alias,))
    aliases = [each for each in choices if isinstance(each, str)]
    by_name = cls.model_config.get("populate_by_name") or cls.model_config.get("validate_by_name")
    return list(dict.fromkeys([name, *aliases] if by_name or not aliases else aliases))
