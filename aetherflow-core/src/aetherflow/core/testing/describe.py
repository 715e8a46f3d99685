"""Reading the descriptions of plugin classes: docstrings, examples, models, secrets."""

import inspect
import re
import textwrap
from collections.abc import Iterator
from typing import Any, get_args

import yaml
from pydantic import BaseModel

from aetherflow.core.contracts.fields import Holds
from aetherflow.core.host import asset_fields
from aetherflow.core.host.connecting import is_secret_type

_SECRET = re.compile(
    r"(^|_)(pass|password|passphrase|secret|token|credential|credentials|api_key|access_key|private_key)$"
)


def docstring(cls: type) -> str:
    """The class's own docstring, dedented; empty if it has none."""
    return inspect.cleandoc(cls.__dict__.get("__doc__") or "")


def example_steps(cls: type) -> list[dict[str, Any]]:
    """The steps in the class's docstring: the block that begins with its first line `- id: …`."""
    found = re.search(r"^( *)- id:.*\n?(?:(?:\1  .*|\1- .*|\s*)(?:\n|\Z))*", docstring(cls), re.MULTILINE)
    if found is None:
        return []
    steps = yaml.safe_load(textwrap.dedent(found[0]))
    assert isinstance(steps, list), "the example in the docstring is no list of steps"
    return steps


def models_in(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    """A model and all models in its fields."""
    pending, seen = [model], set()
    while pending:
        if (found := pending.pop()) in seen:
            continue
        seen.add(found)
        yield found
        for field in found.model_fields.values():
            pending += _models(field.annotation)


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models(argument)


def undescribed(model: type[BaseModel]) -> list[str]:
    """Fields without a description, as `Model.field`."""
    return [
        f"{each.__name__}.{name}"
        for each in models_in(model)
        for name, field in each.model_fields.items()
        if not (field.description or "").strip()
    ]


def unclassed(model: type[BaseModel]) -> str:
    """Return the fix for fields without a class; empty if all have one."""
    fields = ", ".join(f"{model.__module__}.{model.__qualname__}: {name}" for name in asset_fields.unclassed(model))
    return fields and f"{fields}: {asset_fields.CLASS_FIX}"


def file_fields(model: type[BaseModel]) -> list[str]:
    """The fields with a path that is read or written, as `field.[].inner`."""
    files = (Holds.READS, Holds.WRITES)
    return list(dict.fromkeys(".".join(path) for path, mark in asset_fields.classes_in(model) if mark in files))


def with_value(given: Any, field: str, value: str) -> Any:
    """A copy of raw inputs with this value in a field, of lists and maps in their first item."""
    name, _, inner = field.partition(".")
    if not name:
        return value
    if name == "[]":
        first, *others = given if isinstance(given, list) and given else [None]
        return [with_value(first, inner, value), *others]
    old = given if isinstance(given, dict) else {}
    key = next(iter(old), "one") if name == "*" else name
    return {**old, key: with_value(old.get(key), inner, value)}


def lenient(model: type[BaseModel]) -> list[str]:
    """Models that would accept unknown keys, by name."""
    return [each.__name__ for each in models_in(model) if each.model_config.get("extra") != "forbid"]


def secret_fields(model: type[BaseModel]) -> dict[str, bool]:
    """Top fields that hold a secret by their name or type; True if the type is SecretStr or SecretBytes."""
    typed = {name: is_secret_type(field.annotation) for name, field in model.model_fields.items()}
    return {name: secret for name, secret in typed.items() if secret or _SECRET.search(name)}


def misspelt(model: type[BaseModel]) -> tuple[str, str]:
    """A misspelt key of a model and the right one; the longest key gives the clearest suggestion."""
    right = max(model.model_fields, key=len)
    return f"{right}x", right
