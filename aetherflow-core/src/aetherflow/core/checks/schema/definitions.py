"""Collecting the definitions of one schema, with notes on plugins that are left out."""

import json
import re
from collections.abc import Callable
from typing import Any

from pydantic import BaseModel

from aetherflow.core.base.errors import PluginError
from aetherflow.core.checks.schema.model import describe
from aetherflow.core.checks.schema.templated import widened
from aetherflow.core.checks.schema.texts import ref
from aetherflow.core.host.names import KINDS, shown


class SchemaDefinitions:
    """`$defs` by name, and notes about plugins that could not be described."""

    def __init__(self) -> None:
        self.by_name: dict[str, Any] = {}
        self.notes: list[str] = []

    def add(self, name: str, schema: Any) -> dict[str, Any]:
        """Add a definition; returns a reference to it."""
        name = _safe(name)
        self.by_name[name] = schema
        return ref(name)

    def load(self, group: str, name: str, loading: Callable[[], Any]) -> Any:
        """The class of a plugin; None, with a note, if it cannot be loaded."""
        try:
            return loading()
        except PluginError as error:
            self.notes.append(f"{KINDS[group]} {shown(group, name)!r} is left out: {error.code} {error.message}")
            return None

    def describe(
        self, model: type[BaseModel], prefix: str, what: str, *, partial: bool = False
    ) -> dict[str, Any] | None:
        """The schema of a plugin's model, whose definitions are added; None, with a note, if that fails."""
        try:
            found, more = describe(model, _safe(prefix), partial=partial)
        except Exception as error:  # noqa: BLE001 the model and its hooks are the plugin's own code
            self.notes.append(f"{what} are not described: {type(error).__name__}: {error}")
            return None
        for name, each in more.items():
            self.by_name[name] = widened(each)
        if "$ref" in found:  # a model that refers to itself
            return dict(more[found["$ref"].rpartition("/")[2]])
        return found

    def text_of(self, schema: Any) -> str:
        """The schema as JSON text, followed by all definitions that it refers to."""
        text = json.dumps(schema)
        known: set[str] = set()
        while missing := set(re.findall(r'"#/\$defs/([^"]+)"', text)) & self.by_name.keys() - known:
            known |= missing
            text += "".join(json.dumps(self.by_name[name]) for name in sorted(missing))
        return text


def choice(name: str, description: str) -> dict[str, Any]:
    """The schema of one value in a list that an editor offers."""
    return {"const": name, "description": description} if description else {"const": name}


def when(values: dict[str, str], then: dict[str, Any]) -> dict[str, Any]:
    """The rule that `then` applies to a map whose keys have these values."""
    properties = {key: {"const": value} for key, value in values.items()}
    return {"if": {"properties": properties, "required": list(values)}, "then": then}


def _safe(name: str) -> str:
    # a reference is part of a URI, where blanks, slashes and `%` have a meaning
    return re.sub(r"[^\w.-]", lambda found: f"~{ord(found[0]):x}", name, flags=re.ASCII).replace("~", "_x")
