"""Finding the values in inputs and settings that their models mark: files of the flow, hosts, files, code."""

from collections.abc import Collection, Iterator, Mapping
from datetime import date, time, timedelta
from decimal import Decimal
from enum import Enum
from functools import cache
from typing import Any, Literal, get_args, get_origin

from pydantic import AliasChoices, BaseModel, SecretBytes, SecretStr
from pydantic.fields import FieldInfo

from aetherflow.core.base.location import DocPath
from aetherflow.core.contracts.fields import Arguments, AssetFile, Holds, ResourceRef

Marked = tuple[DocPath, Any, Any]
Marks = tuple[type, ...]
CLASSES: Marks = (Arguments, Holds, AssetFile)
"""The marks that say what a text holds; the first one of them counts."""
NO_TEXT = (int, float, Decimal, date, time, timedelta, Enum, SecretStr, SecretBytes, type(None))
"""Types of data: what they read names no file, no host and no code."""
CLASS_FIX = (
    "give its texts a class, by their type: PlainText or PlainValue for data, ReadPath or WritePath for a file, "
    "Annotated[str, Holds.HOST] for a host, Annotated[str, Holds.CODE] for code"
)


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


def unclassed(model: type[BaseModel]) -> list[str]:
    """The fields that can hold a text and have no class, as `field.[].inner`."""
    return [".".join(path) for path, mark in classes_in(model) if mark is None]


def classes_in(model: type[BaseModel], *above: type[BaseModel]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Path and mark of each field that can hold a text, also in models inside; None where it has no class.

    `[]` is any item of a list, `*` any value of a map.
    """
    for name, field in model.model_fields.items():
        for path, mark in _classes(field.annotation, field.metadata, (*above, model)):
            yield (name, *path), mark


def _classes(annotation: Any, marks: Any, above: tuple[type[BaseModel], ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    mark, origin = _first(marks, (*CLASSES, ResourceRef)), get_origin(annotation)
    if mark is not None:
        if not isinstance(mark, ResourceRef):
            yield (), mark
    elif isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield from classes_in(annotation, *above) if annotation not in above else ()
    elif inner := _inner(annotation):
        is_map = isinstance(origin, type) and issubclass(origin, Mapping)
        item = ("*",) if is_map else ("[]",) if _holds_items(annotation) else ()
        for each in () if origin is Literal else inner[is_map:]:  # keys of maps are data
            for path, found in _classes(each, _marks(each), above):
                yield (*item, *path), found
    elif annotation is not ... and not (isinstance(annotation, type) and issubclass(annotation, NO_TEXT)):
        yield (), None


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
    if (value := getattr(annotation, "__value__", None)) is not None:  # of a `type` alias
        return (value,)
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
