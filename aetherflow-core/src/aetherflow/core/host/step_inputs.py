"""The inputs of a step, and of the steps inside it, with their classes; the conditions among them."""

from collections.abc import Iterator, Mapping
from typing import Any

from aetherflow.core.base.errors import AetherflowError
from aetherflow.core.base.location import DocPath
from aetherflow.core.contracts.step import Step
from aetherflow.core.host.catalog import Catalog

Inputs = tuple[DocPath, type[Step[Any]], dict[str, Any]]


def inputs_of(step: Mapping[str, Any], path: DocPath, catalog: Catalog) -> Iterator[Inputs]:
    """Path, class and inputs of its `verify`, of the step, and of its inner steps.

    Left out is what has no inputs, and a type that cannot be used: that is reported where the type is checked.
    """
    if isinstance(verify := step.get("verify"), dict):
        yield from inputs_of(verify, (*path, "verify"), catalog)
    name, inputs = step.get("type"), step.get("inputs")
    if not isinstance(name, str) or not isinstance(inputs, dict):
        return
    try:
        cls = catalog.step(name)
    except AetherflowError:
        return
    yield (*path, "inputs"), cls, inputs
    for key in cls.inner_steps:
        if isinstance(inner := inputs.get(key), dict):
            yield from inputs_of(inner, (*path, "inputs", key), catalog)


def conditions_of(step: Mapping[str, Any], catalog: Catalog, path: DocPath = ()) -> Iterator[tuple[DocPath, str]]:
    """Path and text of each input that is a condition in the grammar of `when`: those named in `Step.conditions`."""
    for at, cls, inputs in inputs_of(step, path, catalog):
        for key in cls.conditions:
            if isinstance(text := inputs.get(key), str):
                yield (*at, key), text
