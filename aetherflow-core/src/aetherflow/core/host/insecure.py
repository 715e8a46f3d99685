"""Which settings of a resource give up a protection, as the models of its connector mark them: `InsecureWhen`."""

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from aetherflow.core.base.location import DocPath
from aetherflow.core.contracts.fields import InsecureWhen, parse_bool
from aetherflow.core.host.connecting import models_of


def insecure_settings(cls: Any, resource: Mapping[str, Any]) -> Iterator[DocPath]:
    """The paths, from `config` or `options` on, of the rendered settings of a resource that give up a protection."""
    for section, model in models_of(cls):
        for path, value in _leaves(resource.get(section)):
            if path and gives_up(model, path, value):
                yield (section, *path)


def gives_up(model: type[BaseModel], path: DocPath, value: Any) -> bool:
    """Whether a rendered value at a path in a section of settings gives up a protection."""
    found = field_of(model, path[0])
    if found is None:
        return False
    field, rest = found[1], path[1:]
    while rest and (inner := _model_in(field.annotation)) is not None and rest[0] in inner.model_fields:
        field, rest = inner.model_fields[str(rest[0])], rest[1:]
    for part in reversed(rest):
        value = {part: value}
    return any(isinstance(item, InsecureWhen) and _same(value, item.value) for item in field.metadata)


def field_of(model: type[BaseModel], key: str | int) -> tuple[str, FieldInfo] | None:
    """Name and field of a key, which may be an alias; None if the model has none."""
    return _fields(model).get(key)


@lru_cache(maxsize=512)
def _fields(model: type[BaseModel]) -> dict[str | int, tuple[str, FieldInfo]]:
    found: dict[str | int, tuple[str, FieldInfo]] = {}
    for name, info in model.model_fields.items():
        choices = getattr(info.validation_alias, "choices", (info.validation_alias,))
        for key in (name, info.alias, *choices):
            if isinstance(key, str):
                found.setdefault(key, (name, info))
    return found


def _leaves(value: Any, path: DocPath = ()) -> Iterator[tuple[DocPath, Any]]:
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            yield from _leaves(inner, (*path, key))
    else:
        yield path, value


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The model that an annotation has or allows."""
    parts = [annotation, *get_args(annotation)]
    return next((part for part in parts if isinstance(part, type) and issubclass(part, BaseModel)), None)


def _same(value: Any, insecure: object) -> bool:
    if callable(insecure):
        return bool(insecure(value))
    if isinstance(insecure, bool):
        try:
            return parse_bool(value) is insecure
        except ValueError:
            return False
    return bool(value == insecure)
