"""Finding the values in inputs and settings that their models mark as files of the flow."""

from collections.abc import Collection, Iterator, Mapping
from functools import cache
from typing import Any, get_args, get_origin

from pydantic import AliasChoices, BaseModel
from pydantic.fields import FieldInfo

from aetherflow.core.base.location import DocPath
from aetherflow.core.contracts.fields import AssetFile

Named = tuple[DocPath, str, AssetFile]


def assets_in(model: type[BaseModel], data: Any) -> Iterator[Named]:
    """Path, value and mark of each marked text in raw data for the model, also in nested models, lists and maps."""
    for field, keys in _holding(model) if isinstance(data, Mapping) else ():
        for key in keys:
            if key in data:
                yield from _below(key, _marked(field.annotation, field.metadata, data[key]))


def _marked(annotation: Any, marks: Any, data: Any) -> Iterator[Named]:
    mark = next((each for each in marks if isinstance(each, AssetFile)), None)
    if mark is not None and isinstance(data, str):
        yield (), data, mark
    elif isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield from assets_in(annotation, data)
    elif isinstance(data, list | Mapping) and _holds_items(annotation):
        for key, item in data.items() if isinstance(data, Mapping) else enumerate(data):
            for inner in _inner(annotation):
                yield from _below(key, _marked(inner, _marks(inner), item))
    else:
        for inner in _inner(annotation):
            yield from _marked(inner, _marks(inner), data)


def _below(key: str | int, found: Iterator[Named]) -> Iterator[Named]:
    for path, value, mark in found:
        yield (key, *path), value, mark


def _holds_items(annotation: Any) -> bool:
    """True for a list, a tuple or a map; False for a union of them."""
    origin = get_origin(annotation)
    return isinstance(origin, type) and issubclass(origin, Collection)


def _inner(annotation: Any) -> tuple[Any, ...]:
    return (annotation.__origin__,) if _marks(annotation) else get_args(annotation)


def _marks(annotation: Any) -> tuple[Any, ...]:
    return tuple(getattr(annotation, "__metadata__", ()))


def _keys(name: str, field: FieldInfo) -> list[str]:
    """The keys by which a field may be given."""
    alias = field.validation_alias
    others = alias.choices if isinstance(alias, AliasChoices) else [alias]
    return list(dict.fromkeys([name, *(each for each in others if isinstance(each, str))]))


@cache
def _holding(model: type[BaseModel]) -> list[tuple[FieldInfo, list[str]]]:
    """The fields of a model that are marked or have such fields inside, each with its keys: most models have none."""
    return [(field, _keys(name, field)) for name, field in model.model_fields.items() if _holds_assets(field)]


def _holds_assets(field: FieldInfo) -> bool:
    known: set[type[BaseModel]] = set()
    left = [field]
    while left:
        each = left.pop()
        pieces = [each.annotation]
        if any(isinstance(mark, AssetFile) for mark in each.metadata):
            return True
        while pieces:
            piece = pieces.pop()
            if any(isinstance(mark, AssetFile) for mark in _marks(piece)):
                return True
            pieces += _inner(piece)
            if isinstance(piece, type) and issubclass(piece, BaseModel) and piece not in known:
                known.add(piece)
                left += piece.model_fields.values()
    return False
