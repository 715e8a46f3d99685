"""Descriptions of plugins of every group: docstring, example, and what it takes, gives or adds."""

import inspect
import json
import types
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from aetherflow.core.contracts.fields import ResourceRef
from aetherflow.core.host.catalog import Catalog
from aetherflow.core.host.commands import load_command
from aetherflow.core.host.connecting import models_of
from aetherflow.core.host.docstrings import docstring_of, split_example
from aetherflow.core.host.hook_objects import hook_of
from aetherflow.core.host.importing import import_target
from aetherflow.core.host.metadata import PluginEntry
from aetherflow.core.host.names import (
    BUNDLE_SOURCES,
    COMMANDS,
    CONNECTORS,
    DOCUMENTS,
    KINDS,
    MANY,
    STATE_BACKENDS,
    STEPS,
)


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

    @property
    def given(self) -> str:
        """`required`, or the default as JSON; empty without one."""
        shown = "" if self.default is None else json.dumps(self.default, ensure_ascii=False)
        return "required" if self.required else shown

    def as_row(self) -> list[str]:
        """Name, type, default, description as text."""
        name = self.name + (f" ({', '.join(self.aliases)})" if self.aliases else "")
        return [name, self.type, self.given, self.description]


@dataclass(frozen=True, slots=True)
class Description:
    """A plugin as `plugins show` prints it."""

    entry: PluginEntry
    text: str
    example: str
    facts: dict[str, Any]
    """`effect` of a step; `requires` of a connector, the modules of its driver; `resource` of a bundle source;
    `usage` of a command; `hooks` that are implemented."""
    sections: dict[str, list[FieldInfo]]
    """`inputs` and `outputs` of a step, `config` and `options` of a connector, `source` of a bundle source, `settings`
    of hooks, `commands`, `arguments` and `options` of a command; only what is declared."""


def described(entry: PluginEntry, catalog: Catalog) -> Description:
    """Import the target of an entry and describe it. Raises what `Rules.require` raises, and PluginLoadError."""
    catalog.rules.require(entry)
    if entry.group == COMMANDS:
        return describe(entry, load_command(entry))
    return describe(
        entry, catalog.load(entry) if entry.group in (*KINDS, DOCUMENTS, STATE_BACKENDS) else import_target(entry)
    )


def describe(entry: PluginEntry, cls: Any) -> Description:
    """Describe the class of an entry, or its command."""
    if entry.group == COMMANDS:
        return _command(entry, cls)
    text, example = split_example(_docstring(entry, cls))
    facts: dict[str, Any] = {}
    if entry.group == STEPS:
        facts = {"effect": cls.effect}
    elif entry.group == BUNDLE_SOURCES:
        facts = {"resource": cls.resource_kind or "none"}
    elif entry.group == CONNECTORS:
        facts = {"requires": list(getattr(cls, "requires", ()))}
    elif entry.group in MANY:
        facts = {"hooks": implemented_hooks(entry, cls)}
    sections = {name: list(fields_of(model)) for name, model in declared_models(entry, cls)}
    if entry.group == STEPS and cls.Inputs is None and cls.required_inputs:
        required = [FieldInfo(name, "any", True, None, "") for name in sorted(cls.required_inputs)]
        sections = {"inputs": required, **sections}
    return Description(entry, text, example, facts, sections)


def _docstring(entry: PluginEntry, found: Any) -> str:
    """The docstring of a target; of a hook that an entry declares, its own before that of its class or module."""
    text = docstring_of(found)
    own = getattr(found, hook_of(entry) or "", None) if entry.group in MANY else None
    return "\n\n".join(each for each in (docstring_of(own) if own is not None else "", text) if each)


def columns_of(section: str, fields: Iterable[FieldInfo]) -> list[str]:
    """The columns of a section's table, among name, type, default and meaning."""
    if not any(each.type for each in fields):  # of a command
        return ["name", "meaning"]
    return ["name", "type", "meaning"] if section == "outputs" else ["name", "type", "default", "meaning"]


def declared_models(entry: PluginEntry, cls: Any) -> Iterator[tuple[str, type[BaseModel]]]:
    """The models that a class declares, with the names of their sections."""
    if entry.group == STEPS:
        models = [("inputs", cls.Inputs), ("outputs", cls.Outputs)]
    elif entry.group == BUNDLE_SOURCES:
        models = [("source", cls.Config)]
    elif entry.group in MANY:
        settings = getattr(cls, "Settings", None)
        models = [("settings", settings)] if isinstance(cls, type) and _is_model(settings) else []
    else:
        models = list(models_of(cls))
    for section, model in models:
        if model is not None:
            yield section, model


def implemented_hooks(entry: PluginEntry, found: Any) -> list[str]:
    """The hook that the entry declares; else all that are marked in a module, a class or an object."""
    if (hook := hook_of(entry)) is not None:
        return [hook]
    members: dict[str, Any] = {name: getattr(found, name, None) for name in dir(found)}
    marked = {name: options for name, each in members.items() if (options := getattr(each, "aetherflow_impl", None))}
    return sorted(options.get("specname") or name for name, options in marked.items())


def _command(entry: PluginEntry, found: Any) -> Description:
    """The description of a typer app or a command of click."""
    import typer

    own = None
    if isinstance(found, typer.Typer):
        own, found = found.info.help, typer.main.get_command(found)
    text, example = split_example(inspect.cleandoc(own if isinstance(own, str) else found.help or ""))
    with found.make_context(entry.name, [], resilient_parsing=True) as context:
        records = [(each.opts, each.get_help_record(context)) for each in found.get_params(context)]
        inside = found.list_commands(context) if hasattr(found, "list_commands") else ()
        inner = {name: found.get_command(context, name) for name in inside}
    shown = {
        "commands": [(name, each.get_short_help_str(200)) for name, each in inner.items() if not each.hidden],
        "arguments": [record for names, record in records if record and not names[0].startswith("-")],
        "options": [each for names, each in records if each and names[0].startswith("-") and "--help" not in names],
    }
    sections = {name: [_named(*each) for each in rows] for name, rows in shown.items() if rows}
    return Description(entry, text, example, {"usage": f"aetherflow {entry.name} --help"}, sections)


def _named(name: str, meaning: str) -> FieldInfo:
    return FieldInfo(name, "", False, None, meaning)


def _is_model(found: Any) -> bool:
    return isinstance(found, type) and issubclass(found, BaseModel)


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
    plain = {str: "text", Path: "path", int: "integer", float: "number", bool: "boolean", Any: "any"}
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
