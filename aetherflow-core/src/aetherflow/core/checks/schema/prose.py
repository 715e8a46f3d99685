"""Reading a plugin's docstring for editors: its text, and the example at its end."""

import inspect
import textwrap
from collections.abc import Iterator
from typing import Any, NamedTuple

from aetherflow.core.base.errors import SpecError
from aetherflow.core.kernel.yaml.loader import parse_document


class Prose(NamedTuple):
    """A class's docstring in parts."""

    summary: str
    """The first paragraph, on one line."""
    text: str
    """The docstring without the example."""
    example: Any
    """The example's data; None if there is none."""


def prose(cls: type) -> Prose:
    """Read the class's own docstring; the example is the last indented block, under `Example:` or not."""
    lines = inspect.cleandoc(cls.__dict__.get("__doc__") or "").split("\n")
    end = len(lines)
    while end and (not lines[end - 1].strip() or lines[end - 1].startswith("    ")):
        end -= 1
    example = _data("\n".join(lines[end:]))
    head = lines[:end]
    if head and head[-1].strip().rstrip(":").lower() in ("example", "examples"):
        head.pop()
    text = "\n".join(head).strip()
    return Prose(" ".join(text.split("\n\n")[0].split()), text, example)


def find(data: Any, **wanted: str) -> dict[str, Any] | None:
    """The first map in the data whose keys have these values."""
    return next((each for each in _maps(data) if all(each.get(key) == value for key, value in wanted.items())), None)


def _data(text: str) -> Any:
    try:
        return parse_document(textwrap.dedent(text), "example").data if text.strip() else None
    except SpecError:
        return None


def _maps(data: Any) -> Iterator[dict[str, Any]]:
    if isinstance(data, dict):
        yield data
    for each in data.values() if isinstance(data, dict) else data if isinstance(data, list) else ():
        yield from _maps(each)
