"""Inputs of steps that hold a condition in the grammar of `when`: those named in `Step.conditions`."""

from collections.abc import Iterator, Mapping
from typing import Any

from aetherflow.core.base.errors import AetherflowError
from aetherflow.core.base.location import DocPath
from aetherflow.core.host.catalog import Catalog


def conditions_of(step: Mapping[str, Any], catalog: Catalog, path: DocPath = ()) -> Iterator[tuple[DocPath, str]]:
    """Every condition of a step, its `verify` and its inner steps, each with its document path."""
    verify = step.get("verify")
    if isinstance(verify, dict):
        yield from conditions_of(verify, catalog, (*path, "verify"))
    name, inputs = step.get("type"), step.get("inputs")
    if not isinstance(name, str) or not isinstance(inputs, dict):
        return
    try:
        cls = catalog.step(name)
    except AetherflowError:
        return  # reported where the type is checked
    for key in cls.conditions:
        if isinstance(text := inputs.get(key), str):
            yield (*path, "inputs", key), text
    for key in cls.inner_steps:
        if isinstance(inner := inputs.get(key), dict):
            yield from conditions_of(inner, catalog, (*path, "inputs", key))
