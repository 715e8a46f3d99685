"""Descriptions of plugins: docstring, example, and inputs and outputs or settings."""

import inspect
import json
import re
import types
from collections.abc import Iterator
from dataclasses import dataclass, field
from textwrap import dedent
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from aetherflow.core.contracts.fields import ResourceRef
from aetherflow.core.host.connecting import models_of
from aetherflow.core.host.metadata import PluginEntry
from aetherflow.core.host.names import BUNDLE_SOURCES, COMMANDS, STEPS


@dataclass(frozen=True, slots=True)
class FieldInfo:
    """One input, output or setting of a plugin."""

    name: str
    type: str
    required: bool
    default: Any
    """JSON-safe; None if there is none."""
    description: str
    aliases: list[str] = field(default_factory=list)
    """Other keys that the model accepts for it."""

    def as_row(self) -> list[str]:
        """Name, type, default, description as text."""
        name = self.name + (f" ({', '.join(self.aliases)})" if self.aliases else "")
        shown = "" if self.default is None else json.dumps(self.default, ensure_ascii=False)
        return [name, self.type, "required" if self.required else shown, self.description]


@dataclass(frozen=True, slots=True)
class Description:
    """A plugin as `plugins show` prints it."""

    entry: PluginEntry
    text: str
    example: str
    facts: dict[str, Any]
    """`effect` of a step; `requires` of a connector, the modules of its driver; `resource` of a bundle source;
    `usage` of a command."""
    sections: dict[str, list[FieldInfo]]
    """`inputs` and `outputs` of a step, `config` and `options` of a connector, `source` of a bundle
    source; only what is declared."""


def describe(entry: PluginEntry, cls: Any) -> Description:
    """Describe the class of an entry, or its command."""
    if entry.group == COMMANDS:
        text = cls.info.help if hasattr(cls, "info") else cls.help  # a typer app, a command of click
        usage = f"aetherflow {entry.name} --help"
        return Description(entry, inspect.cleandoc(text if isinstance(text, str) else ""), "", {"usage": usage}, {})
    text, example = doc_of(cls)
    if entry.group == STEPS:
        facts: dict[str, Any] = {"effect": cls.effect}
    elif entry.group == BUNDLE_SOURCES:
        facts = {"resource": cls.resource_kind or "none"}
    else:
        facts = {"requires": list(getattr(cls, "requires", ()))}
    sections = {name: list(fields_of(model)) for name, model in declared_models(entry, cls)}
    if entry.group == STEPS and cls.Inputs is None and cls.required_inputs:
        required = [FieldInfo(name, "any", True, None, "") for name in sorted(cls.required_inputs)]
        sections = {"inputs": required, **sections}
    return Description(entry, text, example, facts, sections)


def declared_models(entry: PluginEntry, cls: Any) -> Iterator[tuple[str, type[BaseModel]]]:
    """The models that a class declares, with the names of their sections."""
    if entry.group == STEPS:
        models = [("inputs", cls.Inputs), ("outputs", cls.Outputs)]
    elif entry.group == BUNDLE_SOURCES:
        models = [("source", cls.Config)]
    else:
        models = list(models_of(cls))
    for section, model in models:
        if model is not None:
            yield section, model


def doc_of(cls: type) -> tuple[str, str]:
    """The docstring of a class without the YAML example at its end, and the example."""
    lines = inspect.cleandoc(cls.__dict__.get("__doc__") or "").split("\n")
    while lines and not lines[-1]:
        lines.pop()
    start = len(lines)
    while start and (not lines[start - 1] or lines[start - 1].startswith("    ")):
        start -= 1
    if start == len(lines):  # a YAML list without indentation is an example, too
        marks = [i for i, line in enumerate(lines) if line.startswith("- ") and not lines[i - 1]]
        last = marks[-1] if marks else len(lines)
        start = last if all(not line or line.startswith(("- ", " ")) for line in lines[last:]) else start
    text = "\n".join(lines[:start]).strip()
    return re.sub(r"\s*\bExamples?:\Z", "", text), dedent("\n".join(lines[start:])).strip()


def fields_of(model: type[BaseModel], prefix: str = "") -> Iterator[FieldInfo]:
    """The fields of a model, required ones first; those of inner models follow their owner, with dotted names."""
    for name, info in sorted(model.model_fields.items(), key=lambda item: not item[1].is_required()):
        choices = getattr(info.validation_alias, "choices", (info.validation_alias or info.alias,))
        aliases = [alias for alias in choices if isinstance(alias, str) and alias != name]
        inner = _inner_model(info.annotation)
        default = None if info.is_required() else _default(info, inner)
        yield FieldInfo(prefix + name, _type(info), info.is_required(), default, info.description or "", aliases)
        if inner is not None and not issubclass(model, inner):  # not a block that repeats its owner's keys
            yield from fields_of(inner, f"{prefix}{name}.")


def _inner_model(annotation: Any) -> type[BaseModel] | None:
    members = (annotation, *get_args(annotation))
    return next((each for each in members if isinstance(each, type) and issubclass(each, BaseModel)), None)


def _type(info: Any) -> str:
    ref = next((item for item in info.metadata if isinstance(item, ResourceRef)), None)
    return f"resource of {_kind(ref)}" if ref is not None else _name(info.annotation)


def _kind(ref: ResourceRef) -> str:
    return "any kind" if ref.kind is None else f"kind {ref.kind}"


def _name(annotation: Any) -> str:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _name(arguments[0])
    if origin is Literal:
        return ", ".join(str(choice) for choice in arguments)
    if origin in (Union, types.UnionType):
        return " or ".join(dict.fromkeys(_name(each) for each in arguments if each is not type(None)))
    if origin in (list, tuple):
        inner = _name(arguments[0])
        return "list" if inner == "any" else f"list of {inner}"
    plain = {str: "text", int: "integer", float: "number", bool: "boolean", Any: "any"}
    found = plain.get(annotation) if origin is None else None
    return found or ("secret text" if getattr(annotation, "__name__", "") == "SecretStr" else "map")


def _default(info: Any, inner: type[BaseModel] | None) -> Any:
    default = info.get_default(call_default_factory=True)
    if default is PydanticUndefined or default is None or (inner is not None and isinstance(default, inner)):
        return None
    try:
        return json.loads(json.dumps(default))
    except (TypeError, ValueError):
        return str(default)
