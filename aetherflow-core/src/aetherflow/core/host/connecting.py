"""Builds connectors, by the constructor of ConnectorBase, the documented legacy constructor, or that of any class.

Names their classes in messages, too.
"""

import inspect
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from pydantic import BaseModel, SecretBytes, SecretStr

from aetherflow.core.base.errors import ConnectorError
from aetherflow.core.contracts.fields import ResourceRef
from aetherflow.core.contracts.written import plain

if TYPE_CHECKING:
    from aetherflow.core.contracts.connector import ConnectorInit


def create_connector(cls: Any, init: "ConnectorInit") -> Any:
    """Build a connector: `Cls(init)`, or `Cls(config, options)` if its constructor has these two parameters.

    The form is decided by the signature, never by trying: errors of the constructor are passed on.
    """
    names = _legacy_names(cls)
    if names is None:
        connector = cls(init)
    elif names:
        connector = cls(**{name: plain(dict(getattr(init, name))) for name in names})
    else:
        connector = cls(plain(dict(init.config)), plain(dict(init.options)))
    for name in ("name", "kind", "driver", "config", "options", "ctx"):
        if not hasattr(connector, name):
            with suppress(AttributeError, TypeError):  # a class with slots keeps what it has
                setattr(connector, name, getattr(init, name))
    return connector


def _legacy_names(cls: Any) -> tuple[str, ...] | None:
    """None for a constructor that takes a ConnectorInit; else the keywords to pass, () to pass both by position."""
    try:
        parameters = list(inspect.signature(cls).parameters.values())
    except (TypeError, ValueError):
        return None
    named = {each.name for each in parameters if each.kind is not each.POSITIONAL_ONLY} & {"config", "options"}
    if len(named) == 2 or (named == {"config"} and len(parameters) == 1):
        return tuple(sorted(named))
    positional = [each for each in parameters if each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD)]
    required = [each for each in positional if each.default is each.empty]
    return () if len(required) == 2 else None


def models_of(cls: Any) -> Iterator[tuple[str, type[BaseModel]]]:
    """`config` and `options` with the models that a connector class declares for them."""
    for section, model in (("config", getattr(cls, "Config", None)), ("options", getattr(cls, "Options", None))):
        if isinstance(model, type) and issubclass(model, BaseModel):
            yield section, model


def is_secret_type(annotation: Any) -> bool:
    """True for a type that is `SecretStr` or `SecretBytes`, or contains one in a union, list or alias."""
    if isinstance(annotation, type) and issubclass(annotation, SecretStr | SecretBytes):
        return True
    inner = (*get_args(annotation), getattr(annotation, "__value__", None))  # of a `type` alias
    return any(is_secret_type(each) for each in inner if each is not None)


def secret_values_of(cls: Any, resource: Mapping[str, Any]) -> Iterator[str]:
    """The secret values that a connector class finds in a resource by `secret_values`."""
    declared = getattr(cls, "secret_values", None)
    if callable(declared):
        yield from declared(resource["config"], resource["options"])


def clear_text_of(cls: Any, resource: Mapping[str, Any]) -> tuple[str, str] | None:
    """The other machine to which a resource sends without encryption, and the fix, as its class says; None for none."""
    declared = getattr(cls, "clear_text", None)
    found = declared(resource["config"], resource["options"]) if callable(declared) else None
    if found is None:
        return None
    from aetherflow.core.contracts.connector import is_loopback  # few runs have such a resource

    return None if is_loopback(found[0]) else found


@cache
def resource_fields(model: type[BaseModel]) -> tuple[tuple[str, ResourceRef], ...]:
    """The fields of a step's model that name a resource."""
    return tuple(
        (name, item)
        for name, field in model.model_fields.items()
        for item in (*field.metadata, *_metadata(field.annotation))
        if isinstance(item, ResourceRef)
    )


def _metadata(annotation: Any) -> Iterator[Any]:
    """What `Annotated` says of the members of a union: `Annotated[str, ResourceRef("db")] | None`."""
    for member in get_args(annotation):
        yield member
        yield from getattr(member, "__metadata__", ())


def close_connector(connector: Any) -> None:
    """Close a connector, if it can be closed."""
    close = getattr(connector, "close", None)
    if callable(close):
        close()


def interrupt_connector(connector: Any) -> None:
    """Interrupt a connector, if it can be interrupted."""
    interrupt = getattr(connector, "interrupt", None)
    if callable(interrupt):
        interrupt()


def class_place(cls: type) -> str:
    """A class with its file and line, for messages: `class Tiny (plugins/tiny.py:12)`."""
    try:
        file, line = inspect.getsourcefile(cls), inspect.getsourcelines(cls)[1]
    except (OSError, TypeError):  # compiled, or made at run time
        return f"class {cls.__module__}.{cls.__qualname__}"
    path = Path(file or "")
    here = path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
    return f"class {cls.__qualname__} ({here}:{line})"


def wrong_result(plugin: Any, method: str, found: object, expected: str) -> ConnectorError:
    """Return the error for a method of a third-party connector or bundle source that doesn't return `expected`."""
    is_source = not hasattr(plugin, "driver")
    who = f"bundle source {plugin.type}" if is_source else f"resource {plugin.name} ({plugin.kind}:{plugin.driver})"
    kind = "None" if found is None else type(found).__name__
    message = f"{class_place(type(plugin))}: {method}() returned {kind}; it must return {expected}"
    return ConnectorError(f"{who}: {message}", fix=f"correct {method}(), or report it to the authors of the plugin")
