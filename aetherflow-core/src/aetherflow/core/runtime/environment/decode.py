"""Which values of a resource the secrets hook decodes, and the merge of a profile with a resource."""

from collections.abc import Mapping
from typing import Any

from aetherflow.core.base.errors import ResolverSyntaxError

SECTIONS = ("config", "options")
Paths = set[tuple[str, ...]]


def deep_merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Merge `over` into `base`: maps are merged, any other value of `over` replaces that of `base`."""
    merged = dict(base)
    for key, value in over.items():
        old = merged.get(key)
        both_maps = isinstance(old, Mapping) and isinstance(value, Mapping)
        merged[key] = deep_merge(old, value) if both_maps else value  # type: ignore[arg-type]  # both are maps
    return merged


def merge_decode(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Merge two `decode` maps; the lists `config_paths` and `options_paths` are joined without duplicates."""
    merged = deep_merge(base, over)
    for section in SECTIONS:
        key = f"{section}_paths"
        if key in base or key in over:
            merged[key] = list(dict.fromkeys([*base.get(key, []), *over.get(key, [])]))
    return merged


def decode_paths(decode: Mapping[str, Any]) -> dict[str, Paths]:
    """The paths to decode, by section, from both notations.

        {config: {password: true, headers: {Authorization: true}}}
        {config_paths: [password, headers.Authorization]}

    Raises ResolverSyntaxError for anything else.
    """
    known = {*SECTIONS, *(f"{section}_paths" for section in SECTIONS)}
    if unknown := sorted(decode.keys() - known):
        raise ResolverSyntaxError(f"decode has the unknown key {unknown[0]!r}; known: {', '.join(sorted(known))}")
    found: dict[str, Paths] = {}
    for section in SECTIONS:
        paths: Paths = set()
        _from_map(decode.get(section) or {}, (), paths)
        for dotted in decode.get(f"{section}_paths") or []:
            if not isinstance(dotted, str) or not dotted:
                raise ResolverSyntaxError(f"decode.{section}_paths holds dotted names")
            paths.add(tuple(dotted.split(".")))
        found[section] = paths
    return found


def _from_map(value: Any, at: tuple[str, ...], paths: Paths) -> None:
    if isinstance(value, Mapping):
        for key, item in value.items():
            _from_map(item, (*at, key), paths)
    elif value is True:
        paths.add(at)
    elif value is not False and value is not None:
        raise ResolverSyntaxError(f"decode.{'.'.join(at)} must be true or false")


def with_value(section: Mapping[str, Any], path: tuple[str, ...], new: Any) -> dict[str, Any]:
    """A copy of `section` with the value at `path` replaced."""
    head, *rest = path
    copy = dict(section)
    copy[head] = with_value(copy[head], tuple(rest), new) if rest else new
    return copy
