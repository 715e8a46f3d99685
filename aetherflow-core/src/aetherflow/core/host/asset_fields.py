"""Finding the values in inputs and settings that their models mark: files of the flow, hosts, files, code."""

from collections.abc import Collection, Iterator, Mapping
from functools import cache
from typing import Any, get_args, get_origin

from pydantic import AliasChoices, BaseModel
from pydantic.fields import FieldInfo

from aetherflow.core.base.location import DocPath
from aetherflow.core.contracts.fields import Arguments, AssetFile, Holds

Marked = tuple[DocPath, Any, Any]
Marks = tuple[type, ...]
CLASSES: Marks = (Arguments, Holds, AssetFile)
"""The marks that say what a text holds; the first one of them counts."""


def assets_in(model: type[BaseModel], data: Any) -> Iterator[tuple[DocPath, str, AssetFile]]:
    """Path, value and mark of each file of the flow in raw data for the model, also in models and lists inside."""
    for path, value, mark in _marked_in(model, data, (AssetFile,)):
        if isinstance(value, str):
            yield path, value, mark


def held_in(model: type[BaseModel], data: Any, resource: Mapping[str, Any]) -> Iterator[tuple[DocPath, Any, Holds]]:
    """Path, value and class of each text in rendered settings; of a library's arguments each on its own."""
    for path, value, mark in _marked_in(model, data, CLASSES):
        if isinstance(mark, Arguments):
            for name, argument, holds in mark.held(value, resource):
                yield ((*path, name) if name else path), argument, holds
        elif not isinstance(mark, AssetFile):
            yield path, value, mark
        elif isinstance(value, str) and not mark.is_content(value):
            yield path, value, Holds.READS


def _marked_in(model: type[BaseModel], data: Any, wanted: Marks) -> Iterator[Marked]:
    for field, keys in _holding(model, wanted) if isinstance(data, Mapping) else ():
        for key in keys:
            if key in data:
                yield from _below(key, _marked(field.annotation, field.metadata, data[key], wanted))


def _marked(annotation: Any, marks: Any, data: Any, wanted: Marks) -> Iterator[Marked]:
    mark = _first(marks, wanted)
    if mark is not None and data is not None:
        yield (), data, mark
    elif isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield from _marked_in(annotation, data, wanted)
    elif isinstance(data, list | tuple | Mapping) and _holds_items(annotation):
        for key, item in data.items() if isinstance(data, Mapping) else enumerate(data):
            for inner in _inner(annotation):
                yield from _below(key, _marked(inner, _marks(inner), item, wanted))
    else:
        for inner in _inner(annotation):
            yield from _marked(inner, _marks(inner), data, wanted)


def _first(marks: Any, wanted: Marks) -> Any:
    return next((each for kind in wanted for each in marks if isinstance(each, kind)), None)


def _below(key: str | int, found: Iterator[Marked]) -> Iterator[Marked]:
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
def _holding(model: type[BaseModel], wanted: Marks) -> list[tuple[FieldInfo, list[str]]]:
    """The fields of a model that are marked or have such fields inside, each with its keys: most models have none."""
    return [(field, _keys(name, field)) for name, field in model.model_fields.items() if _is_marked(field, wanted)]


def _is_marked(field: FieldInfo, wanted: Marks) -> bool:
    known: set[type[BaseModel]] = set()
    left = [field]
    while left:
        each = left.pop()
        pieces = [each.annotation]
        if _first(each.metadata, wanted) is not None:
            return True
        while pieces:
            piece = pieces.pop()
            if _first(_marks(piece), wanted) is not None:
                return True
            pieces += _inner(piece)
            if isinstance(piece, type) and issubclass(piece, BaseModel) and piece not in known:
                known.add(piece)
                left += piece.model_fields.values()
    return False
