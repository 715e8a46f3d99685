"""Binding plain data to typed models; errors become problems with a location and a fix."""

import types
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace
from functools import lru_cache, reduce
from operator import getitem
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel

from aetherflow.core.base.location import DocPath, format_path
from aetherflow.core.base.problems import Problem
from aetherflow.core.base.suggest import did_you_mean
from aetherflow.core.contracts.written import fit, text_of
from aetherflow.core.kernel.yaml.source_map import SourceMap

ModelT = TypeVar("ModelT", bound=BaseModel)

UNKNOWN_KEY, MISSING_KEY, WRONG_VALUE, MORE = "AF1101", "AF1102", "AF1103", "AF1106"
MAX_SHOWN = 1_000
"""Problems reported for one document at most; the others are only counted."""


def bind(
    model: type[ModelT],
    data: Any,
    source: SourceMap,
    *,
    at: DocPath = (),
    ignore: Callable[[DocPath], bool] | None = None,
) -> tuple[ModelT | None, list[Problem]]:
    """Build `model` from `data`, which is at path `at` of its document.

    Returns the model, or None with the problems. `ignore(path)` suppresses wrong values that are not known before the
    run, such as templates.
    """
    fitted = fit(model, data, lambda path, value: text_of(value, source.words.get((*at, *path))))
    source.texts.update({(*at, *path): text for path, text in fitted.texts.items()})
    if (error := fitted.error) is None:
        return fitted.model, []
    items = error.errors(include_url=False, include_input=True)
    found = (_problem(model, item, source, at, ignore, data) for item in items[:MAX_SHOWN])
    problems = _one_each([problem for problem in found if problem is not None])
    if (more := len(items) - MAX_SHOWN) > 0:
        path = (*at, *_document_path(model, items[MAX_SHOWN]["loc"]))
        message = f"{more:,} more mistakes in {format_path(at)}, the first of them here"
        where = source.value(path)
        problems.append(Problem(MORE, message, where, format_path(path), "schema:more", "mend those above first"))
    return None, problems


def _one_each(problems: list[Problem]) -> list[Problem]:
    """One problem for a value that is no member of a union; none where a member that it resembles says more inside."""
    found: dict[tuple[str, str], Problem] = {}
    places = "\0".join(["", *(each.loc for each in problems)])  # one text, since there may be 1,000
    for each in problems:
        if each.af == WRONG_VALUE and any(f"\0{each.loc}{sign}" in places for sign in ".["):
            continue
        before = found.setdefault((each.af, each.loc), each)
        if before is not each and each.af == WRONG_VALUE:
            text = before.message[len(each.loc) + 2 :]
            found[each.af, each.loc] = replace(before, message=f"{each.message}, or {text}")
    return list(found.values())


@lru_cache(maxsize=512)
def known_keys(model: type[BaseModel]) -> frozenset[str]:
    """Every key that a model accepts, aliases included."""
    keys: set[str] = set()
    for name, field in model.model_fields.items():
        keys.add(name)
        keys.update(alias for alias in (field.alias, field.validation_alias) if isinstance(alias, str))
        keys.update(alias for alias in getattr(field.validation_alias, "choices", ()) if isinstance(alias, str))
    return frozenset(keys)


def _problem(
    model: type[BaseModel],
    item: Any,
    source: SourceMap,
    base: DocPath,
    ignore: Callable[[DocPath], bool] | None,
    data: Any,
) -> Problem | None:
    kind, loc = item["type"], _document_path(model, item["loc"])
    if kind == "extra_forbidden":  # its last part is always a key, also below a union
        loc = (*_document_path(model, item["loc"][:-1]), item["loc"][-1])
    path = (*base, *loc)
    where = format_path(path)
    if kind == "extra_forbidden":
        name = str(loc[-1])
        owner = _model_at(model, loc[:-1])
        fix = did_you_mean(name, known_keys(owner), given=_present(data, loc[:-1])) if owner else "remove the key"
        at = source.key(path)
        if owner and name in known_keys(owner):  # pydantic took another spelling of the same field
            message = f"{format_path(path[:-1])} gives {_spellings(owner, name)} twice, under two of its names"
            return Problem(UNKNOWN_KEY, message, at, where, f"schema:{kind}", f"remove `{name}:`")
        return Problem(
            UNKNOWN_KEY, f"unknown key {name!r} in {format_path(path[:-1])}", at, where, f"schema:{kind}", fix
        )
    if kind == "missing":
        at = source.key(path[:-1])
        message = f"{format_path(path[:-1])} lacks the key {loc[-1]!r}"
        return Problem(MISSING_KEY, message, at, where, f"schema:{kind}", f"add `{loc[-1]}:`{_purpose(model, loc)}")
    if ignore is not None and ignore(path):
        return None
    message = f"{where}: {_message(item)}"
    return Problem(WRONG_VALUE, message, source.value(path), where, f"schema:{kind}", _value_fix(item, model, loc))


def _present(data: Any, loc: DocPath) -> Collection[str]:
    """The keys that are there already, of which none was meant; none if pydantic names an alias on the way."""
    try:
        inside: Any = reduce(getitem, loc, data)
    except (LookupError, TypeError):
        return ()
    return inside if isinstance(inside, dict) else ()


def _message(item: Any) -> str:
    if item["type"] in ("model_type", "dict_type"):
        return "must be a map of keys and values"
    if item["type"] == "union_tag_invalid":
        return "{discriminator} is '{tag}', and must be {expected_tags}".format_map(item["ctx"])
    text: str = item["msg"].replace("Unable to extract tag using discriminator", "lacks the key")
    text = text.removeprefix("Value error, ").removeprefix("Assertion failed, ")
    text = text.replace("Input should be", "must be").replace("Input is", "is").replace("valid tuple", "valid list")
    return text[0].lower() + text[1:]


_WRITE = {
    **dict.fromkeys(("dict_type", "model_type"), "write it as `key: value` lines"),
    **dict.fromkeys(("list_type", "tuple_type"), "write it as a list, one `- item` per line"),
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float"), "write a whole number"),
    **dict.fromkeys(("float_type", "float_parsing"), "write a number"),
    **dict.fromkeys(("bool_type", "bool_parsing"), "write true or false"),
    "string_type": "write a text",
    "string_too_short": "write a text of at least {min_length} characters",
    "string_too_long": "write a text of at most {max_length} characters",
    "string_pattern_mismatch": "write a text that matches {pattern}",
    "too_short": "give at least {min_length}",
    "too_long": "give at most {max_length}",
    "greater_than_equal": "write a number of at least {ge}",
    "greater_than": "write a number above {gt}",
    "less_than_equal": "write a number of at most {le}",
    "less_than": "write a number below {lt}",
    "union_tag_invalid": "set {discriminator} to one of {expected_tags}",
    "union_tag_not_found": "add the key {discriminator}",
}
"""The fix for each kind of error of pydantic; its context is filled in."""


def _value_fix(item: Any, model: type[BaseModel], loc: DocPath) -> str:
    kind, value, context = item["type"], item.get("input"), item.get("ctx") or {}
    if own := getattr(context.get("error"), "fix", ""):
        return str(own)
    if kind == "string_type" and value is None:
        return 'write a value; quote the word null: "null"'
    if kind in _WRITE:
        plain = {
            name: int(each) if isinstance(each, float) and each.is_integer() else each for name, each in context.items()
        }
        return _WRITE[kind].format_map(plain) + _purpose(model, loc)
    if kind == "literal_error":
        choices = [str(choice) for choice in _choices_at(model, loc)]
        return did_you_mean(str(value), choices, what="choices") if choices else "take one of the values named"
    if kind == "value_error" and isinstance(value, str) and value.isidentifier() and value.isupper():
        return f"write {{{{env.{value}}}}} if that is the name of a variable{_purpose(model, loc)}"
    if isinstance(value, dict):
        return "add, change or remove keys there"
    return f"write another value{_purpose(model, loc)}"


def _purpose(model: type[BaseModel], loc: DocPath) -> str:
    owner = _model_at(model, loc[:-1])
    field = owner.model_fields.get(str(loc[-1])) if owner and loc else None
    return f" ({field.description})" if field is not None and field.description else ""


def _document_path(model: type[BaseModel], loc: Sequence[str | int]) -> DocPath:
    # pydantic names the members of a union in `loc` ("str", "function-after[…]"); a document path has none of them
    path: list[str | int] = []
    annotation: Any = model
    for part in loc:
        if isinstance(part, str) and _is_union(annotation) and part not in _keys(annotation):
            continue
        path.append(part)
        annotation = _step_into(annotation, part)
    return tuple(path)


def _is_union(annotation: Any) -> bool:
    if get_origin(annotation) is Annotated:
        return _is_union(get_args(annotation)[0])
    if get_origin(annotation) not in (Union, types.UnionType):
        return False
    # pydantic names no members in `loc` where the only other one is None
    return sum(member is not type(None) for member in get_args(annotation)) > 1


def _keys(annotation: Any) -> set[str]:
    return {key for member in _members(annotation) if _is_model(member) for key in known_keys(member)}


def _members(annotation: Any) -> Iterable[Any]:
    if get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    if _is_model(annotation) and annotation.__pydantic_root_model__:
        annotation = annotation.model_fields["root"].annotation
    if get_origin(annotation) in (Union, types.UnionType):
        for member in get_args(annotation):
            yield from _members(member)
    else:
        yield annotation


def _is_model(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _step_into(annotation: Any, part: str | int) -> Any:
    for member in _members(annotation):
        if _is_model(member) and isinstance(part, str):
            for name, field in member.model_fields.items():
                if part == name or (part in known_keys(member) and _answers_to(field, part)):
                    return field.annotation
        arguments = get_args(member)
        if get_origin(member) is list and isinstance(part, int):
            return arguments[0]
        if get_origin(member) is dict and isinstance(part, str):
            return arguments[1]
    return None


def _spellings(owner: type[BaseModel], key: str) -> str:
    return next(repr(name) for name, field in owner.model_fields.items() if key == name or _answers_to(field, key))


def _answers_to(field: Any, key: str) -> bool:
    choices = getattr(field.validation_alias, "choices", (field.validation_alias,))
    return key in (field.alias, *choices)


def _model_at(model: type[BaseModel], loc: DocPath) -> type[BaseModel] | None:
    annotation: Any = model
    for part in loc:
        annotation = _step_into(annotation, part)
    return next((member for member in _members(annotation) if _is_model(member)), None)


def _choices_at(model: type[BaseModel], loc: DocPath) -> list[Any]:
    annotation: Any = model
    for part in loc:
        annotation = _step_into(annotation, part)
    return [c for member in _members(annotation) if get_origin(member) is Literal for c in get_args(member)]
